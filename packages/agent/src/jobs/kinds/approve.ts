/** The blocked action of this digest, once. What it is, the agent itself asked for and knows; the signature names it. */
import { reason } from '@felhom/protocol';
import { isBuilt } from '../../authority/index.ts';
import type { PlanJob } from '../job-plan.ts';

export const planApprove: PlanJob<'approve'> = (job, view) => {
  const { digest } = job.params;
  const seen = view.blocked(digest);
  if (seen === undefined)
    return view.looked
      ? {
          is: 'refuse',
          why: reason(
            'job.not-asked',
            `cannot carry out job ${job.jobId}: nothing on this host asks for ${digest} now`,
          ),
        }
      : {
          is: 'wait',
          why: reason('job.not-yet', `cannot carry out job ${job.jobId} yet: the host has not been looked at`),
        };
  const { effect } = seen;
  if (!isBuilt(effect))
    return {
      is: 'refuse',
      why: reason('job.not-built', `cannot carry out job ${job.jobId}: ${effect.kind} is not built`),
    };
  // By whichever road a removal comes, it goes through the same cool-off.
  if (effect.kind === 'guest-remove')
    return { is: 'remove', effect: { ...effect, stage: 'quarantine' }, signed: digest, coolOffMinutes: undefined };
  return { is: 'submit', effect, signed: digest };
};
