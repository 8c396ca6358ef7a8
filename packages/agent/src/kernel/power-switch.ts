/**
 * Power loss, for the crash matrix, the simulation and the tests of this room: at the chosen moment the journal stops
 * writing, for good, and whatever the old process still believes no longer reaches the disk. What was committed before
 * stays. Opening the same database again is the next boot.
 */
import type { CrashPoint, CrashPoints } from './crash-points.ts';
import type { Journal } from './journal.ts';
import { JournalError } from './journal.ts';

export interface PowerSwitch {
  /** To be given to the runner in place of the real ones. */
  readonly journal: Journal;
  readonly crashPoints: CrashPoints;
  /** Aborted when the power goes: connections to the world close with it. */
  readonly off: AbortSignal;
  /** Every point that was reached, in order; the last one is where the power went, if it went at one. */
  readonly reached: readonly CrashPoint[];
  readonly crashedAt: CrashPoint | undefined;
  cut(): void;
}

/** `cutsAt` is asked at every crash point; `nth` counts how often this point was reached, from 1. */
export function installPowerSwitch(
  journal: Journal,
  cutsAt: (point: CrashPoint, nth: number) => boolean = () => false,
): PowerSwitch {
  const power = new AbortController();
  const reached: CrashPoint[] = [];
  let crashedAt: CrashPoint | undefined;
  const powered = <T>(work: () => T): T => {
    if (power.signal.aborted) throw new JournalError('journal-io', 'cannot use the journal: the power is off');
    return work();
  };
  return {
    journal: {
      epoch: journal.epoch,
      get hostEpoch() {
        return journal.hostEpoch;
      },
      renewHostEpoch: (next) => powered(() => journal.renewHostEpoch(next)),
      append: (records, documents) => powered(() => journal.append(records, documents)),
      recordsOf: (saga) => powered(() => journal.recordsOf(saga)),
      openSagas: () => powered(() => journal.openSagas()),
      recentSagas: (limit) => powered(() => journal.recentSagas(limit)),
      facts: (topic, limit) => powered(() => journal.facts(topic, limit)),
      storedEpoch: () => powered(() => journal.storedEpoch()),
      get: (key) => powered(() => journal.get(key)),
      put: (document) => powered(() => journal.put(document)),
      remove: (key) => powered(() => journal.remove(key)),
      list: (prefix) => powered(() => journal.list(prefix)),
      close: () => journal.close(),
    },
    crashPoints: {
      reached: (point) => {
        if (power.signal.aborted) throw new JournalError('journal-io', `cannot pass ${point}: the power is off`);
        reached.push(point);
        if (!cutsAt(point, reached.filter((each) => each === point).length)) return;
        crashedAt = point;
        power.abort(new Error(`the power went at ${point}`));
        throw new JournalError('journal-io', `the power went at ${point}`);
      },
    },
    off: power.signal,
    reached,
    get crashedAt() {
      return crashedAt;
    },
    cut: () => power.abort(new Error('the power went')),
  };
}
