/** A guest whose config is gone while its volumes are there [R6]. */
import { refOf } from '../../authority/guest-record.ts';
import { guestOf, noSuchGuest, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planReRegister: PlanJob<'re-register'> = (job, view) => {
  const { guest, vmid, volumes } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'guest-re-register', guest: refOf(record), vmid, volumes } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
