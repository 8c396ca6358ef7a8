/**
 * Deleting one archive, the step that pruning and a signed deletion share. By volid, which Proxmox makes of VMID and
 * second; the warrant is derived anew directly before the call, and gone is what both the listing and root say.
 *
 * A DELETE that lands late deletes the same archive or nothing. Only a name that came back could be another backup by
 * then: names hold local time, which repeats when the clocks are set back. So nothing is concluded, and this archive is
 * not forgotten, before a late call can no longer land [R31]; until then its guest and its storage are ours alone.
 */
import { reason } from '@felhom/protocol';
import type { StorageId, Vmid, VolumeId } from '@felhom/protocol';
import type { BackupBytes } from '../authority/effects.ts';
import { backupWarrantFor } from '../authority/provenance.ts';
import type { SeenBackup } from '../authority/provenance.ts';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import type { Acting } from '../guests/needs.ts';
import { storageOf } from '../guests/pve-config.ts';
import { waitFor } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, StepContext } from '../kernel/saga.ts';
import type { BackupNeeds } from './needs.ts';

export type DeletingContext = StepContext<{ readonly backup: BackupBytes }, object, BackupNeeds>;

/** The backup on record by its archive and bytes. */
export function onRecord(ctx: Pick<DeletingContext, 'needs' | 'params'>): Outcome<BackupRecord> {
  const { archive, sha256 } = ctx.params.backup;
  const found = ctx.needs.catalogue.byArchive(archive);
  if (found === undefined)
    return refused(reason('backup.not-on-record', `cannot work on backup ${archive}: it is not on record`));
  if (found.sha256 !== sha256)
    return refused(reason('job.changed', `cannot work on backup ${archive}: the one on record has other bytes`));
  return done(found);
}

/**
 * The archive as the listing shows it. `gone` only where root looked and found none either: an empty list may be a
 * missing right, and a helper that refuses has not looked.
 */
export async function seeArchive(
  ctx: Pick<DeletingContext, 'needs'>,
  archive: VolumeId,
  vmid: Vmid,
  signal: AbortSignal,
): Promise<Outcome<{ readonly is: 'gone' } | { readonly is: 'listed'; readonly protected: boolean }>> {
  const items = await ctx.needs.stores.contents(storageOf(archive), { content: 'backup', vmid }, signal);
  if (items.is !== 'done') return unknown(items.why);
  const item = items.value.find(({ volid }) => volid === archive);
  if (item !== undefined) return done({ is: 'listed', protected: item.protected });
  const read = await ctx.needs.helper.archiveDigest(archive, signal);
  if (read.is === 'unknown') return read;
  if (read.is === 'refused') return read.why.code === 'helper.no-archive' ? done({ is: 'gone' }) : unknown(read.why);
  return unknown(
    reason('gate.not-seen', `cannot tell about backup ${archive}: root reads it, but the token does not see it`),
  );
}

/** Its bytes as they are now: minutes per hundred GiB. */
export async function readBytes(
  ctx: Pick<DeletingContext, 'needs'>,
  archive: VolumeId,
  signal: AbortSignal,
): Promise<Outcome<SeenBackup['sha256']>> {
  const read = await ctx.needs.helper.archiveDigest(archive, signal);
  return read.is === 'done' ? done(read.value.sha256) : read;
}

export type By = 'retention' | 'signature';

export async function deleteArchive(
  ctx: DeletingContext & Acting,
  by: By,
  signal: AbortSignal,
): Promise<Outcome<object>> {
  const record = onRecord(ctx);
  if (record.is !== 'done') return record;
  const { archive, vmid, sha256 } = record.value;
  if (by === 'retention' && !ctx.needs.mayPrune(record.value))
    return refused(reason('backup.kept', `cannot prune backup ${archive}: retention keeps it now`));
  const seen = await seeArchive(ctx, archive, vmid, signal);
  if (seen.is !== 'done') return seen;
  if (seen.value.is === 'gone') return done({});
  const bytes = by === 'signature' ? await readBytes(ctx, archive, signal) : done(undefined);
  if (bytes.is !== 'done') return bytes;
  const decision = backupWarrantFor(
    record.value,
    { listed: true, protected: seen.value.protected, sha256: bytes.value },
    by === 'retention' ? { by } : { by, sha256 },
  );
  if (decision.is !== 'warranted') return refused(decision.why);
  ctx.progress({ text: `deleting backup ${archive}` });
  const posted = await ctx.needs.remover.remove(decision.warrant, signal);
  if (posted.is !== 'done') return posted;
  if (posted.value !== undefined) {
    ctx.recordHandle(posted.value);
    const ended = await waitFor(ctx, posted.value, `deleting backup ${archive}`, signal);
    if (ended.is !== 'done') return ended;
  }
  const after = await seeArchive(ctx, archive, vmid, signal);
  if (after.is !== 'done') return after;
  return after.value.is === 'gone'
    ? done({})
    : refused(reason('gate.holds-data', `cannot delete backup ${archive}: Proxmox did not remove it`));
}

export async function probeDeleted(ctx: DeletingContext, signal: AbortSignal): Promise<Probed<object>> {
  const record = onRecord(ctx);
  if (record.is !== 'done') return unknown(record.why);
  const { archive, vmid } = record.value;
  const seen = await seeArchive(ctx, archive, vmid, signal);
  if (seen.is !== 'done') return seen;
  return seen.value.is === 'gone' ? done({}) : { is: 'never-happened' };
}

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
const lateLandingMs = 35_000;

/** After it no call of this step can land any more, and none of its workers runs. */
export async function noLateDelete(ctx: DeletingContext & Acting, signal: AbortSignal): Promise<Outcome<void>> {
  const { archive } = ctx.params.backup;
  await ctx.clock.sleep(lateLandingMs, signal);
  const tasks = await ctx.needs.tasks.find({ type: 'imgdel' }, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  for (const { upid, id, endTime } of tasks.value) {
    if (endTime !== undefined || !isOn(id, storageOf(archive))) continue;
    const ended = await waitFor(ctx, upid, `waiting for a deletion on ${storageOf(archive)}`, signal);
    if (ended.is !== 'done') return ended;
  }
  return done(undefined);
}

/** The id of a deletion is `<vmid>@<storage>`. */
const isOn = (taskId: string, storage: StorageId): boolean => taskId.endsWith(`@${storage}`);

/** Off the catalogue; twice is the same as once. */
export function forget(ctx: DeletingContext): Promise<Outcome<object>> {
  const { archive, sha256 } = ctx.params.backup;
  const known = ctx.needs.catalogue.byArchive(archive);
  if (known !== undefined && known.sha256 === sha256) ctx.needs.catalogue.remove(known.id);
  return Promise.resolve(done({}));
}
