/**
 * The machine's own clocks and randomness: the only place of the agent that reads them.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock, Random } from '../../kernel/clock.ts';

/** Longest delay of a timer in Node; anything longer would fire at once. */
const longestTimerMs = 2_147_483_647;

export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    // Linux: hrtime is CLOCK_MONOTONIC, which stands still while the machine is suspended.
    monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n),
    // Linux, proc(5): /proc/uptime counts time spent in suspend; hundredths of a second.
    bootMs: () => Math.round(Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]) * 1000),
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      try {
        await wait(Math.min(Math.max(0, ms), longestTimerMs), undefined, { signal });
      } catch (error) {
        // Node wraps the reason in an AbortError of its own.
        signal.throwIfAborted();
        throw error;
      }
    },
  };
}

export function systemRandom(): Random {
  return { bytes: (count) => randomBytes(count) };
}
