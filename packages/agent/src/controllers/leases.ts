/**
 * Quiesce leases: for how long a guest's apps are held still. One per guest, for seconds; it ends when the storage has
 * the state, when the guest says so, or at its deadline, whoever is alive then [R35]. A lease is never prolonged.
 */
import { z } from 'zod';
import { guestUid, reason } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import { base32 } from '../guests/mint.ts';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const leaseRecord = z.strictObject({
  guest: guestUid,
  lease: z.string().regex(/^[a-z2-7]{26}$/),
  /** What it is for; absent: an operation of the guest's own. */
  due: z.string().max(40).optional(),
  at: time,
  until: time,
  captured: z.boolean(),
});
export type QuiesceLease = z.output<typeof leaseRecord>;

export interface Leases {
  /** Asked again for the same thing it answers with the lease that stands. `seconds` may be shortened. */
  take(
    guest: GuestUid,
    wish: { readonly seconds: number; readonly due?: string },
  ): Outcome<{ readonly lease: string; readonly until: number }>;
  /** The one that stands now. */
  standing(guest: GuestUid): QuiesceLease | undefined;
  isHeld(guest: GuestUid, lease: string): boolean;
  /** The storage holds the state: apps may go on. */
  captured(guest: GuestUid, lease: string): void;
  end(guest: GuestUid): void;
}

export interface LeasesNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
  /** `backups.captureSeconds` of the policy. */
  readonly captureSeconds: () => number;
}

export function createLeases({ documents, clock, random, captureSeconds }: LeasesNeeds): Leases {
  const keyOf = (guest: GuestUid): string => `quiesce/${guest}`;
  const find = (guest: GuestUid): QuiesceLease | undefined => {
    const stored = documents.get(keyOf(guest));
    return stored === undefined ? undefined : leaseRecord.parse(stored.body);
  };
  const standing = (guest: GuestUid): QuiesceLease | undefined => {
    const lease = find(guest);
    const now = clock.now();
    // Also none where the clock was set back: a lease that seems to last longer than it may is over.
    return lease === undefined || lease.captured || now < lease.at || now >= lease.until ? undefined : lease;
  };
  return {
    take(guest, { seconds, due }) {
      const held = standing(guest);
      if (held !== undefined)
        return held.due === due
          ? done({ lease: held.lease, until: held.until })
          : refused(reason('quiesce.in-use', `cannot hold the apps still: they are held already until ${held.until}`));
      const at = Math.trunc(clock.now());
      const lease: QuiesceLease = {
        guest,
        lease: base32(random.bytes(16)),
        ...(due === undefined ? {} : { due }),
        at,
        until: at + Math.min(seconds, captureSeconds()) * 1000,
        captured: false,
      };
      documents.put({ key: keyOf(guest), v: 1, body: lease });
      return done({ lease: lease.lease, until: lease.until });
    },
    standing,
    isHeld: (guest, lease) => standing(guest)?.lease === lease,
    captured(guest, lease) {
      const found = find(guest);
      if (found?.lease === lease) documents.put({ key: keyOf(guest), v: 1, body: { ...found, captured: true } });
    },
    end: (guest) => documents.remove(keyOf(guest)),
  };
}
