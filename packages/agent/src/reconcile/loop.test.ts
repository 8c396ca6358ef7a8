import { test } from 'node:test';
import assert from 'node:assert/strict';
import { reason } from '@felhom/protocol';
import type { GuestEffect } from '../authority/effects.ts';
import { wish } from '../guests/test/world.ts';
import type { Clock } from '../kernel/clock.ts';
import { forget, keyOf, nextTryAt, noteFailure, prune, sift } from './back-off.ts';
import { createReconcileLoop } from './loop.ts';
import type { PassReport } from './pass.ts';

/** Sleeps end when the test says so, or when aborted. */
class Naps {
  readonly lengths: number[] = [];
  #ends: (() => void)[] = [];
  readonly clock: Clock = {
    now: () => 0,
    monotonicMs: () => 0,
    bootMs: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        this.lengths.push(ms);
        this.#ends.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
    await settle();
  }
}

/** Lets everything that is ready run. */
async function settle(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}

function looping(report: Partial<PassReport> = {}) {
  const naps = new Naps();
  const stop = new AbortController();
  const seen = { passes: 0, reports: 0, failures: 0, throwNext: false };
  const loop = createReconcileLoop({
    pass: async () => {
      seen.passes++;
      if (seen.throwNext) {
        seen.throwNext = false;
        throw new Error('broken');
      }
      return report as PassReport;
    },
    report: () => seen.reports++,
    failed: () => seen.failures++,
    clock: naps.clock,
    intervalMs: 30_000,
    pauseMs: 1_000,
  });
  return { naps, stop, seen, loop, ended: loop.run(stop.signal) };
}

test('it passes at once, then at its interval, and ends when aborted', async () => {
  const { naps, stop, seen, ended } = looping();
  await settle();
  assert.equal(seen.passes, 1);
  await naps.end();
  assert.equal(seen.passes, 1);
  await naps.end();
  assert.equal(seen.passes, 2);
  assert.deepEqual(naps.lengths.slice(0, 2), [1_000, 29_000]);
  stop.abort();
  await ended;
});

test('a wake-up ends the nap, ten of them make one pass, one during the pause is not lost', async () => {
  const { naps, stop, seen, loop, ended } = looping();
  await settle();
  await naps.end();
  for (let n = 0; n < 10; n++) loop.wake();
  await settle();
  assert.equal(seen.passes, 2);
  loop.wake();
  await naps.end();
  assert.equal(seen.passes, 3);
  stop.abort();
  await ended;
});

test('a pass that throws is reported and does not end the loop', async () => {
  const { naps, stop, seen, ended } = looping();
  await settle();
  seen.throwNext = true;
  await naps.end();
  await naps.end();
  assert.deepEqual([seen.passes, seen.failures], [2, 1]);
  await naps.end();
  await naps.end();
  assert.equal(seen.passes, 3);
  stop.abort();
  await ended;
});

test('what failed is looked at again when its wait is over, not a whole interval later', async () => {
  const { naps, stop, seen, ended } = looping({ lookAgainAt: 5_000 });
  await settle();
  await naps.end();
  assert.deepEqual(naps.lengths, [1_000, 5_000]);
  await naps.end();
  assert.equal(seen.passes, 2);
  stop.abort();
  await ended;
});

const provision: GuestEffect = { kind: 'guest-provision', desired: wish() };
const later = reason('guest.restore-died', 'cannot bring up: died');
const corrupt = reason('guest.archive-corrupt', 'cannot bring up: corrupt');

test('a failure waits longer each time, and an operator’s matter longer than a passing one', () => {
  const once = noteFailure(new Map(), provision, later, 0);
  const twice = noteFailure(once, provision, later, 0);
  const wait = (failures: typeof once): number => nextTryAt(failures.get(keyOf(provision)) ?? assert.fail());
  assert.ok(wait(twice) > wait(once));
  assert.ok(wait(noteFailure(new Map(), provision, corrupt, 0)) > wait(once));
  let many = once;
  for (let n = 0; n < 100; n++) many = noteFailure(many, provision, later, 0);
  assert.ok(wait(many) <= 1_800_000);
});

test('what failed is held back with its reason, then tried; a changed wish is tried at once', () => {
  const failures = noteFailure(new Map(), provision, corrupt, 1_000);
  const held = sift([provision], failures, 2_000);
  assert.deepEqual(held.ready, []);
  assert.match(held.waiting[0]?.text ?? '', /corrupt.*1 time/);
  assert.equal(held.nextAt, 1_000 + 300_000);
  assert.equal(sift([provision], failures, 1_000 + 300_000).ready.length, 1);
  assert.equal(sift([{ ...provision, desired: wish({ cores: 7 }) }], failures, 2_000).ready.length, 1);
  assert.equal(sift([provision], failures, 500).ready.length, 1, 'a clock that went back does not hold for ever');
  assert.equal(sift([provision], forget(failures, provision), 2_000).ready.length, 1);
});

test('failures are forgotten with the wish, and kept while it is being tried', () => {
  const failures = noteFailure(new Map(), provision, later, 0);
  assert.equal(prune(failures, [], new Set()).size, 0);
  assert.equal(prune(failures, [], new Set(['photos'])).size, 1);
  assert.equal(prune(failures, [provision], new Set()).size, 1);
});
