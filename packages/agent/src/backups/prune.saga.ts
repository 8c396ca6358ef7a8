/**
 * One backup goes because retention lets it go: the only unsigned deletion of a backup [R12].
 *
 *   delete  intended where retention lets it go by the catalogue as it is now and nothing protects it; all of that again
 *           directly before the call
 *   forget  off the catalogue, once it is proven gone
 */
import { z } from 'zod';
import { reason } from '@felhom/protocol';
import type { BackupBytes, GuestRef } from '../authority/effects.ts';
import { backupId } from '../catalogue/backup-record.ts';
import { guestRef } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { backupBytes, storageLane } from './backup-state.ts';
import { deleteArchive, forget, noLateDelete, onRecord, probeDeleted, seeArchive } from './delete-archive.ts';
import type { BackupNeeds } from './needs.ts';
import { storageOf } from '../guests/pve-config.ts';

const params = z.strictObject({ guest: guestRef, backup: backupBytes.extend({ id: backupId }) });

export interface PruneParams {
  readonly guest: GuestRef;
  readonly backup: BackupBytes & { readonly id: string };
}

type Context = StepContext<PruneParams, object, BackupNeeds>;

export const pruneBackup: SagaDefinition<PruneParams, object, BackupNeeds> = {
  name: 'prune-backup',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest, backup }) => [laneOf(guest), storageLane(storageOf(backup.archive))],
  attemptCap: patientAttempts,
  steps: [
    {
      name: 'delete',
      pivot: 'at-intent',
      intend: decide,
      run: (ctx, signal) => deleteArchive(ctx, 'retention', signal),
      probe: probeDeleted,
      barrier: noLateDelete,
    },
    { name: 'forget', readOnly: true, run: forget },
  ],
};

async function decide(ctx: Context, signal: AbortSignal): Promise<Outcome<object>> {
  const record = onRecord(ctx);
  if (record.is !== 'done') return record;
  const { archive, vmid } = record.value;
  if (record.value.id !== ctx.params.backup.id || record.value.guest !== ctx.params.guest.uid)
    return refused(reason('backup.not-on-record', `cannot prune backup ${archive}: it is another one on record`));
  if (!ctx.needs.mayPrune(record.value))
    return refused(reason('backup.kept', `cannot prune backup ${archive}: retention keeps it now`));
  const seen = await seeArchive(ctx, archive, vmid, signal);
  if (seen.is !== 'done') return seen;
  if (seen.value.is === 'listed' && seen.value.protected)
    return refused(reason('backup.kept', `cannot prune backup ${archive}: it is protected`));
  return done({});
}
