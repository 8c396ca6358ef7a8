/**
 * Going back: to a backup, beside it, or to a snapshot; and the end of an undo window, either way. What is carried over
 * and what is freed is in the job, volume by volume; the gate compares it with what the guest has by then.
 */
import { reason } from '@felhom/protocol';
import type { JobOf, VolumeId } from '@felhom/protocol';
import { refOf } from '../../authority/guest-record.ts';
import { guestOf, noSuchGuest, signedDigest } from '../job-plan.ts';
import type { JobPlan, JobView, PlanJob } from '../job-plan.ts';

const volumes = (items: readonly string[]): readonly VolumeId[] => items as readonly VolumeId[];

export const planRestoreOverwrite: PlanJob<'restore-overwrite'> = (job, view) => {
  const { guest, backup, bulk, lossSet, undoHours } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const kind = 'restore-overwrite';
  const effect = { kind, guest: refOf(record), backup, bulk, loss: volumes(lossSet), undoHours } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planRestoreInPlace: PlanJob<'restore-in-place'> = (job, view) => {
  const { guest, backup, bulk, lossSet } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'restore-in-place', guest: refOf(record), backup, bulk, loss: volumes(lossSet) } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planRestoreCopy: PlanJob<'restore-copy'> = (job, view) => {
  const { guest, backup, name } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'restore-copy', guest: refOf(record), backup, name } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

export const planRollback: PlanJob<'rollback'> = (job, view) => {
  const { guest, snapshot, takenAt, volumes: reverted } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = { kind: 'guest-rollback', guest: refOf(record), snapshot, takenAt, volumes: reverted } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};

/** Signed for the loss that was shown; carried out for the one that is. */
export function planWindow(
  { jobId, params: { verb, saga, lossSet } }: JobOf<'saga'>,
  wanted: 'undo' | 'finish',
  view: JobView,
): JobPlan {
  const restore = view.restore(saga);
  if (restore === undefined)
    return {
      is: 'refuse',
      why: reason(
        'job.unknown-target',
        `cannot carry out job ${jobId}: no restore ${saga} can be ${verb === 'undo' ? 'undone' : 'finished'} here; felhom status lists those that can`,
      ),
    };
  const about = (loss: readonly VolumeId[]) =>
    ({
      kind: wanted === 'undo' ? 'restore-undo' : 'restore-finish',
      guest: restore.guest,
      sagaId: saga,
      loss,
    }) as const;
  return {
    is: 'submit',
    effect: about(wanted === 'undo' ? restore.undoLoss : restore.finishLoss),
    signed: signedDigest(about(volumes(lossSet)), view),
  };
}
