import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';

test('two guests come up, and then nothing more is done', async () => {
  const world = await createSimWorld({ seed: 1 });
  world.hub.publish([labGuest('web'), labGuest('photos')]);
  const { agent } = world.boot();
  const converged = await world.until(() => agent.report().converged, 300_000);
  assert.equal(converged, true, JSON.stringify(agent.report(), undefined, 1));
  assert.deepEqual(
    agent.report().guests.map(({ name, status }) => [name, status]),
    [
      ['photos', 'running'],
      ['web', 'running'],
    ],
  );
});
