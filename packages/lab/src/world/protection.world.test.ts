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

test('with a controller: apps stand still for moments, the copy is app-consistent, and a restore proves it', async () => {
  const world = await createSimWorld({ seed: 2, programs: true });
  world.hub.publish([labGuest('web', { controller: { role: 'controller' } })], { backups: plan });
  const { agent } = world.boot();
  assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'it comes up');
  assert.ok(
    await world.until(
      () => lines(world).length === 2 && lines(world).every(({ newest }) => newest !== undefined),
      4 * hour,
    ),
    JSON.stringify(agent.report().findings, undefined, 1),
  );
  assert.deepEqual(
    lines(world).map(({ tier, newest }) => [tier, newest?.consistency]),
    [
      ['local', 'app'],
      ['offsite', 'app'],
    ],
    JSON.stringify(agent.report().findings, undefined, 1),
  );
  assert.ok(await world.until(() => agent.report().restoreTests.length === 2, 3 * hour));
  assert.deepEqual(
    agent
      .report()
      .restoreTests.map(({ evidence }) => [evidence.tier, evidence.grade, evidence.text])
      .toSorted((a, b) => String(a).localeCompare(String(b))),
    [
      ['local', 'proven', ''],
      ['offsite', 'proven', ''],
    ],
  );
  assert.deepEqual(world.guests?.failures(), []);
});

test('a guest that is lost comes back from the fastest copy that is sound, and what survived is carried over', async () => {
  const world = await nightWorld(3);
  const { agent } = world.life() ?? assert.fail();
  assert.ok(
    await world.until(
      () => lines(world).every(({ newest }) => newest !== undefined) && lines(world).length === 2,
      4 * hour,
    ),
  );
  assert.ok(await world.until(() => agent.report().restoreTests.length === 2, 3 * hour));
  const { node, host } = world;
  const [local] = agent.report().copies.filter(({ tier }) => tier === 'local');
  node.storage.disk.damageArchive(
    node.storage.archives.diskPath('backup', (local?.archive ?? '').slice('backup:backup/'.length)),
  );
  // The fast disk dies: the config goes with the node's memory of it, the bulk disk is another one.
  const before = agent.report().guests[0];
  await world.clock.runUntil(node.guests.stop(9000));
  for (const volid of before?.volumes ?? [])
    if (volid.startsWith('guests:')) await world.clock.runUntil(Promise.resolve(node.storage.free(volid)));
  host.removeConfig(9000);
  assert.ok(
    await world.until(() => agent.report().guests[0]?.vmid === 9001 && agent.report().converged, 2 * hour),
    JSON.stringify(agent.report(), undefined, 1),
  );
  const after = agent.report();
  assert.equal(after.guests[0]?.uid, before?.uid);
  assert.equal(after.guests[0]?.incarnation, 2);
  assert.ok(after.guests[0]?.volumes?.includes('bulk:9000/vm-9000-disk-0.raw' as never), 'the bulk is carried over');
  const texts = after.findings.map(({ text }) => text).join('\n');
  assert.match(texts, /came back/);
  assert.match(texts, new RegExp(`${local?.archive}`), 'and the corruption is told');
});

test('destroyed by a person, forgotten by the pool: its backups are not taken for gone, and it comes back', async () => {
  const world = await createSimWorld({ seed: 4 });
  const hourly = {
    name: 'local',
    target: 'local',
    schedule: '*-*-* *:10:00',
    keep: { days: 7 },
    restoreTestEveryDays: 30,
  };
  world.hub.publish([labGuest('web')], { backups: { tiers: [hourly] } });
  const { agent } = world.boot();
  assert.ok(await world.until(() => lines(world)[0]?.newest !== undefined, 3 * hour), JSON.stringify(agent.report()));
  const lxc = `/nodes/${world.node.name}/lxc/9000`;
  const asRoot = async (method: 'POST' | 'DELETE', path: string): Promise<void> => {
    const answer = await world.clock.runUntil(world.node.handle({ method, path, params: {}, as: 'root@pam' }));
    assert.equal(answer.status, 200, answer.reason);
  };
  await asRoot('POST', `${lxc}/status/stop`);
  assert.ok(await world.until(() => !world.node.guests.isRunning(9000), minute));
  await asRoot('DELETE', lxc);
  assert.ok(
    await world.until(() => agent.report().guests[0]?.vmid === 9001, 2 * hour),
    JSON.stringify(agent.report().findings, undefined, 1),
  );
});
