/** Kinds whose machinery comes with a later piece: understood, verified, and refused with the reason. */
import { reason } from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import type { JobPlan } from '../job-plan.ts';

export const planLater = (job: Job): JobPlan => ({
  is: 'refuse',
  why: reason('job.not-built', `cannot carry out job ${job.jobId}: ${job.kind} comes with a later release`),
});
