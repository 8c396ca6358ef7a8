/** What ends by a date, and whether it is time to say so. Pure. */
import type { Finding } from '@felhom/protocol';

export interface Ending {
  /** Subject of the finding, e.g. `certificate of the hub`. */
  readonly what: string;
  /** Milliseconds since the epoch. */
  readonly endsAt: number;
  readonly advice: Finding['advice'];
}

const dayMs = 24 * 3_600_000;
const lastDays = 3;

export function judgeExpiry(endings: readonly Ending[], expiryDays: number, now: number): readonly Finding[] {
  return endings.flatMap(({ what, endsAt, advice }): Finding[] => {
    const days = (endsAt - now) / dayMs;
    if (days > expiryDays) return [];
    const day = new Date(endsAt).toISOString().slice(0, 10);
    return [
      {
        key: 'host.expires',
        severity: days > lastDays ? 'warning' : 'critical',
        subject: what.slice(0, 120),
        text: days <= 0 ? `The ${what} ended on ${day}.` : `The ${what} ends on ${day}.`,
        advice,
        since: now,
      },
    ];
  });
}
