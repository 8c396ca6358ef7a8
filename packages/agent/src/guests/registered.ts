/** Work on a guest that is in the registry: who it is, and what the registry says of it afterwards. */
import { reason } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import { z } from 'zod';
import { guestName, guestUid } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { Acting } from './needs.ts';

export const guestRef = z.strictObject({
  uid: guestUid,
  incarnation: z.number().int().min(1),
  name: guestName,
}) satisfies z.ZodType<GuestRef>;

/** Read again in every step: the marker may have been minted anew since the saga began. */
export function recordOf(ctx: Pick<Acting, 'needs'>, guest: GuestRef): Outcome<GuestRecord> {
  const record = ctx.needs.registry.byUid(guest.uid);
  if (record === undefined || record.incarnation !== guest.incarnation)
    return refused(
      reason(
        'guest.unknown-uid',
        `cannot change guest ${guest.name}: ${guest.uid}.${guest.incarnation} is not on record`,
      ),
    );
  return done(record);
}

/** Idempotent, and only as new as the write it follows: a person's later edit keeps showing as one. */
export function keepRecord(
  ctx: Pick<Acting, 'needs'>,
  uid: GuestUid,
  update: (record: GuestRecord) => GuestRecord,
): Outcome<void> {
  const record = ctx.needs.registry.byUid(uid);
  if (record === undefined)
    return refused(reason('guest.unknown-uid', `cannot record a change: guest ${uid} is not on record`));
  ctx.needs.registry.put(update(record));
  return done(undefined);
}
