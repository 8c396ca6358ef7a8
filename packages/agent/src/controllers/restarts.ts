/** How often the agent itself has restarted a guest: at most three times an hour, over crashes of the agent too [R17]. */
import { z } from 'zod';
import { reason } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const restartsRecord = z.array(z.strictObject({ saga: z.string().max(80), at: time })).max(16);

export const restartsPerHour = 3;
const hourMs = 3_600_000;

export interface Restarts {
  /** Counts a restart before it happens; durable. The same saga counts once. */
  take(guest: GuestRef, saga: string): Outcome<void>;
  /** Times of restarts since `since`, at most the newest 16. */
  since(uid: GuestUid, since: number): readonly number[];
  forget(uid: GuestUid): void;
}

export function createRestarts(
  documents: Pick<Documents, 'get' | 'put' | 'remove'>,
  clock: Pick<Clock, 'now'>,
): Restarts {
  const keyOf = (uid: GuestUid): string => `restarts/${uid}`;
  const all = (uid: GuestUid): z.output<typeof restartsRecord> => {
    const stored = documents.get(keyOf(uid));
    return stored === undefined ? [] : restartsRecord.parse(stored.body);
  };
  return {
    take(guest, saga) {
      const known = all(guest.uid);
      if (known.some((restart) => restart.saga === saga)) return done(undefined);
      const now = Math.trunc(clock.now());
      // One from the future, under another clock, counts as well: rather one restart too few.
      if (known.filter(({ at }) => at > now - hourMs).length >= restartsPerHour)
        return refused(
          reason(
            'controller.restarted-often',
            `cannot restart guest ${guest.name}: it was restarted ${restartsPerHour} times within the hour`,
          ),
        );
      documents.put({ key: keyOf(guest.uid), v: 1, body: [...known, { saga, at: now }].slice(-16) });
      return done(undefined);
    },
    since: (uid, since) =>
      all(uid)
        .map(({ at }) => at)
        .filter((at) => at >= since),
    forget: (uid) => documents.remove(keyOf(uid)),
  };
}
