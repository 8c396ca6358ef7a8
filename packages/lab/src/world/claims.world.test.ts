/** What the agent says of itself must be true at every moment, not only when everything has settled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';

test('a document that no pass has looked at yet is not called converged', async () => {
  const world = await createSimWorld({ seed: 7 });
  world.hub.publish([labGuest('web')]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  world.hub.publish([labGuest('web'), labGuest('photos')]);
  const generation = (): number | undefined => {
    const held = agent.held();
    return held.is === 'held' ? held.state.generation : undefined;
  };
  const claims: boolean[] = [];
  const settled = await world.until(() => {
    if (generation() !== 2) return false;
    const { converged, guests } = agent.report();
    claims.push(converged);
    return guests.length === 2 && converged;
  }, 300_000);
  assert.equal(settled, true);
  assert.equal(claims.indexOf(true), claims.length - 1, 'converged was claimed before the second guest was there');
});
