/** Checkpoints of guests, durable: snapshots and quick backups that were taken before something, and until when they stay. */
import { z } from 'zod';
import { guestUid } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import { refOf } from '../authority/guest-record.ts';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0);
/** Of a snapshot as Proxmox has it, or `b` and the id of a backup. */
export const checkpointName = z.string().regex(/^[a-zA-Z][a-zA-Z0-9_-]{1,39}$/);

export const checkpoint = z.strictObject({
  guest: guestUid,
  incarnation: z.number().int().min(1),
  name: checkpointName,
  by: z.enum(['snapshot', 'backup']),
  /** `update` is the agent's own and cannot be named by a guest; `deploy` is the guest's. */
  purpose: z.enum(['deploy', 'update']),
  takenAt: time,
});
export type Checkpoint = z.output<typeof checkpoint>;

export interface Checkpoints {
  /** Oldest first. */
  of(guest: GuestUid): readonly Checkpoint[];
  find(guest: GuestUid, name: string): Checkpoint | undefined;
  /** By name; noted again it stays as it was. */
  note(
    guest: GuestRef,
    taken: Pick<Checkpoint, 'name' | 'takenAt' | 'purpose'> & Partial<Pick<Checkpoint, 'by'>>,
  ): void;
  /** The guest was rolled back, which raised its incarnation by one: its snapshots are still there, and still its own. */
  carryOver(guest: GuestRef): void;
  remove(guest: GuestUid, name: string): void;
  forget(guest: GuestUid): void;
}

const prefix = 'checkpoint/';

/** Throws on a document that this release cannot read: a checkpoint that is forgotten is never dropped. */
export function createCheckpoints(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): Checkpoints {
  const keyOf = (guest: GuestUid, name: string): string => `${prefix}${guest}/${name}`;
  const find = (guest: GuestUid, name: string): Checkpoint | undefined => {
    const found = documents.get(keyOf(guest, name));
    return found === undefined ? undefined : checkpoint.parse(found.body);
  };
  const of = (guest: GuestUid): readonly Checkpoint[] =>
    documents
      .list(`${prefix}${guest}/`)
      .map(({ body }) => checkpoint.parse(body))
      .toSorted((a, b) => a.takenAt - b.takenAt);
  return {
    of,
    find,
    note(guest, { name, takenAt, purpose, by = 'snapshot' }) {
      if (find(guest.uid, name) !== undefined) return;
      const { uid, incarnation } = guest;
      const body: Checkpoint = { guest: uid, incarnation, name, by, purpose, takenAt: Math.trunc(takenAt) };
      documents.put({ key: keyOf(uid, name), v: 1, body: checkpoint.parse(body) });
    },
    carryOver({ uid, incarnation }) {
      for (const kept of of(uid))
        if (kept.by === 'snapshot' && kept.incarnation === incarnation - 1)
          documents.put({ key: keyOf(uid, kept.name), v: 1, body: { ...kept, incarnation } });
    },
    remove: (guest, name) => documents.remove(keyOf(guest, name)),
    forget(guest) {
      for (const { key } of documents.list(`${prefix}${guest}/`)) documents.remove(key);
    },
  };
}

/** Those whose time is over: snapshots grow with every write of their guest, and each counts. Pure but for the store. */
export function expiredCheckpoints(
  store: Pick<Checkpoints, 'of'>,
  guests: readonly GuestRecord[],
  { checkpointHours }: Pick<HostPolicy['backups'], 'checkpointHours'>,
  now: number,
): readonly { readonly guest: GuestRef; readonly name: string }[] {
  return guests.flatMap((record) =>
    store
      .of(record.uid)
      .filter(({ takenAt }) => now - takenAt >= checkpointHours * 3_600_000)
      .map(({ name }) => ({ guest: refOf(record), name })),
  );
}
