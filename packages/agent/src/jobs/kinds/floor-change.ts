/** One floor of the trust document, up or down. Lowering thins out the safety net and counts as destroying. */
import { digestOfTrust } from '@felhom/protocol';
import { applyTrustChange } from '../../trust/index.ts';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planFloorChange: PlanJob<'floor-change'> = (job, view) => {
  const next = applyTrustChange(view.trust, job, view.people, view.now);
  if (next.is === 'refused') return { is: next.why.code === 'job.more-people' ? 'wait' : 'refuse', why: next.why };
  const { before, floor, from, to } = job.params;
  const effect = { kind: 'floor-change', before, floor, from, to } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view), after: digestOfTrust(next.document) };
};
