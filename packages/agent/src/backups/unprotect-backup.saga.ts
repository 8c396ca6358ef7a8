/** The protection of one backup is taken off because people signed for its bytes. Nothing is deleted by it. */
import { z } from 'zod';
import { guestRef } from '../guests/registered.ts';
import { storageOf } from '../guests/pve-config.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { reason } from '@felhom/protocol';
import { backupBytes, storageLane } from './backup-state.ts';
import { onRecord, seeArchive } from './delete-archive.ts';
import { proveSigned } from './delete-backup.saga.ts';
import type { SignedBackupParams } from './delete-backup.saga.ts';
import type { BackupNeeds } from './needs.ts';

const params = z.strictObject({ guest: guestRef, backup: backupBytes });

type Context = StepContext<SignedBackupParams, object, BackupNeeds>;

export const unprotectBackup: SagaDefinition<SignedBackupParams, object, BackupNeeds> = {
  name: 'unprotect-backup',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest, backup }) => [laneOf(guest), storageLane(storageOf(backup.archive))],
  attemptCap: patientAttempts,
  steps: [
    { name: 'prove', readOnly: true, run: prove },
    { name: 'unprotect', run: unprotect, probe: probeUnprotected },
    { name: 'record', readOnly: true, run: record },
  ],
};

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<object>> {
  const proven = await proveSigned(ctx, signal);
  return proven.is === 'done' ? done({}) : proven;
}

/** Landing late it sets once more what is set; nothing here protects a backup. */
async function unprotect(ctx: Context, signal: AbortSignal): Promise<Outcome<object>> {
  const put = await ctx.needs.backups.protect(ctx.params.backup.archive, false, signal);
  if (put.is !== 'done') return put;
  const now = await probeUnprotected(ctx, signal);
  if (now.is !== 'never-happened') return now;
  return unknown(
    reason('pve.unreadable-answer', `cannot unprotect ${ctx.params.backup.archive}: it still shows as protected`),
  );
}

async function probeUnprotected(ctx: Context, signal: AbortSignal): Promise<Probed<object>> {
  const known = onRecord(ctx);
  if (known.is !== 'done') return unknown(known.why);
  const seen = await seeArchive(ctx, known.value.archive, known.value.vmid, signal);
  if (seen.is !== 'done') return seen;
  return seen.value.is === 'listed' && seen.value.protected ? { is: 'never-happened' } : done({});
}

function record(ctx: Context): Promise<Outcome<object>> {
  const known = onRecord(ctx);
  if (known.is === 'done') ctx.needs.catalogue.put({ ...known.value, protected: false });
  return Promise.resolve(done({}));
}
