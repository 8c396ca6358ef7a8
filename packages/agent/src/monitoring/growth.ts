/** How fast a file system fills, from a few marks of the last hours. Pure. */
import type { Use } from '../ports/host-facts.ts';
import type { Moment } from './latch.ts';

/** Oldest first. */
export type Growth = readonly { readonly monotonicMs: number; readonly usedBytes: number }[];

const markEveryMs = 10 * 60_000;
const marks = 36;
/** Less than this tells nothing about the next day. */
const leastSpanMs = 60 * 60_000;

/** `hoursToFull`: at the rate between the oldest mark and now; `undefined` where it does not grow or is not known yet. */
export function growthOf(
  before: Growth,
  use: Use | undefined,
  { monotonicMs }: Pick<Moment, 'monotonicMs'>,
): { readonly kept: Growth; readonly hoursToFull: number | undefined } {
  if (use === undefined) return { kept: before, hoursToFull: undefined };
  const last = before.at(-1);
  const due = last === undefined || monotonicMs - last.monotonicMs >= markEveryMs;
  const kept = due ? [...before, { monotonicMs, usedBytes: use.usedBytes }].slice(-marks) : before;
  const first = kept[0];
  if (first === undefined || monotonicMs - first.monotonicMs < leastSpanMs) return { kept, hoursToFull: undefined };
  const perHour = ((use.usedBytes - first.usedBytes) * 3_600_000) / (monotonicMs - first.monotonicMs);
  return { kept, hoursToFull: perHour <= 0 ? undefined : Math.max(0, use.totalBytes - use.usedBytes) / perHour };
}
