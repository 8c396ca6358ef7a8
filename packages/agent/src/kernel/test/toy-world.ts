/**
 * A world with one shelf, for tests of the kernel: things are put on it by tasks that take a while, found again by
 * their nonce, and can be counted. It outlives every crash of the agent.
 */
import type { Clock, Random } from '../clock.ts';

export interface Thing {
  colour: string | undefined;
  lit: boolean;
}

export interface ToyWorld {
  readonly things: Map<string, Thing>;
  readonly bells: string[];
  /** Names of calls that answer `refused`, and how many times more. */
  readonly refusals: Map<string, number>;
  /** Names of calls that carry out their effect and then lose the answer, and how many times more. */
  readonly lostAnswers: Map<string, number>;
  /** Calls that were carried out, in order. */
  readonly effects: string[];
}

export const emptyWorld = (): ToyWorld => ({
  things: new Map(),
  bells: [],
  refusals: new Map(),
  lostAnswers: new Map(),
  effects: [],
});

export function takes(counts: Map<string, number>, call: string): boolean {
  const left = counts.get(call) ?? 0;
  if (left > 0) counts.set(call, left - 1);
  return left > 0;
}

/** Sleeps cost one turn of the event loop and move the clock. */
export function toyClock(): Clock & { suspend(ms: number): void } {
  let elapsed = 0;
  let asleep = 0;
  return {
    now: () => 1_800_000_000_000 + elapsed + asleep,
    monotonicMs: () => elapsed,
    bootMs: () => elapsed + asleep,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      elapsed += ms;
    },
    suspend: (ms) => {
      asleep += ms;
    },
  };
}

/** Bytes that differ from call to call and from boot to boot. */
export function toyRandom(): Random {
  let count = 0;
  return {
    bytes: (length) => {
      count += 1;
      return Uint8Array.from({ length }, (_, at) => (count >> (8 * at)) & 0xff);
    },
  };
}
