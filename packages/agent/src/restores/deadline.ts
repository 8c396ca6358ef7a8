/** How long a guest may be out of service for a restore before it is put back as it was [R16]. Pure. */
import { reason } from '@felhom/protocol';
import type { Clock } from '../kernel/clock.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

/** From the stop of the one to the health of the other: what is written in between, an unwinding discards. */
export const outageAtMostMs = 10 * 60_000;

/** `since`: wall time at which the guest was taken out of service; `undefined`: it was not yet, or did not serve. */
export function inTime(name: string, since: number | undefined, clock: Pick<Clock, 'now'>): Outcome<void> {
  if (since === undefined || clock.now() - since <= outageAtMostMs) return done(undefined);
  return refused(
    reason(
      'restore.too-slow',
      `cannot go on with guest ${name}: it has been out of service for more than ${outageAtMostMs / 60_000} minutes`,
    ),
  );
}
