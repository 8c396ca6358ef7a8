/**
 * Seeded randomness: one seed, one run. Serves the agent (`bytes`) and the fake node (`int`).
 *
 * Streams that must not disturb each other (faults, agent, node) are forked by name, so that one more draw here does
 * not change every draw there.
 */
import type { FakeRandom } from '../fake-pve/core.ts';

export interface SimRandom extends FakeRandom {
  /** Uniform bytes. */
  bytes(count: number): Uint8Array;
  /** True with the given probability, 0..1. */
  chance(probability: number): boolean;
  /** One element; throws on an empty list. */
  pick<T>(from: readonly T[]): T;
  /** An independent stream; the same name of the same seed is always the same stream. */
  fork(name: string): SimRandom;
}

const twoTo32 = 4_294_967_296;

export function createSimRandom(seed: number): SimRandom {
  const next = xoshiro128(seed);
  const int = (below: number): number => {
    if (!Number.isSafeInteger(below) || below < 1 || below > twoTo32)
      throw new RangeError(`cannot draw an integer below ${below}: not in 1..2^32`);
    return Math.floor((next() / twoTo32) * below);
  };
  return {
    int,
    bytes: (count) => Uint8Array.from({ length: count }, () => next() >>> 24),
    chance: (probability) => next() / twoTo32 < probability,
    pick: (from) => {
      if (from.length === 0) throw new RangeError('cannot pick: the list is empty');
      return from[int(from.length)] as (typeof from)[number];
    },
    fork: (name) => createSimRandom(hash(name, seed)),
  };
}

/** xoshiro128** (Blackman and Vigna), seeded through splitmix32 so that neighbouring seeds do not look alike. */
function xoshiro128(seed: number): () => number {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix ^ (mix >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()];
  return () => {
    const scaled = Math.imul(b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
}

/** FNV-1a over the name, begun from the seed. */
function hash(name: string, seed: number): number {
  let value = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of new TextEncoder().encode(name)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
