/**
 * What was seen of a guest since it was started, folded so that it stays small however long one looks. A guest that was
 * started anew (another inode of its cgroup root) has a new history: what was before says nothing about it. Pure.
 */
import type { WitnessSample } from '../ports/guest-witness.ts';
import { readFacts } from './witness-facts.ts';

export interface Round {
  /** Host wall time, milliseconds. */
  readonly at: number;
  readonly sample: WitnessSample;
}

export interface History {
  /** The newest ones, oldest first. */
  readonly rounds: readonly Round[];
  readonly boot: string | undefined;
  /** Times that it was started anew while it was looked at. */
  readonly reboots: number;
  /** When its ready marker was first seen in this boot. */
  readonly bootedAt: number | undefined;
  /** By the samples, and by what the kernel told: each counts for itself, or one end would count twice. */
  readonly sampled: ReadonlyMap<string, UnitLife>;
  readonly told: ReadonlyMap<string, UnitLife>;
  /** Checks that the witness named in this boot: one that is no longer named is unknown. */
  readonly checks: ReadonlySet<string>;
}

interface UnitLife {
  /** The newest ends that were seen, at most as many as make a loop. */
  readonly ends: readonly number[];
  /** Since when it has been as it is, and whether that is: there. */
  readonly since: number;
  readonly there: boolean;
  readonly inode: string;
  /** It ended often enough in a short time, and has not stayed since. */
  readonly loops: boolean;
}

export const readyUnit = 'felhom-ready.service';
export const witnessUnit = 'felhom-witness.service';

/** So many restarts within so long are a crash loop; staying for as long is its end. */
export const loopEnds = 3;
export const loopMs = 120_000;
/** More rounds than anything looks back. */
const keptRounds = 16;
/** A guest can make as many names as it likes. */
const keptUnits = 512;
const keptChecks = 64;

export const emptyHistory: History = {
  rounds: [],
  boot: undefined,
  reboots: 0,
  bootedAt: undefined,
  sampled: new Map(),
  told: new Map(),
  checks: new Set(),
};

export function withSample(history: History, round: Round): History {
  const { sample, at } = round;
  const rounds = [...history.rounds, round].slice(-keptRounds);
  if (sample.is !== 'seen') return { ...history, rounds };
  const anew = history.boot !== undefined && history.boot !== sample.boot;
  const before: History = anew ? { ...emptyHistory, reboots: history.reboots + 1 } : history;
  const facts = readFacts(sample.facts, at);
  const sampled = new Map(before.sampled);
  for (const [unit, life] of sampled) if (life.there && !sample.units.has(unit)) sampled.set(unit, ended(life, at));
  for (const [unit, { inode }] of sample.units) {
    const life = sampled.get(unit);
    if (life?.there === true && life.inode === inode) sampled.set(unit, settled(life, at));
    // Another inode: it ended and came back between two looks.
    else put(sampled, unit, came(life?.there === true ? ended(life, at) : life, at, inode));
  }
  return {
    rounds: anew ? [round] : rounds,
    boot: sample.boot,
    reboots: before.reboots,
    bootedAt: before.bootedAt ?? (sample.units.get(readyUnit)?.populated === true ? at : undefined),
    sampled,
    told: new Map([...before.told].map(([unit, life]) => [unit, settled(life, at)])),
    checks: new Set([...before.checks, ...facts.ok, ...facts.no].slice(0, keptChecks)),
  };
}

/** What the kernel told between two samples, so that a loop faster than they are is seen. */
export function withEvent(history: History, at: number, unit: string, what: 'came' | 'went'): History {
  // Mounts, slices and the like come and go as they please.
  if (!/\.(?:service|scope)$/.test(unit)) return history;
  const life = history.told.get(unit);
  const told = new Map(history.told);
  put(told, unit, what === 'came' ? came(life, at, '') : ended(life, at));
  return { ...history, told };
}

/** Units in a crash loop, by name. */
export function loopsOf(history: History): readonly string[] {
  const loops = [...history.sampled, ...history.told].flatMap(([unit, life]) => (life.loops ? [unit] : []));
  return [...new Set(loops)].toSorted();
}

function put(units: Map<string, UnitLife>, unit: string, life: UnitLife): void {
  if (units.has(unit) || units.size < keptUnits) units.set(unit, life);
}

function came(life: UnitLife | undefined, at: number, inode: string): UnitLife {
  return { ends: life?.ends ?? [], since: at, there: true, inode, loops: life?.loops ?? false };
}

function ended(life: UnitLife | undefined, at: number): UnitLife {
  const ends = [...(life?.ends ?? []), at].slice(-loopEnds);
  const loops = life?.loops === true || (ends.length === loopEnds && at - (ends[0] ?? at) <= loopMs);
  return { ends, since: at, there: false, inode: '', loops };
}

/** One that gave up after a loop stays one; only running for a while ends it. */
const settled = (life: UnitLife, at: number): UnitLife =>
  life.loops && life.there && at - life.since >= loopMs ? { ...life, loops: false, ends: [] } : life;
