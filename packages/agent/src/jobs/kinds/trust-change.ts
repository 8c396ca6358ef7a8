/** The next trust document: signers, thresholds, expiry. The root helper verifies it again itself [R13]. */
import { digestOfTrust } from '@felhom/protocol';
import { applyTrustChange, peopleForTrustChange } from '../../trust/index.ts';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planTrustChange: PlanJob<'trust-change'> = (job, view) => {
  const next = applyTrustChange(view.trust, job, view.people, view.now);
  if (next.is === 'refused') {
    if (next.why.code !== 'job.more-people') return { is: 'refuse', why: next.why };
    const missing = peopleForTrustChange(view.trust, job.params.document, job) - view.people.length;
    return { is: 'wait', why: next.why, missing: Math.max(1, missing) };
  }
  const after = digestOfTrust(next.document);
  const effect = { kind: 'trust-change', before: job.params.before, after } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view), after };
};
