/**
 * One backup goes because people signed for its bytes. They are read back before the point of no return, and again
 * directly before the call.
 */
import { z } from 'zod';
import { reason } from '@felhom/protocol';
import type { BackupBytes, GuestRef } from '../authority/effects.ts';
import { guestRef } from '../guests/registered.ts';
import { storageOf } from '../guests/pve-config.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { backupBytes, storageLane } from './backup-state.ts';
import {
  deleteArchive,
  forget,
  noLateDelete,
  onRecord,
  probeDeleted,
  readBytes,
  seeArchive,
} from './delete-archive.ts';
import type { BackupNeeds } from './needs.ts';

const params = z.strictObject({ guest: guestRef, backup: backupBytes });

export interface SignedBackupParams {
  readonly guest: GuestRef;
  readonly backup: BackupBytes;
}

export const deleteBackup: SagaDefinition<SignedBackupParams, object, BackupNeeds> = {
  name: 'delete-backup',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest, backup }) => [laneOf(guest), storageLane(storageOf(backup.archive))],
  attemptCap: patientAttempts,
  steps: [
    {
      name: 'delete',
      pivot: 'at-intent',
      intend: proveBytes,
      run: (ctx, signal) => deleteArchive(ctx, 'signature', signal),
      probe: probeDeleted,
      barrier: noLateDelete,
    },
    { name: 'forget', readOnly: true, run: forget },
  ],
};

/** The backup is on record for this guest, there, unprotected, and byte for byte the one that was signed for. */
async function proveBytes(
  ctx: StepContext<SignedBackupParams, object, BackupNeeds>,
  signal: AbortSignal,
): Promise<Outcome<object>> {
  const proven = await proveSigned(ctx, signal);
  if (proven.is !== 'done') return proven;
  return proven.value.protected
    ? refused(
        reason(
          'gate.holds-data',
          `cannot delete backup ${ctx.params.backup.archive}: it is protected; unprotect it first`,
        ),
      )
    : done({});
}

export async function proveSigned(
  ctx: StepContext<SignedBackupParams, object, BackupNeeds>,
  signal: AbortSignal,
): Promise<Outcome<{ readonly protected: boolean }>> {
  const record = onRecord(ctx);
  if (record.is !== 'done') return record;
  const { archive, vmid, sha256, guest } = record.value;
  if (guest !== ctx.params.guest.uid)
    return refused(reason('job.changed', `cannot work on backup ${archive}: it is of another guest`));
  const seen = await seeArchive(ctx, archive, vmid, signal);
  if (seen.is !== 'done') return seen;
  if (seen.value.is === 'gone')
    return refused(reason('backup.missing', `cannot work on backup ${archive}: it is gone`));
  const bytes = await readBytes(ctx, archive, signal);
  if (bytes.is !== 'done') return bytes;
  if (bytes.value !== sha256)
    return refused(
      reason('job.changed', `cannot work on backup ${archive}: its bytes are not those that were signed for`),
    );
  return done({ protected: seen.value.protected });
}
