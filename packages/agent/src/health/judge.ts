/**
 * How well a guest is, from what was seen of it so far. The guest is the author of most of it, so this can only lower
 * what was shown otherwise: unknown is never well, and one look is never enough. Pure.
 */
import type { WitnessSample } from '../ports/guest-witness.ts';
import { loopsOf, readyUnit, witnessUnit } from './history.ts';
import type { History, Round } from './history.ts';
import { readFacts } from './witness-facts.ts';

export interface Trouble {
  /** Without a fresh beat nothing that the witness says counts. */
  readonly witness: 'fresh' | 'stale';
  /** Checks that say they are not well, and checks that say nothing although they should. */
  readonly degraded: readonly string[];
  readonly unknown: readonly string[];
  readonly crashLoops: readonly string[];
  /** Not seen in three looks: failed, stopped or never started, which look the same from outside. */
  readonly absent: readonly string[];
  /** Processes that the kernel killed for want of memory, since the guest was started. */
  readonly oomKills: number;
}

/** `final`: waiting longer can change nothing any more. */
export type Health =
  | { readonly is: 'stopped' | 'frozen' | 'no-systemd' | 'booting'; readonly final: boolean }
  | { readonly is: 'boot-timeout'; readonly final: true }
  | { readonly is: 'unreadable'; readonly text: string; readonly final: boolean }
  | { readonly is: 'booted'; readonly bootedAt: number; readonly trouble: Trouble; readonly final: boolean }
  | {
      readonly is: 'healthy';
      readonly bootedAt: number;
      /** Seen, and not enough to be unwell. */
      readonly oomKills: number;
      readonly final: true;
    };

export interface Terms {
  /** Besides the two marker units. */
  readonly expectedUnits: readonly string[];
  /** Besides those that the witness named since the guest was started. */
  readonly expectedChecks?: readonly string[];
  readonly now: number;
  readonly startedAt: number;
  /** From the start until the ready marker, and from then until everything must be well. */
  readonly bootMs: number;
  readonly healthyMs: number;
}

const goodRounds = 3;
/** How long a guest may show nothing of systemd, or nothing at all, after it was started or while it reboots. */
const graceMs = 60_000;

export const unitsOf = (terms: Pick<Terms, 'expectedUnits'>): readonly string[] => [
  ...new Set([readyUnit, witnessUnit, ...terms.expectedUnits]),
];

export function judge(history: History, terms: Terms): Health {
  const last = history.rounds.at(-1);
  const late = terms.now >= terms.startedAt + terms.bootMs;
  const graceOver = late || terms.now >= terms.startedAt + graceMs;
  if (last === undefined) return late ? { is: 'boot-timeout', final: true } : { is: 'booting', final: false };
  const { sample } = last;
  const { bootedAt } = history;
  const tooLate = bootedAt === undefined ? late : terms.now >= bootedAt + terms.healthyMs;
  if (sample.is === 'stopped') return { is: 'stopped', final: tooLate || (graceOver && stayedDown(history)) };
  if (sample.is === 'unreadable') return { is: 'unreadable', text: sample.text, final: tooLate };
  if (sample.frozen) return { is: 'frozen', final: tooLate };
  if (!sample.init && graceOver) return { is: 'no-systemd', final: tooLate };
  if (bootedAt === undefined) return late ? { is: 'boot-timeout', final: true } : { is: 'booting', final: false };
  const newest = history.rounds.slice(-goodRounds);
  const crashLoops = loopsOf(history);
  const well =
    crashLoops.length === 0 &&
    newest.length === goodRounds &&
    newest.every((round, at) => isGood(round, newest[at - 1], history, terms));
  if (well) return { is: 'healthy', bootedAt, oomKills: sample.oomKills, final: true };
  const facts = factsOf(last, history, terms);
  return {
    is: 'booted',
    bootedAt,
    trouble: { ...facts, crashLoops, absent: absentIn(newest, terms), oomKills: sample.oomKills },
    final: tooLate,
  };
}

/** Three looks: a guest that reboots is gone for a moment. */
const stayedDown = ({ rounds }: History): boolean =>
  rounds.length >= goodRounds && rounds.slice(-goodRounds).every(({ sample }) => sample.is === 'stopped');

type Seen = Extract<WitnessSample, { is: 'seen' }>;

const isThere = (sample: Seen, unit: string): boolean => sample.units.get(unit)?.populated === true;

function isGood(round: Round, before: Round | undefined, history: History, terms: Terms): boolean {
  const { sample } = round;
  if (sample.is !== 'seen' || sample.frozen || !sample.init || sample.boot !== history.boot) return false;
  if (!unitsOf(terms).every((unit) => isThere(sample, unit))) return false;
  if (before?.sample.is === 'seen' && before.sample.oomKills !== sample.oomKills) return false;
  const { witness, degraded, unknown } = factsOf(round, history, terms);
  return witness === 'fresh' && degraded.length === 0 && unknown.length === 0;
}

function factsOf(round: Round, history: History, terms: Terms): Pick<Trouble, 'witness' | 'degraded' | 'unknown'> {
  const { sample, at } = round;
  // Without its unit whatever lies there was left behind.
  const there = sample.is === 'seen' && isThere(sample, witnessUnit);
  const facts = readFacts(there ? sample.facts : [], at);
  const expected = [...new Set([...history.checks, ...(terms.expectedChecks ?? [])])].toSorted();
  if (facts.beat === 'stale') return { witness: 'stale', degraded: [], unknown: expected };
  const said = new Set([...facts.ok, ...facts.no]);
  return { witness: 'fresh', degraded: facts.no, unknown: expected.filter((check) => !said.has(check)) };
}

function absentIn(newest: readonly Round[], terms: Terms): readonly string[] {
  if (newest.length < goodRounds) return [];
  return unitsOf(terms).filter((unit) => newest.every(({ sample }) => sample.is === 'seen' && !isThere(sample, unit)));
}
