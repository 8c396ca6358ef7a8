/** A backup that the guest's own controller asked for comes to nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { livingGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';

const minute = 60_000;

test('it counts as failed and is put off, as one that the host began by itself would be', async () => {
  const world = await createSimWorld({ seed: 4, programs: true });
  const tier = { name: 'local', target: 'local', schedule: '*-*-* *:20:00', keep: { days: 7 } };
  world.hub.publish([livingGuest('web')], { backups: { graceMinutes: 5, tiers: [tier] } });
  const { agent } = world.boot();
  assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'it comes up');
  world.node.tasks.trap({ type: 'vzdump', action: 'abort', atLine: /creating vzdump archive/ });
  const line = () => agent.report().backups[0];
  assert.ok(
    await world.until(() => line()?.state === 'failing', 60 * minute),
    JSON.stringify(agent.report().findings, undefined, 1),
  );
  assert.match(line()?.lastFailure ?? '', /job errors/);
});
