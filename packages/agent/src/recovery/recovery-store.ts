/** What came back from which backup, durable, the last one of each guest: for people, and so that it is not repeated. */
import { z } from 'zod';
import { digest, guestName, guestUid, vmid, volumeId } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0);

export const recovery = z.strictObject({
  guest: guestUid,
  name: guestName,
  incarnation: z.number().int().min(1),
  from: vmid,
  to: vmid,
  tier: z.string(),
  archive: volumeId,
  sha256: digest,
  /** Of the data that came back, where the catalogue still knows. */
  takenAt: time.optional(),
  proven: z.boolean(),
  startedAt: time,
  at: time,
  /** Volumes that no backup holds and that were gone too: they came back empty, or not at all. */
  emptied: z.array(z.string().max(200)).max(64),
  /** What else differs from before. */
  notes: z.array(z.string().max(300)).max(64),
});
export type Recovery = z.output<typeof recovery>;

const prefix = 'recovery/';
const shapeVersion = 1;

export interface RecoveryStore {
  all(): readonly Recovery[];
  put(recovery: Recovery): void;
  /** Of a guest that is gone from the registry. */
  remove(uid: GuestUid): void;
}

/** Throws on a record that this release cannot read: without it a guest might come back twice a day. */
export function createRecoveryStore(documents: Pick<Documents, 'put' | 'remove' | 'list'>): RecoveryStore {
  return {
    all: () =>
      documents.list(prefix).map(({ key, body }) => {
        const parsed = recovery.safeParse(body);
        if (!parsed.success) throw new Error(`cannot read ${key}: ${parsed.error.message}`);
        return parsed.data;
      }),
    put: (value) => documents.put({ key: prefix + value.guest, v: shapeVersion, body: recovery.parse(value) }),
    remove: (uid) => documents.remove(prefix + uid),
  };
}
