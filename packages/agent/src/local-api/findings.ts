/**
 * What the transport noticed about guests, counted: who asks without end, who shows another's token, whose MAC is at two
 * ports. Held in memory, one entry for each cause and guest, gone an hour after the last time.
 */
import type { Finding, GuestUid } from '@felhom/protocol';

export type Suspicion = 'flood' | 'foreign-token' | 'ambiguous-mac';

export interface Findings {
  /** `subject`: a guest's uid, or the MAC that is at two ports. */
  note(what: Suspicion, subject: GuestUid | string, now: number): void;
  list(now: number): Finding[];
}

const keptMs = 3_600_000;
const maxKept = 256;
/** Refusals that are no flood yet: a client that is a little too eager. */
const eagerness = 100;

const words: Record<Suspicion, { severity: Finding['severity']; text: (n: number) => string; advice: string }> = {
  flood: {
    severity: 'warning',
    text: (n) =>
      `asks its host more than it may: ${n} requests or connections were refused; no other guest waits for it`,
    advice: 'Look at what runs in the guest; it may be broken or taken over.',
  },
  'foreign-token': {
    severity: 'critical',
    text: (n) => `showed the token of another guest ${n} times; it was refused`,
    advice: 'Somebody has that token: redeem a new claim for its owner, and look at both guests.',
  },
  'ambiguous-mac': {
    severity: 'warning',
    text: (n) => `was seen at two network ports within a minute, ${n} times; nobody with it is let in`,
    advice: 'Look for a copy of a guest that runs with the same MAC, or a guest that pretends to be another.',
  },
};

export function createFindings(): Findings {
  const kept = new Map<string, { what: Suspicion; subject: string; count: number; since: number; at: number }>();
  const forget = (now: number): void => {
    for (const [key, { at }] of kept) if (now - at >= keptMs) kept.delete(key);
  };
  return {
    note: (what, subject, now) => {
      const key = `${what} ${subject}`;
      const known = kept.get(key);
      if (known !== undefined && now - known.at < keptMs) {
        known.count += 1;
        known.at = now;
        return;
      }
      forget(now);
      if (kept.size < maxKept) kept.set(key, { what, subject, count: 1, since: now, at: now });
    },
    list: (now) => {
      forget(now);
      return [...kept.values()]
        .filter(({ what, count }) => what !== 'flood' || count >= eagerness)
        .map(({ what, subject, count, since }) => ({
          key: `local-api.${what}`,
          severity: words[what].severity,
          subject,
          text: `${what === 'ambiguous-mac' ? 'MAC' : 'guest'} ${subject} ${words[what].text(count)}`,
          advice: { text: words[what].advice },
          since,
        }));
    },
  };
}
