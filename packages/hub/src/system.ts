/** The only place of the hub that reads a real clock or real randomness. */
import { randomBytes } from 'node:crypto';

export const system = {
  now: (): number => Date.now(),
  random: (count: number): Uint8Array => randomBytes(count),
};
