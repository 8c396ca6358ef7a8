import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgress, shouldFeed } from './progress.ts';
import type { LoopProgress } from './progress.ts';

const loop = (movedAt: number, restsUntil?: number): LoopProgress => ({ loop: 'reconcile', movedAt, restsUntil });
const patienceMs = 600_000;

/** At a million milliseconds, with ten minutes of patience. */
const table: readonly [string, readonly LoopProgress[], number | undefined][] = [
  ['nothing is watched yet', [], undefined],
  ['it is at something since a moment ago', [loop(999_000)], undefined],
  ['it is at one thing for as long as it may be', [loop(400_000)], undefined],
  ['it is at one thing for longer', [loop(399_999)], 600_001],
  ['it moved long ago and rests still', [loop(0, 1_000_001)], undefined],
  ['it rests after its time, within patience', [loop(0, 400_000)], undefined],
  ['it should have gone on long ago', [loop(0, 399_000)], 601_000],
  ['a rest that was over before it began is none', [loop(999_000, 10)], undefined],
  ['one of two stands still', [{ loop: 'hub', movedAt: 999_999, restsUntil: undefined }, loop(1)], 999_999],
];

for (const [what, loops, hungForMs] of table)
  test(`the watchdog is fed by progress: ${what}`, () => {
    assert.deepEqual(
      shouldFeed(1_000_000, patienceMs, loops),
      hungForMs === undefined ? { is: 'feed' } : { is: 'hung', loop: 'reconcile', forMs: hungForMs },
    );
  });

test('a loop is watched from its beginning, and each sign counts from its own moment', () => {
  let now = 5;
  const progress = createProgress({ monotonicMs: () => now });
  const pulse = progress.watch('hub');
  assert.deepEqual(progress.loops(), [{ loop: 'hub', movedAt: 5, restsUntil: undefined }]);
  now = 10;
  pulse.rests(30_000);
  assert.deepEqual(progress.loops(), [{ loop: 'hub', movedAt: 10, restsUntil: 30_010 }]);
  now = 20;
  pulse.moved();
  assert.deepEqual(progress.loops(), [{ loop: 'hub', movedAt: 20, restsUntil: undefined }]);
});
