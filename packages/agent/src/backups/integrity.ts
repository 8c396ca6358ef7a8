/**
 * Between restore-tests: are the bytes of a backup still there and the same? Cheaper than a restore and less than one:
 * it says nothing of what is inside.
 */
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { Stores } from '../ports/proxmox.ts';

export type Integrity = NonNullable<BackupRecord['integrity']>;

export interface IntegrityBudget {
  /** Bytes to be read per storage in one go; one archive is always taken, however large it is. */
  readonly bytesPerStorage: number;
  /** What was read within this long is not read again. */
  readonly everyMs: number;
}

/**
 * What to read again next, per storage the one first that was read longest ago. A backup counts as read when it was
 * proven good; one that is known to be corrupt or missing is looked at again like any other, for disks come back.
 */
export function nextToReRead(
  records: readonly BackupRecord[],
  now: number,
  budget: IntegrityBudget,
): readonly BackupRecord[] {
  const due = records
    .filter((record) => now - readAt(record) >= budget.everyMs)
    .toSorted((a, b) => readAt(a) - readAt(b) || (a.id < b.id ? -1 : 1));
  const spent = new Map<string, number>();
  return due.filter((record) => {
    const before = spent.get(record.storage);
    if (before !== undefined && before + record.sizeBytes > budget.bytesPerStorage) return false;
    spent.set(record.storage, (before ?? 0) + record.sizeBytes);
    return true;
  });
}

const readAt = (record: BackupRecord): number => record.integrity?.at ?? record.takenAt;

export interface ReReadNeeds {
  readonly stores: Pick<Stores, 'contents'>;
  readonly helper: Pick<HostHelper, 'archiveDigest' | 'keyTest'>;
}

/**
 * Reads one backup again: its listing, its bytes, and where it is encrypted whether the key of the storage opens it. For
 * PBS the server's own verification counts too. Slow. Not done = nobody could look, which says nothing.
 */
export async function reRead(
  needs: ReReadNeeds,
  record: BackupRecord,
  now: number,
  signal: AbortSignal,
): Promise<Outcome<Integrity>> {
  const { archive, storage, vmid } = record;
  const verdict = (is: Integrity['is'], text: string): Outcome<Integrity> =>
    done({ at: now, is, text: text.slice(0, 300) });
  const items = await needs.stores.contents(storage, { content: 'backup', vmid }, signal);
  if (items.is !== 'done') return items;
  const item = items.value.find(({ volid }) => volid === archive);
  const read = await needs.helper.archiveDigest(archive, signal);
  if (read.is === 'refused' && read.why.code === 'helper.no-archive')
    return item === undefined ? verdict('missing', 'neither listed nor readable') : verdict('corrupt', read.why.text);
  if (read.is !== 'done') return read;
  if (read.value.sha256 !== record.sha256) return verdict('corrupt', 'its bytes are not those that were written');
  if (record.device !== undefined && read.value.device !== record.device)
    return verdict('corrupt', `it lies on ${read.value.device} and was written to ${record.device}`);
  if (item?.verified === 'failed') return verdict('corrupt', 'the backup server found it damaged');
  if (record.encrypted !== undefined) {
    const key = await needs.helper.keyTest(archive, signal);
    if (key.is !== 'done') return key;
    if (key.value.is === 'wrong-key') return verdict('corrupt', `${wrongKey}: ${key.value.text}`);
  }
  return verdict('ok', item === undefined ? 'readable, though the token does not see it' : 'as it was written');
}

const wrongKey = 'the key of its storage does not open it';

/** What people have to know of it; `undefined` = it is as it was written, or was not read again yet. */
export function findingOfIntegrity(record: BackupRecord): Reason | undefined {
  const { integrity } = record;
  if (integrity === undefined || integrity.is === 'ok') return undefined;
  const what = `cannot rely on backup ${record.archive}`;
  if (integrity.is === 'missing') return reason('backup.missing', `${what}: it is gone`);
  if (integrity.text.startsWith(wrongKey)) return reason('backup.wrong-key', `${what}: ${integrity.text}`);
  return reason('backup.damaged', `${what}: ${integrity.text}`);
}
