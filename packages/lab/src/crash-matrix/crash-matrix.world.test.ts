import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crashPointsOf, createSagaRegistry } from '@felhom/agent';
import { createSimRandom } from '../simulation/sim-random.ts';
import { runMatrix } from './matrix.ts';
import { stories } from './stories.ts';
import { unreachable } from './unreachable.ts';

test('a sample of the crash matrix: wherever the power goes, everything adds up afterwards', async () => {
  const report = await runMatrix({ random: createSimRandom(20), full: false, share: 0.01 });
  assert.deepEqual(report.failures, []);
  assert.ok(report.cases > 10, `only ${report.cases} cases ran`);
});

test('every registered saga has a story, and no story is of a saga that is gone', () => {
  const names = createSagaRegistry().all.map(({ name }) => name);
  assert.deepEqual(Object.keys(stories).toSorted(), names.toSorted());
});

test('the table of unreachable points names points that exist', () => {
  const points = new Set(createSagaRegistry().all.flatMap((saga) => crashPointsOf(saga)));
  assert.deepEqual(
    Object.keys(unreachable).filter((point) => ![...points].some((known) => known === point)),
    [],
  );
});
