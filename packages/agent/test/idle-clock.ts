/** A clock for tests: time stands still while anything happens and jumps to the next sleeper when nothing does. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../src/kernel/clock.ts';

export interface IdleClock extends Clock {
  /** Lets time pass until `work` is settled. Fails instead of hanging when nobody sleeps and nothing happens. */
  until<T>(work: Promise<T>): Promise<T>;
}

export function createIdleClock(startMs = 1_800_000_000_000): IdleClock {
  let ms = 0;
  const sleepers = new Set<{ at: number; wake: () => void }>();
  return {
    now: () => startMs + ms,
    monotonicMs: () => ms,
    bootMs: () => ms,
    sleep(forMs, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const sleeper = {
          at: ms + forMs,
          wake: () => {
            signal.removeEventListener('abort', giveUp);
            resolve();
          },
        };
        const giveUp = (): void => {
          sleepers.delete(sleeper);
          reject(signal.reason);
        };
        sleepers.add(sleeper);
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
    async until(work) {
      let settled = false;
      const watch = (): void => {
        settled = true;
      };
      work.then(watch, watch);
      for (let idle = 0; ; idle += 1) {
        await turn();
        await turn();
        if (settled) return work;
        const next = [...sleepers].sort((a, b) => a.at - b.at)[0];
        if (next === undefined) {
          if (idle > 1_000) throw new Error('nobody sleeps and nothing happens');
          continue;
        }
        idle = 0;
        sleepers.delete(next);
        ms = Math.max(ms, next.at);
        next.wake();
      }
    },
  };
}
