import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProtectedSeed } from './protected-life.ts';
import { runSeed } from './run-seed.ts';

test('whatever happens, nothing that must not happen does: ten histories', async () => {
  for (let seed = 1001; seed <= 1010; seed += 1) {
    const result = await runSeed(seed);
    assert.deepEqual(result.violations, [], `npm run simulate -- --seed ${seed} --trace`);
  }
});

test('the same seed is the same history, to the last task', async () => {
  for (const seed of [7, 28, 184]) {
    const [first, second] = [await runSeed(seed), await runSeed(seed)];
    assert.deepEqual(first.trail, second.trail);
    assert.equal(first.hash, second.hash);
  }
});

test('another seed is another history', async () => {
  const [first, second] = [await runSeed(1), await runSeed(2)];
  assert.notEqual(first.hash, second.hash);
});

test('a history of guests that are protected is the same for the same seed, too', async () => {
  const run = () => runProtectedSeed(21, undefined, 4);
  const [first, second] = [await run(), await run()];
  assert.deepEqual(first.violations, [], 'npm run simulate -- --life protected --seed 21 --events 4 --trace');
  assert.equal(first.hash, second.hash);
});
