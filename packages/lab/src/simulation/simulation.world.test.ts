import assert from 'node:assert/strict';
import { test } from 'node:test';
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
