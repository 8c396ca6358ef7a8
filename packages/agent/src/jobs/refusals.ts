/**
 * Envelopes that were refused, as far as people have to know. Whoever sends junk must not thereby fill the audit log or
 * hide among it, so entries are limited per hour and what exceeds them is counted.
 */
import type { Finding, Reason } from '@felhom/protocol';

export interface Refusals {
  /** Whether this one is worth an entry of its own in the audit log. */
  note(why: Reason, now: number): boolean;
  findings(now: number): readonly Finding[];
}

const hourMs = 60 * 60_000;
const entriesPerHour = 20;
const shownForMs = 24 * hourMs;

interface Seen {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly text: string;
}

export function createRefusals(): Refusals {
  const byCode = new Map<string, Seen>();
  let hour = { since: 0, entries: 0 };
  return {
    note: (why, now) => {
      const seen = byCode.get(why.code);
      byCode.set(why.code, { first: seen?.first ?? now, last: now, count: (seen?.count ?? 0) + 1, text: why.text });
      if (Math.abs(now - hour.since) >= hourMs) hour = { since: now, entries: 0 };
      hour = { ...hour, entries: hour.entries + 1 };
      return hour.entries <= entriesPerHour;
    },
    findings: (now) =>
      [...byCode].flatMap(([code, seen]): Finding[] => {
        if (now - seen.last > shownForMs) {
          byCode.delete(code);
          return [];
        }
        return [
          {
            key: `envelope.refused.${code.replaceAll(/[^a-z0-9.-]/g, '-')}`,
            severity: code === 'job.unreadable' || code === 'job.not-signed' ? 'critical' : 'warning',
            subject: 'host',
            text: `${seen.count === 1 ? 'An envelope was' : `${seen.count} envelopes were`} refused; the last: ${seen.text}`.slice(
              0,
              1000,
            ),
            advice: {
              text: 'If nobody of yours sent it, the hub is being misused; if somebody did, make the job again.',
              command: 'felhom jobs HOST',
            },
            since: seen.first,
          },
        ];
      }),
  };
}
