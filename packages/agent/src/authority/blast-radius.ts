/**
 * How many guests one kind of change may touch per rolling 24 hours. Counting per pass would be no limit: one guest
 * every 30 seconds is the whole host by lunch.
 */
import type { GuestName } from '@felhom/protocol';
import type { Touch } from './facts.ts';
import type { BlastGroup } from './gate-row.ts';

export const blastWindowMs = 24 * 60 * 60_000;

/** A guest that was already touched in this way counts once, so work that was begun can be finished. */
export function isBlastLimitReached(
  group: BlastGroup | undefined,
  guest: GuestName,
  touches: readonly Touch[],
  limit: number,
  now: number,
): boolean {
  if (group === undefined) return false;
  const touched = new Set(
    // An entry from the future means that the clock went back; it still counts.
    touches.filter((touch) => touch.group === group && touch.at > now - blastWindowMs).map((touch) => touch.guest),
  );
  return !touched.has(guest) && touched.size >= limit;
}
