/**
 * Jobs: what operators order with their signatures, once each.
 *
 * Owns: the way of an envelope from its arrival to its answer; that a job is durable before it does anything, runs at
 * most once, and is verified again before each thing it does; holds; and the pace of removals.
 * Never does: decide what a signature may open (authority does), verify one (trust does), change a guest (sagas do,
 * through admission).
 * Read in this order: inbox, releases, job-record, bind-job, job-plan, catalog with its kinds, desk, jobs, removal-work.
 */
export { createJobs } from './jobs.ts';
export type { Jobs } from './jobs.ts';
export type { JobsNeeds } from './desk.ts';
export { heldBy } from './holds.ts';
export { createRefusals } from './refusals.ts';
export { parkedSaga } from './saga-outcome.ts';
