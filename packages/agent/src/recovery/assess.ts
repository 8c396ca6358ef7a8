/** Everything that can be known to forbid a recovery before anything is touched. */
import { reason } from '@felhom/protocol';
import type { ErrorCode, Reason, StorageId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { riskReport } from '../bring-up/index.ts';
import type { BackupRecord } from '../catalogue/index.ts';
import { recordOf } from '../guests/registered.ts';
import { storageOf } from '../guests/pve-config.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import { lookForLoss } from './look.ts';
import { bulkOf, judgeLook } from './lost.ts';
import { planRestore } from './plan-restore.ts';
import type { RecoverContext, RecoverState } from './recover-state.ts';

const gib = 1024 ** 3;

export async function assess(ctx: RecoverContext, signal: AbortSignal): Promise<Outcome<Partial<RecoverState>>> {
  const { needs } = ctx;
  const { guest, backup } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const record = found.value;
  const onRecord = needs.catalogue.byArchive(backup.archive);
  if (onRecord === undefined || onRecord.guest !== guest.uid || onRecord.sha256 !== backup.sha256)
    return no(ctx, 'guest.backup-changed', `the catalogue has no backup ${backup.archive} of it with these bytes`);
  const desired = needs.desiredOf(guest.name);

  ctx.progress({ text: `making sure that guest ${guest.name} is lost` });
  const look = await lookForLoss(needs, ctx.clock, record, signal);
  const verdict = judgeLook(look, {
    record,
    bulk: bulkOf(record, desired),
    permissionsThen: undefined,
    // What the token may see was compared when it was judged; what forbids a restore now, the node says itself.
    permissionsSound: true,
  });
  if (verdict.is !== 'lost') return no(ctx, 'guest.not-lost', textOf(verdict));

  const [listed, storages, version] = await Promise.all([
    needs.stores.contents(storageOf(backup.archive), { content: 'backup' }, signal),
    needs.stores.list(signal),
    needs.node.version(signal),
  ]);
  if (listed.is !== 'done') return listed;
  if (storages.is !== 'done') return storages;
  if (version.is !== 'done') return version;
  const item = listed.value.find(({ volid }) => volid === backup.archive);
  if (item === undefined) {
    const text = 'not listed on its storage when it was to be restored';
    return spoilt(ctx, onRecord, 'missing', text, 'guest.backup-absent');
  }
  if (item.sizeBytes !== onRecord.sizeBytes) {
    const text = `${item.sizeBytes} bytes are listed, ${onRecord.sizeBytes} were taken`;
    return spoilt(ctx, onRecord, 'corrupt', text, 'guest.backup-changed');
  }
  ctx.progress({ text: `reading ${backup.archive} back` });
  const read = await needs.helper.archiveDigest(backup.archive, signal);
  if (read.is !== 'done') return read;
  if (read.value.sha256 !== backup.sha256) {
    const text = 'its SHA-256 is not the one of the day it was taken';
    return spoilt(ctx, onRecord, 'corrupt', text, 'guest.backup-changed');
  }
  const archived = await needs.stores.extractConfig(backup.archive, signal);
  if (archived.is !== 'done') return archived;
  const report = riskReport(archived.value);
  if (report.refusals.length > 0)
    return no(
      ctx,
      'guest.archive-refused',
      `the backup ${backup.archive} carries what no guest may have`,
      report.refusals.map((refusal) => refusal.text).join('\n'),
    );
  const decided = planRestore({
    archivedConfig: archived.value,
    record,
    desired,
    surviving: verdict.surviving,
    storages: storages.value,
    allocatedBytes: allocated(needs.registry.all(), record),
    policy: needs.policy(),
  });
  if (decided.is === 'no-room') return no(ctx, 'guest.no-space', decided.why);
  if (decided.is === 'survived')
    return no(ctx, 'guest.not-lost', `${decided.volumes.join(', ')} is there, and the backup holds it too`);
  return done({ back: decided.back, pveVersion: version.value.version });
}

type NotLost = Exclude<ReturnType<typeof judgeLook>, { is: 'lost' }>;

function textOf(verdict: NotLost): string {
  switch (verdict.is) {
    case 'there':
      return 'it is there';
    case 'wait':
    case 'not-visible':
      return verdict.why;
    case 'config-gone':
      return `its volumes are there: ${verdict.volumes.join(', ')}`;
    case 'destroyed':
      return `${verdict.by} destroyed it within the last hour`;
  }
}

function no(
  { params }: Pick<RecoverContext, 'params'>,
  code: ErrorCode,
  text: string,
  detail?: string,
): { is: 'refused'; why: Reason } {
  return refused(reason(code, `cannot bring guest ${params.guest.name} back: ${text}`, detail));
}

/** Kept in the catalogue, so that the next choice is another backup, and that people hear of it. */
function spoilt(
  ctx: RecoverContext,
  record: BackupRecord,
  is: 'corrupt' | 'missing',
  text: string,
  code: 'guest.backup-absent' | 'guest.backup-changed',
): Outcome<never> {
  ctx.needs.catalogue.put({ ...record, integrity: { at: ctx.clock.now(), is, text } });
  return no(ctx, code, `${record.archive}: ${text}`);
}

/** A backup that could not be unpacked, or brought what nobody asked for, is no better the next time. */
export async function accept(ctx: RecoverContext): Promise<Outcome<Partial<RecoverState>>> {
  const why = ctx.state.restoreFailure;
  if (why === undefined) return done({});
  const record = ctx.needs.catalogue.byArchive(ctx.params.backup.archive);
  if (record !== undefined && (why.code === 'guest.archive-corrupt' || why.code === 'guest.archive-refused'))
    ctx.needs.catalogue.put({
      ...record,
      integrity: { at: ctx.clock.now(), is: 'corrupt', text: `it cannot be restored: ${why.text}`.slice(0, 300) },
    });
  return refused(why);
}

/** Virtual sizes that registered guests hold per storage, without those of the lost one. */
function allocated(records: readonly GuestRecord[], lost: GuestRecord): ReadonlyMap<StorageId, number> {
  const bytes = new Map<StorageId, number>();
  for (const record of records)
    for (const volume of record.uid === lost.uid ? [] : record.volumes) {
      const storage = storageOf(volume.volid);
      bytes.set(storage, (bytes.get(storage) ?? 0) + volume.sizeGiB * gib);
    }
  return bytes;
}
