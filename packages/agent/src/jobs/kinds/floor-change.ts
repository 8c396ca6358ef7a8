/** One floor of the trust document, up or down. Lowering thins out the safety net and counts as destroying. */
import { digestOfTrust } from '@felhom/protocol';
import { applyTrustChange, peopleForTrustChange } from '../../trust/index.ts';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planFloorChange: PlanJob<'floor-change'> = (job, view) => {
  const next = applyTrustChange(view.trust, job, view.people, view.now);
  if (next.is === 'refused') {
    if (next.why.code !== 'job.more-people') return { is: 'refuse', why: next.why };
    const missing = peopleForTrustChange(view.trust, view.trust, job) - view.people.length;
    return { is: 'wait', why: next.why, missing: Math.max(1, missing) };
  }
  const { before, floor, from, to } = job.params;
  const effect = { kind: 'floor-change', before, floor, from, to } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view), after: digestOfTrust(next.document) };
};
