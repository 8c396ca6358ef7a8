/** The only place of the hub that reads a real clock or real randomness. */
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

export const system = {
  now: (): number => Date.now(),
  random: (count: number): Uint8Array => randomBytes(count),
  /** Resolves after so many milliseconds, or at once when aborted. */
  sleep: async (ms: number, signal: AbortSignal): Promise<void> => {
    try {
      await wait(ms, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
};
