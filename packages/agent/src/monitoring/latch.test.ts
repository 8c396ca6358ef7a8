import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growthOf } from './growth.ts';
import type { Growth } from './growth.ts';
import { latch } from './latch.ts';
import type { Latch } from './latch.ts';

const threshold = { on: 90, off: 80, holdMs: 100 };

/** One value per 50 ms; `-` is not known. Tells where it is on. */
function run(values: readonly (number | undefined)[]): string {
  let state: Latch | undefined;
  return values
    .map((value, at) => {
      state = latch(state, value, threshold, { now: 1_000_000 + at * 50, monotonicMs: at * 50 });
      return state.on ? '#' : '.';
    })
    .join('');
}

test('a latch comes after a while above, and goes after a while well below', () => {
  const no = undefined;
  for (const [values, want] of [
    [[95, 95, 95, 95], '..##'],
    [[95, 95, 85, 95, 95, 95], '.....#'],
    [[90, 90, 90], '..#'],
    [[89, 89, 89, 89], '....'],
    // Between the two it stays what it was, and a short dip counts for nothing.
    [[95, 95, 95, 85, 85, 85, 85], '..#####'],
    [[95, 95, 95, 70, 70, 95, 70, 70, 70], '..######.'],
    // Not knowing is neither.
    [[95, no, 95, 95, no, 95], '......'],
    [[95, 95, 95, no, no, no, no], '..#####'],
    [[95, 95, 95, 70, no, 70, 70, 70], '..#####.'],
  ] as const)
    assert.equal(run(values), want, values.join(' '));
});

test('it came when the stretch began, by the wall clock', () => {
  const first = latch(undefined, 95, threshold, { now: 5_000, monotonicMs: 0 });
  // Somebody set the clock in between: durations do not go by it.
  const second = latch(first, 95, threshold, { now: 9_000_000, monotonicMs: 100 });
  assert.deepEqual(second, { on: true, onAt: 9_000_000 - 100, turningSince: undefined });
});

test('how soon a file system is full', () => {
  const minute = 60_000;
  const fill = (bytesPerMinute: number, minutes: number): number | undefined => {
    let kept: Growth = [];
    let hours: number | undefined;
    for (let at = 0; at <= minutes; at += 1) {
      const use = { usedBytes: 1000 + at * bytesPerMinute, totalBytes: 100_000 };
      ({ kept, hoursToFull: hours } = growthOf(kept, use, { monotonicMs: at * minute }));
    }
    assert.ok(kept.length <= 36);
    return hours === undefined ? undefined : Math.round(hours * 10) / 10;
  };
  assert.equal(fill(10, 59), undefined, 'an hour is the least that tells anything');
  assert.equal(fill(10, 60), (100_000 - 1000 - 600) / 600);
  assert.equal(fill(0, 120), undefined);
  assert.equal(fill(-5, 120), undefined);
  assert.equal(fill(10, 1000), 148.3, 'the oldest mark is six hours back');
  assert.deepEqual(growthOf([], undefined, { monotonicMs: 0 }), { kept: [], hoursToFull: undefined });
});
