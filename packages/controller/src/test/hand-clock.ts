/** A clock that goes on when it is told to; everything that a moment wakes is done before the next one comes. */
import type { Clock, Random } from '../ports.ts';

export interface HandClock extends Clock {
  advance(ms: number): Promise<void>;
}

export function handClock(start = 1_800_000_000_000): HandClock {
  let now = start;
  const timers: { at: number; fire: () => void }[] = [];
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 3; round += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason as Error);
        const timer = { at: now + ms, fire: resolve };
        timers.push(timer);
        signal.addEventListener('abort', () => {
          if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1);
          reject(signal.reason as Error);
        });
      }),
    advance: async (ms) => {
      const end = now + ms;
      await settle();
      for (;;) {
        const next = timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers.splice(timers.indexOf(next), 1);
        now = Math.max(now, next.at);
        next.fire();
        await settle();
      }
      now = end;
    },
  };
}

export function countingRandom(): Random {
  let at = 0;
  return { bytes: (count) => Uint8Array.from({ length: count }, () => (at = (at + 37) % 251)) };
}
