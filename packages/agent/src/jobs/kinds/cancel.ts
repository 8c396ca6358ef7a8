/** Takes back a job that has not done its work yet. Any one signer may: it only narrows [R39]. */
import type { PlanJob } from '../job-plan.ts';

export const planCancel: PlanJob<'cancel'> = (job) => ({ is: 'cancel', job: job.params.job });
