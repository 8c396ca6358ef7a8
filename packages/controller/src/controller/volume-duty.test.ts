import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLocalClient } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { Apps } from '../ports.ts';
import { fakeHost, idOf, problem, roomyStorage } from '../test/fake-host.ts';
import { countingRandom, handClock } from '../test/hand-clock.ts';
import { memoryFiles } from '../test/memory-files.ts';
import { createController } from './controller.ts';
import { lookAfterVolumes, planStacks } from './volume-duty.ts';

type State = (typeof roomyStorage)['volumes'][number]['state'];
const withPhotos = (state: State): typeof roomyStorage => ({
  ...roomyStorage,
  volumes: roomyStorage.volumes.map((volume) => (volume.name === 'photos' ? { ...volume, state } : volume)),
});

/** Stacks as Docker has them: what is stopped says so until somebody starts it. */
function guest(names: readonly string[], files = memoryFiles()) {
  const clock = handClock();
  const host = fakeHost(clock);
  const states = new Map<string, 'running' | 'stopped'>(names.map((name) => [name, 'running']));
  const did: string[] = [];
  const world = { stopFails: false, dieAt: undefined as string | undefined };
  const inState = (state: string): string[] => [...states].flatMap(([name, is]) => (is === state ? [name] : []));
  const apps: Apps = {
    running: async () => inState('running'),
    stopped: async () => inState('stopped'),
    quiesce: async () => ({ is: 'done' }),
    unquiesce: async () => ({ is: 'done' }),
    start: async (name) => {
      did.push(`start ${name}`);
      states.set(name, 'running');
      return { is: 'done' };
    },
    stop: async (name) => {
      did.push(`stop ${name}`);
      if (world.dieAt === `stop ${name}`) throw new Error('the power went');
      if (world.stopFails) return { is: 'failed', text: 'it waits for the disk' };
      states.set(name, 'stopped');
      return { is: 'done' };
    },
    health: async () => 'healthy',
  };
  for (const name of names)
    files.put(
      `${guestPaths.stacks}/${name}/.felhom.yml`,
      `v: 1\napp: ${name}\nvolumes:\n  - path: ${name === 'gallery' ? '/srv/photos/gallery' : '/srv/data/db'}\n    kind: hot\n`,
    );
  const client = createLocalClient({ transport: host, clock, token: 'x' });
  const needs = { client, files, apps };
  const look = () => lookAfterVolumes(needs, new AbortController().signal);
  return { clock, host, files, states, did, world, needs, look };
}

const stackOf = (name: string, ...paths: string[]) => ({ name, paths });
const { volumes } = roomyStorage;
const awayVolumes = withPhotos('away').volumes;

const plans: readonly (readonly [string, Parameters<typeof planStacks>, string])[] = [
  ['all there', [[stackOf('a', '/srv/photos')], volumes, { running: ['a'], stopped: [] }], ''],
  ['its disk is away', [[stackOf('a', '/srv/photos/x')], awayVolumes, { running: ['a'], stopped: [] }], 'stop a'],
  ['on another volume', [[stackOf('a', '/srv/data/x')], awayVolumes, { running: ['a'], stopped: [] }], ''],
  ['names no volumes', [[stackOf('a')], awayVolumes, { running: ['a'], stopped: [] }], ''],
  ['stopped by people', [[stackOf('a', '/srv/photos')], awayVolumes, { running: [], stopped: [] }], ''],
  ['stopped by us already', [[stackOf('a', '/srv/photos')], awayVolumes, { running: [], stopped: ['a'] }], ''],
  [
    'started by people meanwhile',
    [[stackOf('a', '/srv/photos')], awayVolumes, { running: ['a'], stopped: ['a'] }],
    'stop a',
  ],
  ['back', [[stackOf('a', '/srv/photos')], volumes, { running: [], stopped: ['a'] }], 'start a'],
  ['stopped by people, and all there', [[stackOf('a', '/srv/photos')], volumes, { running: [], stopped: [] }], ''],
];
for (const [name, args, is] of plans)
  it(`apps on volumes: ${name}`, () => {
    const { stop, start } = planStacks(...args);
    assert.equal([...stop.map((one) => `stop ${one}`), ...start.map((one) => `start ${one}`)].join(), is);
  });

describe('apps whose volume cannot be relied on', () => {
  it('stand still while it is away and while it is stale, and go on when it is live', async () => {
    const { host, did, look, states } = guest(['gallery', 'shop']);
    await look();
    host.storage = withPhotos('away');
    const away = await look();
    assert.ok(away.is === 'looked');
    assert.match(away.texts.join(), /gallery stands still: photos is away/);
    host.storage = withPhotos('stale');
    const stale = await look();
    assert.ok(stale.is === 'looked');
    assert.match(stale.texts.join(), /still has the disk that was pulled/);
    host.storage = roomyStorage;
    assert.deepEqual(await look(), { is: 'looked', texts: [], usesVolumes: true });
    await look();
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
    assert.equal(states.get('shop'), 'running');
  });

  it('what people had stopped is not started', async () => {
    const { host, did, look, states } = guest(['gallery']);
    states.set('gallery', 'stopped');
    host.storage = withPhotos('away');
    await look();
    host.storage = roomyStorage;
    await look();
    assert.deepEqual(did, []);
  });

  it('a crash between record and stop forgets nothing, also over a restart of the guest', async () => {
    const { host, files, did, look, world, needs } = guest(['gallery']);
    host.storage = withPhotos('away');
    world.dieAt = 'stop gallery';
    await assert.rejects(look());
    world.dieAt = undefined;
    // Another process; the disk has come back meanwhile.
    host.storage = roomyStorage;
    await lookAfterVolumes({ ...needs, files }, new AbortController().signal);
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
  });

  it('a host that says nothing changes nothing; what does not stop is told and tried again', async () => {
    const { host, did, look, world } = guest(['gallery']);
    host.override = () => problem(503, 'later');
    const stop = new AbortController();
    stop.abort();
    host.override = ({ path }) => (path.startsWith('/v1/storage') ? problem(404, 'no') : undefined);
    assert.deepEqual(await look(), { is: 'not-told' });
    host.override = () => undefined;
    host.storage = withPhotos('away');
    world.stopFails = true;
    const told = await look();
    assert.ok(told.is === 'looked');
    assert.match(told.texts.join(), /cannot stop gallery: it waits for the disk/);
    await look();
    assert.deepEqual(did, ['stop gallery', 'stop gallery']);
  });

  it('no stack with volumes: the host is not asked', async () => {
    const { host, look, files } = guest([]);
    files.put(`${guestPaths.stacks}/ledger/compose.yml`, 'x');
    assert.deepEqual(await look(), { is: 'looked', texts: [], usesVolumes: false });
    assert.equal(host.asked.length, 0);
  });

  it('the controller says so in its health, and looks once a minute', async () => {
    const { host, clock, files, needs, did } = guest(['gallery']);
    const said: string[] = [];
    const controller = createController({
      ...needs,
      files,
      clock,
      guest: idOf('g'),
      random: countingRandom(),
      config: {},
      say: (line) => said.push(line),
    });
    const stop = new AbortController();
    const run = controller.run(stop.signal).catch(() => undefined);
    host.storage = withPhotos('away');
    await clock.advance(125_000);
    const health = await controller.health();
    assert.match(health.text, /gallery stands still: photos is away/);
    assert.deepEqual([health.healthy, health.stoppedStacks], [true, ['gallery']]);
    assert.equal(host.asked.filter(({ path }) => path === '/v1/storage').length, 3);
    assert.equal(said.filter((line) => line.includes('gallery')).length, 1);
    host.storage = roomyStorage;
    await clock.advance(60_000);
    assert.equal((await controller.health()).text, '');
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
    stop.abort();
    await run;
  });
});
