/** What the agent says and holds of its guests must be true at every moment, not only when everything has settled. */
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

test('a guest that somebody else started has served, so nothing of it is taken away unsigned', async () => {
  const world = await createSimWorld({ seed: 8 });
  world.hub.publish([labGuest('web', { power: 'stopped', cores: 2 })]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  const vmid = agent.guests()[0]?.vmid ?? assert.fail('there is no guest');
  const started = await world.clock.runUntil(
    world.node.handle({
      method: 'POST',
      path: `/nodes/${world.node.name}/lxc/${vmid}/status/start`,
      as: 'root@pam',
      params: {},
    }),
  );
  assert.equal(started.status, 200);
  world.hub.publish([labGuest('web', { cores: 2 })]);
  const isUp = (): boolean => agent.report().converged && agent.report().guests[0]?.status === 'running';
  assert.equal(await world.until(isUp, 300_000), true);
  world.hub.publish([labGuest('web', { cores: 1 })]);
  await world.until(() => agent.report().blocked.length > 0, 120_000);
  assert.deepEqual(
    agent.report().blocked.map(({ document }) => document.verb),
    ['cpu-down'],
  );
});

test('a guest that left the pool is not gone, and the others are looked after as before', async () => {
  const world = await createSimWorld({ seed: 9 });
  world.hub.publish([labGuest('web'), labGuest('photos')]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  const vmidOf = (name: string): number => agent.guests().find((guest) => guest.name === name)?.vmid ?? assert.fail();
  const asRoot = async (method: 'POST' | 'PUT', path: string, params: Record<string, unknown>): Promise<void> => {
    const answer = await world.clock.runUntil(world.node.handle({ method, path, params, as: 'root@pam' }));
    assert.equal(answer.status, 200, `${path}: ${answer.reason}`);
  };
  const lost = vmidOf('photos');
  await asRoot('PUT', '/pools', { poolid: world.policy.pool, vms: String(lost), delete: 1 });
  const finding = (key: string): boolean => agent.report().findings.some((found) => found.key === key);
  assert.equal(await world.until(() => finding('guest.not-visible'), 120_000), true, JSON.stringify(agent.report()));
  assert.equal(finding('guest.missing'), false);
  assert.equal(agent.report().converged, false);
  const web = `/nodes/${world.node.name}/lxc/${vmidOf('web')}`;
  await asRoot('POST', `${web}/status/stop`, {});
  const isUp = (): boolean => agent.report().guests.find(({ name }) => name === 'web')?.status === 'running';
  assert.equal(await world.until(() => !isUp(), 120_000), true);
  assert.equal(await world.until(isUp, 1_200_000), true, JSON.stringify(agent.report().findings));
  assert.equal(agent.guests().length, 2);
  await asRoot('PUT', '/pools', { poolid: world.policy.pool, vms: String(lost) });
  assert.equal(await world.until(() => agent.report().converged, 300_000), true, JSON.stringify(agent.report()));
});

test('a plan without a desired state, or without a look at the host, is no claim that all is well', async () => {
  const world = await createSimWorld({ seed: 10 });
  const { agent } = world.boot();
  await world.until(() => agent.report().lastPassAt !== undefined, 60_000);
  const never = new AbortController().signal;
  const plan = (): Promise<unknown> => world.clock.runUntil(agent.preview(never));
  await assert.rejects(plan, /no desired state/);
  world.hub.publish([]);
  assert.equal(await world.until(() => agent.report().converged, 120_000), true);
  assert.deepEqual(await plan(), []);
});
