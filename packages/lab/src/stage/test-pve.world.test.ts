/**
 * The suite for real nodes, run against the fake one over real HTTPS: what passes there and not here, or here and not
 * there, is a fault of the fake or of the suite. Its last file takes minutes of real time and is run by
 * `npm run test:pve -- --fake` only.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSuiteOnFake } from './suite-on-fake.ts';

test('npm run test:pve passes against the fake node', { timeout: 300_000 }, async () => {
  const run = await runSuiteOnFake({ only: ['10', '20', '30', '35', '40'], output: 'kept' });
  assert.equal(run.code, 0, run.said);
  assert.ok(!run.said.includes(run.secret), 'the token secret was printed');
  assert.deepEqual(run.left, [], 'the suite left a guest behind');
});
