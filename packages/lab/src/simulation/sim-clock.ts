/**
 * Simulated time. Nothing waits: when every task sleeps, the clock jumps to the next timer. Timers fire in the order of
 * their time, equal times in the order they were set, and all work that a timer wakes is finished before the next one
 * fires; so the same seed gives the same run, and a simulated hour costs what the work in it costs.
 *
 * One object serves the agent (wall, monotonic and boot time, abortable sleep) and the fake node (`now`, `sleep`).
 */
import type { FakeClock } from '../fake-pve/core.ts';

export interface SimClock extends FakeClock {
  now(): number;
  monotonicMs(): number;
  bootMs(): number;
  /** With a signal: rejects with its reason when aborted. Without: rejects never. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;

  /** Lets simulated time pass; every timer due on the way fires, each at its own time. */
  advance(ms: number): Promise<void>;
  /** Fires timers until none is left, or until the next one lies more than `atMostMs` ahead of the start. */
  runUntilIdle(atMostMs?: number): Promise<'idle' | 'limit'>;
  /**
   * Fires timers until the promise has settled, and answers as it does. Throws when nothing is left to fire (a
   * deadlock) or `atMostMs` of simulated time have passed.
   */
  runUntil<T>(promise: Promise<T>, atMostMs?: number): Promise<T>;
  /** Finishes all work that waits for no timer. */
  settle(): Promise<void>;
  /** Work on real IO (compression, files): simulated time stands still until it has settled. */
  io<T>(work: Promise<T>): Promise<T>;

  /** The wall clock is set, forwards or backwards; durations do not notice. */
  jumpWall(ms: number): void;
  /** The machine sleeps: wall and boot time pass, monotonic time does not, and no timer fires. */
  suspend(ms: number): void;
  /** Timers waiting, for diagnosis. */
  readonly pending: number;
}

interface Timer {
  readonly at: number;
  readonly fire: () => void;
}

/** Rounds of the event loop that count as "nothing is going on any more"; each round drains all microtasks. */
const quietRounds = 2;

/** `startAt`: wall time of the first instant, milliseconds since the epoch. */
export function createSimClock(startAt = Date.UTC(2026, 0, 1)): SimClock {
  let monotonic = 0;
  let asleep = 0;
  let wallOffset = startAt;
  /** Sorted; the next to fire comes last. */
  const timers: Timer[] = [];
  const inFlight = new Set<Promise<unknown>>();

  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < quietRounds; quiet += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (inFlight.size === 0) continue;
      await Promise.allSettled(inFlight);
      quiet = -1;
    }
  };

  const fireNext = async (): Promise<void> => {
    const timer = timers.pop();
    if (timer === undefined) return;
    monotonic = Math.max(monotonic, timer.at);
    timer.fire();
    await settle();
  };

  const runTo = async (end: number, isOver: () => boolean): Promise<void> => {
    await settle();
    for (let next = timers.at(-1); next !== undefined && next.at <= end && !isOver(); next = timers.at(-1))
      await fireNext();
  };

  return {
    // As every wall clock tells it: in whole milliseconds.
    now: () => Math.floor(wallOffset + monotonic + asleep),
    monotonicMs: () => monotonic,
    bootMs: () => monotonic + asleep,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        const abort = (): void => {
          timers.splice(timers.indexOf(timer), 1);
          reject(signal?.reason as Error);
        };
        const timer: Timer = {
          at: monotonic + Math.max(0, ms),
          fire: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        signal?.addEventListener('abort', abort, { once: true });
        insert(timers, timer);
      }),
    advance: async (ms) => {
      const end = monotonic + ms;
      await runTo(end, () => false);
      monotonic = end;
    },
    runUntilIdle: async (atMostMs = Infinity) => {
      await runTo(monotonic + atMostMs, () => false);
      return timers.length === 0 ? 'idle' : 'limit';
    },
    runUntil: async (promise, atMostMs = Infinity) => {
      let settled = false;
      const end = monotonic + atMostMs;
      const mark = (): void => {
        settled = true;
      };
      promise.then(mark, mark);
      await runTo(end, () => settled);
      if (settled) return promise;
      throw new Error(
        timers.length === 0
          ? 'cannot wait any longer: nothing is left that could happen'
          : `cannot wait any longer: ${atMostMs} ms of simulated time have passed`,
      );
    },
    settle,
    io: (work) => {
      const tracked: Promise<unknown> = work.then(
        () => inFlight.delete(tracked),
        () => inFlight.delete(tracked),
      );
      inFlight.add(tracked);
      return work;
    },
    jumpWall: (ms) => {
      wallOffset += ms;
    },
    suspend: (ms) => {
      asleep += ms;
    },
    get pending() {
      return timers.length;
    },
  };
}

/** Keeps `timers` in falling order of time; among equals the one set first stays nearest to the end. */
function insert(timers: Timer[], timer: Timer): void {
  let low = 0;
  let high = timers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((timers[middle] as Timer).at > timer.at) low = middle + 1;
    else high = middle;
  }
  timers.splice(low, 0, timer);
}
