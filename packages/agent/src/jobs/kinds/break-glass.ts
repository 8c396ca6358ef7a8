/** Opens the second tunnel for a bounded time where every customer consents; closing is anybody's who may sign. */
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planBreakGlassOpen: PlanJob<'break-glass-open'> = (job, view) => {
  const why = view.breakGlass(job.params);
  if (why !== undefined) return { is: 'refuse', why };
  const effect = { kind: 'break-glass-open', ...job.params } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planBreakGlassClose: PlanJob<'break-glass-close'> = (_job, view) => {
  const effect = { kind: 'break-glass-close' } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
