/** Storage targets: what the job says is looked at by root, who verifies it again itself [R13]. */
import { canonicalDigest, targetIdentity } from '@felhom/protocol';
import type { CanonicalValue, StorageTarget } from '@felhom/protocol';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planTargetAttach: PlanJob<'target-attach'> = ({ params: { declaration } }, view) => {
  const effect = {
    kind: 'target-attach',
    target: declaration.name,
    identity: targetIdentity(declaration),
    declaration: digestOf(declaration),
  } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planTargetDetach: PlanJob<'target-detach'> = ({ params }, view) => {
  const effect = { kind: 'target-detach', ...params } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planTargetWipe: PlanJob<'target-wipe'> = ({ params }, view) => {
  const effect = { kind: 'target-wipe', ...params } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planTargetRePoint: PlanJob<'target-re-point'> = ({ params: { declaration, ...bound } }, view) => {
  const effect = {
    kind: 'target-re-point',
    ...bound,
    identity: targetIdentity(declaration),
    declaration: digestOf(declaration),
  } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

/** Through JSON: what is not said is no field. */
const digestOf = (declaration: StorageTarget) =>
  canonicalDigest(JSON.parse(JSON.stringify(declaration)) as CanonicalValue);
