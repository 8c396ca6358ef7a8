/**
 * Restores, durable, one document per saga that restored. As long as one can be undone, its document is all that the
 * agent knows of the guest as it was before: the registry knows the restored one.
 */
import { z } from 'zod';
import { digest, guestName, guestUid, vmid, volumeId } from '@felhom/protocol';
import type { GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { Documents, DocumentWrite } from '../kernel/journal.ts';

const prefix = 'restore/';
const shapeVersion = 1;
/** Wall time of the host, milliseconds since the epoch. */
const time = z.number().int().min(0);

/** How a guest stood in its place before something else took it, so that exactly this can be put back. */
export const placeBefore = z.strictObject({
  running: z.boolean(),
  onboot: z.boolean(),
  protection: z.boolean(),
  /** Config key of each interface → whether its link was down. */
  linksDown: z.record(z.string().regex(/^net\d{1,2}$/), z.boolean()),
});
export type PlaceBefore = z.output<typeof placeBefore>;

const keptVolume = z.strictObject({
  key: z.string(),
  name: z.string(),
  volid: volumeId,
  sizeGiB: z.number(),
  ctime: z.number().optional(),
  carriedOver: z.boolean(),
});

/** The guest as it was before: stopped, cut off, protected. */
export const keptGuest = z.strictObject({
  vmid,
  incarnation: z.number().int().min(1),
  marker: z.string().min(1).max(64),
  golden: z.string(),
  createdAt: time,
  servedAt: time.optional(),
  /** Without those that were carried over: exactly what finishing frees. */
  volumes: z.array(keptVolume).max(64),
  before: placeBefore,
});
export type KeptGuest = z.output<typeof keptGuest>;

export const restoreRecord = z.strictObject({
  /** The saga that restored. */
  id: z.string().min(1).max(80),
  kind: z.enum(['overwrite', 'in-place', 'copy', 'recovery']),
  guest: z.strictObject({ uid: guestUid, name: guestName }),
  state: z.enum(['undoable', 'undone', 'finished']),
  /** When the restored guest was seen healthy. */
  at: time,
  /** End of the undo window. */
  until: time.optional(),
  backup: z.strictObject({ archive: volumeId, sha256: digest }),
  jobId: z.string().max(80),
  old: keptGuest.optional(),
  new: z.strictObject({ vmid, incarnation: z.number().int().min(1) }),
  /** Carried over: they have one history, whatever becomes of the restore [R4]. */
  bulk: z.array(z.strictObject({ key: z.string(), path: z.string(), volid: volumeId })).max(64),
  /** From the old guest's stop to the restored one's health: what was out of service. */
  outageMs: z.number().int().min(0).optional(),
});
export type RestoreRecord = z.output<typeof restoreRecord>;

export interface RestoreStore {
  /** Oldest first. */
  all(): readonly RestoreRecord[];
  byId(id: string): RestoreRecord | undefined;
  /** Those of one guest whose old guest still waits. */
  undoableOf(uid: GuestUid): readonly RestoreRecord[];
  put(record: RestoreRecord): void;
  /** The same as `put`, for a write that has to be durable together with something else. */
  write(record: RestoreRecord): DocumentWrite;
  remove(id: string): void;
}

/** Throws on a record that this release cannot read: forgetting one would make a kept guest a stranger. */
export function createRestoreStore(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): RestoreStore {
  const read = (key: string, body: unknown): RestoreRecord => {
    const parsed = restoreRecord.safeParse(body);
    if (!parsed.success) throw new Error(`cannot read ${key}: ${parsed.error.message}`);
    return parsed.data;
  };
  const documentOf = (record: RestoreRecord) => ({
    key: prefix + record.id,
    v: shapeVersion,
    body: restoreRecord.parse(record),
  });
  const all = (): readonly RestoreRecord[] =>
    documents
      .list(prefix)
      .map(({ key, body }) => read(key, body))
      .toSorted((a, b) => a.at - b.at);
  return {
    all,
    byId(id) {
      const found = documents.get(prefix + id);
      return found === undefined ? undefined : read(found.key, found.body);
    },
    undoableOf: (uid) => all().filter((record) => record.guest.uid === uid && record.state === 'undoable'),
    put: (record) => documents.put(documentOf(record)),
    write: (record) => ({ put: documentOf(record) }),
    remove: (id) => documents.remove(prefix + id),
  };
}

/** VMIDs of guests that wait to be brought back or freed: never strangers, never leftovers. */
export function keptVmids(store: Pick<RestoreStore, 'all'>): ReadonlySet<Vmid> {
  return new Set(store.all().flatMap((record) => (isKept(record) ? [record.old.vmid] : [])));
}

export const isKept = (record: RestoreRecord): record is RestoreRecord & { readonly old: KeptGuest } =>
  record.state === 'undoable' && record.old !== undefined;

/** The guest as it was before, as work on a guest takes it. */
export function recordOfKept(record: Pick<RestoreRecord, 'guest'>, old: KeptGuest): GuestRecord {
  return {
    uid: record.guest.uid,
    name: record.guest.name,
    incarnation: old.incarnation,
    marker: old.marker,
    vmid: old.vmid,
    golden: old.golden,
    volumes: old.volumes.map((volume) => ({ ...volume, ctime: volume.ctime })),
    servedAt: old.servedAt,
    configDigest: '',
    createdAt: old.createdAt,
    scratch: false,
  };
}

export const lossOf = (old: Pick<KeptGuest, 'volumes'>): readonly VolumeId[] =>
  old.volumes.map((volume) => volume.volid).toSorted();
