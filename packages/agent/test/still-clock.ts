/** A clock for tests of what waits for somebody else: time stands still, and a sleep ends by being given up only. */
import type { Clock } from '../src/kernel/clock.ts';

export const stillClock: Clock = {
  now: () => 0,
  monotonicMs: () => 0,
  bootMs: () => 0,
  sleep: (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
};
