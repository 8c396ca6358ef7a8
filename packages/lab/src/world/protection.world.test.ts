/** The whole of it on one clock: backups by schedule, proven by restores, and a guest that was lost comes back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labGuest } from './desired.ts';
import { createSimWorld, startAt } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const minute = 60_000;
const hour = 60 * minute;

const plan = {
  graceMinutes: 5,
  tiers: [
    { name: 'local', target: 'local', schedule: '*-*-* 04:00:00', keep: { days: 7 }, restoreTestEveryDays: 1 },
    { name: 'offsite', target: 'offsite', schedule: '*-*-* 05:00:00', keep: { days: 7 }, restoreTestEveryDays: 1 },
  ],
};

/** Past the first night. */
async function nightWorld(seed: number): Promise<SimWorld> {
  const world = await createSimWorld({ seed });
  world.hub.publish([labGuest('web')], { backups: plan });
  const { agent } = world.boot();
  assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'it comes up');
  return world;
}

const lines = (world: SimWorld) => world.life()?.agent.report().backups ?? [];

test('a night: both tiers get their copy, each is restored as a test, and the report says how old and how fast', async () => {
  const world = await nightWorld(1);
  assert.ok(
    await world.until(
      () => lines(world).length === 2 && lines(world).every(({ newest }) => newest !== undefined),
      4 * hour,
    ),
    JSON.stringify(world.life()?.agent.report().findings, undefined, 1),
  );
  assert.ok(world.clock.now() > startAt + 2 * hour, 'not before their time');
  assert.ok(
    await world.until(() => world.life()?.agent.report().restoreTests.length === 2, 3 * hour),
    JSON.stringify(world.life()?.agent.report(), undefined, 1),
  );
  const report = world.life()?.agent.report();
  for (const line of report?.backups ?? []) {
    assert.equal(line.newest?.consistency, 'crash');
    assert.ok((line.rpoMs ?? -1) >= 0);
  }
  assert.deepEqual(
    report?.restoreTests.map(({ evidence }) => [evidence.tier, evidence.verdict, evidence.grade]).toSorted(),
    [
      ['local', 'unproven', 'healthy'],
      ['offsite', 'unproven', 'healthy'],
    ],
    'nobody declared what is in it, so it is not called proven',
  );
});
