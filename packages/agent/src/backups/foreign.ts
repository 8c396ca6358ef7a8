/** What a storage lists of our guests' archives, sorted against the catalogue. Pure; decides nothing. */
import { reason } from '@felhom/protocol';
import type { GuestUid, Reason, StorageId, Vmid } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import type { StoreItem } from '../ports/proxmox.ts';
import { hashOfUid, parseNotes } from './notes.ts';

export interface ListedArchives {
  readonly storage: StorageId;
  /** Its `content=backup` list. */
  readonly items: readonly StoreItem[];
  /**
   * Whether what is not listed is not there: the storage is active and the rights of the token are as they should be. An
   * empty list may be a missing right.
   */
  readonly complete: boolean;
  /** Wall time at which the list was asked for: what was taken later cannot be in it. */
  readonly listedAt: number;
  /** Guests on record, scratch ones left out. */
  readonly guests: readonly { readonly uid: GuestUid; readonly vmid: Vmid }[];
  readonly records: readonly BackupRecord[];
}

export interface SortedArchives {
  /** Of a VMID of ours and not taken by us: somebody else backs the guest up, so its marker is to be renewed [R20]. */
  readonly foreign: readonly { readonly guest: GuestUid; readonly item: StoreItem }[];
  /** With our nonce and never proven: a backup that broke off, or whose check failed. Nothing is restored from it. */
  readonly unrecorded: readonly { readonly guest: GuestUid; readonly id: string; readonly item: StoreItem }[];
  /** On record and not listed. */
  readonly missing: readonly BackupRecord[];
}

export function sortArchives(seen: ListedArchives): SortedArchives {
  const byArchive = new Set(seen.records.map((record) => record.archive));
  const foreign: { guest: GuestUid; item: StoreItem }[] = [];
  const unrecorded: { guest: GuestUid; id: string; item: StoreItem }[] = [];
  for (const item of seen.items) {
    if (byArchive.has(item.volid)) continue;
    const notes = parseNotes(item.notes);
    const named = notes === undefined ? undefined : seen.guests.find(({ uid }) => hashOfUid(uid) === notes.guest);
    if (notes !== undefined && named !== undefined) {
      unrecorded.push({ guest: named.uid, id: notes.id, item });
      continue;
    }
    const owner = seen.guests.find(({ vmid }) => vmid === item.vmid);
    if (owner !== undefined) foreign.push({ guest: owner.uid, item });
  }
  const listed = new Set(seen.items.map((item) => item.volid));
  return {
    foreign,
    unrecorded,
    missing: seen.complete
      ? seen.records.filter(
          (record) => record.storage === seen.storage && record.takenAt < seen.listedAt && !listed.has(record.archive),
        )
      : [],
  };
}

/** The same for people. Texts name archives and no content. */
export function findingsOfArchives(sorted: SortedArchives): readonly Reason[] {
  return [
    ...sorted.missing.map(({ archive }) =>
      reason('backup.missing', `cannot find backup ${archive}: it is not listed any more`),
    ),
    ...sorted.unrecorded.map(({ item }) =>
      reason('backup.unrecorded', `cannot count ${item.volid}: it was never proven good`),
    ),
    ...sorted.foreign.map(({ item }) => reason('backup.foreign', `cannot count ${item.volid}: somebody else took it`)),
  ];
}

/** That a backup was not taken as it was asked for; `undefined` = it was. */
export function findingOfMode(record: BackupRecord): Reason | undefined {
  if (record.mode !== 'suspend') return undefined;
  return reason(
    'backup.fell-back',
    `cannot back up guest ${record.guest} from a snapshot: its files were copied while it ran, which takes room and time`,
  );
}
