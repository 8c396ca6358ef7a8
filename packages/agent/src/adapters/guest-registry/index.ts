/**
 * The registry of guests, kept as documents of the journal: the only provenance there is. What is in memory is what is
 * on disk, because a record is written first and remembered afterwards.
 */
import { z } from 'zod';
import { guestName, guestUid, vmid, volumeId } from '@felhom/protocol';
import type { GuestRecord, GuestRegistry } from '../../authority/guest-record.ts';
import type { Documents } from '../../kernel/journal.ts';

const prefix = 'guest/';

const guestRecord = z.strictObject({
  uid: guestUid,
  incarnation: z.number().int().min(1),
  marker: z.string().min(1).max(64),
  name: guestName,
  vmid,
  golden: z.string(),
  volumes: z.array(
    z.strictObject({
      key: z.string(),
      name: z.string(),
      volid: volumeId,
      sizeGiB: z.number(),
      ctime: z.number().optional(),
      carriedOver: z.boolean(),
    }),
  ),
  servedAt: z.number().optional(),
  configDigest: z.string(),
  createdAt: z.number(),
  scratch: z.boolean(),
});

/**
 * Throws when a stored record does not read: an agent that forgot one of its guests would take it for a stranger's, so
 * it must not start over it.
 */
export function createGuestRegistry(documents: Pick<Documents, 'list' | 'put' | 'remove'>): GuestRegistry {
  const records = new Map<string, GuestRecord>();
  for (const { key, v, body } of documents.list(prefix)) {
    const parsed = guestRecord.safeParse(body);
    if (v !== 1 || !parsed.success)
      throw new Error(`cannot use the journal: its record ${key} (version ${v}) does not read; known versions: 1`);
    records.set(parsed.data.uid, withAbsent(parsed.data));
  }
  const find = (matches: (record: GuestRecord) => boolean): GuestRecord | undefined =>
    [...records.values()].find(matches);
  return {
    all: () => [...records.values()],
    byName: (name) => find((record) => record.name === name && !record.scratch),
    byUid: (uid) => records.get(uid),
    byVmid: (vmid) => find((record) => record.vmid === vmid),
    put: (record) => {
      documents.put({ key: prefix + record.uid, v: 1, body: record });
      records.set(record.uid, record);
    },
    remove: (uid) => {
      documents.remove(prefix + uid);
      records.delete(uid);
    },
  };
}

/** JSON drops what is undefined; the record's type says it is there and undefined. */
function withAbsent(parsed: z.output<typeof guestRecord>): GuestRecord {
  return {
    ...parsed,
    servedAt: parsed.servedAt,
    volumes: parsed.volumes.map((volume) => ({ ...volume, ctime: volume.ctime })),
  };
}
