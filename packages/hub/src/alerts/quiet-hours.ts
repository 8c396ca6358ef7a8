/**
 * Quiet hours in a place's own time. Asked anew at every moment instead of computed ahead, so that the nights on which
 * clocks are set need no rule of their own: whatever the wall clock there shows is what counts.
 */
import type { QuietHours } from './settings.ts';

/** Minutes since midnight in that time zone. */
export function minuteOfDay(now: number, timeZone: string): number {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const parts = format.formatToParts(now);
  const of = (type: 'hour' | 'minute') => Number(parts.find((part) => part.type === type)?.value);
  return of('hour') * 60 + of('minute');
}

/** From the minute of `from` up to, and without, the minute of `to`; over midnight where `to` is earlier. */
export function isQuiet(now: number, hours: QuietHours | undefined): boolean {
  if (hours === undefined) return false;
  const at = minuteOfDay(now, hours.timeZone);
  const from = minutes(hours.from);
  const to = minutes(hours.to);
  return from < to ? at >= from && at < to : at >= from || at < to;
}

function minutes(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
}
