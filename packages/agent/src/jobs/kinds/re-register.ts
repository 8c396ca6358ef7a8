/** A guest whose config is gone while its volumes are there [R6]. */
import { reason } from '@felhom/protocol';
import { guestOf, refOf, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planReRegister: PlanJob<'re-register'> = (job, view) => {
  const { guest, vmid, volumes } = job.params;
  const record = guestOf(job, guest, view);
  if (record === undefined)
    return {
      is: 'refuse',
      why: reason(
        'job.unknown-target',
        `cannot carry out job ${job.jobId}: no guest ${guest.uid}.${guest.incarnation} is on record`,
      ),
    };
  const effect = { kind: 'guest-re-register', guest: refOf(record), vmid, volumes } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
