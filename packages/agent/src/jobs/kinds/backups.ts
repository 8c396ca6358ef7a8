/** Backups by order: one more beyond the quota, one deleted, one without its protection. By their bytes [R8]. */
import { refOf } from '../../authority/guest-record.ts';
import { guestOf, noSuchGuest, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planForceBackup: PlanJob<'force-backup'> = (job, view) => {
  const { guest, tier } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'backup-force', guest: refOf(record), tier } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planBackupDelete: PlanJob<'backup-delete'> = (job, view) => {
  const { guest, backup } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'backup-delete', guest: refOf(record), backup } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planBackupUnprotect: PlanJob<'backup-unprotect'> = (job, view) => {
  const { guest, backup } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'backup-unprotect', guest: refOf(record), backup } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
