/** The next trust document: signers, thresholds, expiry. The root helper verifies it again itself [R13]. */
import { digestOfTrust } from '@felhom/protocol';
import { applyTrustChange } from '../../trust/index.ts';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planTrustChange: PlanJob<'trust-change'> = (job, view) => {
  const next = applyTrustChange(view.trust, job, view.people, view.now);
  if (next.is === 'refused') return { is: next.why.code === 'job.more-people' ? 'wait' : 'refuse', why: next.why };
  const after = digestOfTrust(next.document);
  const effect = { kind: 'trust-change', before: job.params.before, after } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view), after };
};
