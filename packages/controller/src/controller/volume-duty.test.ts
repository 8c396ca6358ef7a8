import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLocalClient } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { Apps } from '../ports.ts';
import { fakeHost, idOf, problem, roomyStorage } from '../test/fake-host.ts';
import { countingRandom, handClock } from '../test/hand-clock.ts';
import { writeStandstill } from '../standstill.ts';
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
  const world = {
    stopFails: false,
    dieAt: undefined as string | undefined,
    asked: 0,
    onStart: async (): Promise<void> => undefined,
  };
  const inState = (state: string): string[] => [...states].flatMap(([name, is]) => (is === state ? [name] : []));
  const apps: Apps = {
    running: async () => {
      world.asked += 1;
      return inState('running');
    },
    stopped: async () => inState('stopped'),
    quiesce: async () => ({ is: 'done' }),
    unquiesce: async () => ({ is: 'done' }),
    start: async (name) => {
      did.push(`start ${name}`);
      states.set(name, 'running');
      await world.onStart();
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
      `v: 1\napp: ${name}\nvolumes:\n  - path: ${name === 'shop' ? '/srv/data/db' : `/srv/photos/${name}`}\n    kind: hot\n`,
    );
  const client = createLocalClient({ transport: host, clock, token: 'x' });
  const needs = { client, files, apps };
  let stale: readonly string[] = [];
  const look = async () => {
    const is = await lookAfterVolumes(needs, new AbortController().signal, stale);
    if (is.is === 'looked') ({ stale } = is);
    return is;
  };
  return { clock, host, files, states, did, world, needs, look };
}

const stackOf = (name: string, ...paths: string[]) => ({ name, paths });
const { volumes } = roomyStorage;
const awayVolumes = withPhotos('away').volumes;

const staleVolumes = withPhotos('stale').volumes;

type Plan = readonly [
  name: string,
  stack: Parameters<typeof planStacks>[0][number],
  now: typeof volumes,
  Before,
  string,
];
type Before = Partial<Parameters<typeof planStacks>[2]>;
const photos = stackOf('a', '/srv/photos/x');
const plans: readonly Plan[] = [
  ['all there', photos, volumes, { running: ['a'] }, ''],
  ['its disk is away', photos, awayVolumes, { running: ['a'] }, 'stop a'],
  ['on another volume', stackOf('a', '/srv/data/x'), awayVolumes, { running: ['a'] }, ''],
  ['names no volumes', stackOf('a'), awayVolumes, { running: ['a'] }, ''],
  ['stopped by people', photos, awayVolumes, {}, ''],
  ['stopped by us already', photos, awayVolumes, { stopped: ['a'] }, ''],
  ['started by people meanwhile', photos, awayVolumes, { running: ['a'], stopped: ['a'] }, 'stop a'],
  ['back', photos, volumes, { stopped: ['a'] }, 'start a'],
  ['stopped by people, and all there', photos, volumes, {}, ''],
  ['stale for the first time', photos, staleVolumes, { running: ['a'] }, ''],
  ['stale again', photos, staleVolumes, { running: ['a'], stale: ['photos'] }, 'stop a'],
  ['another one was stale', photos, staleVolumes, { running: ['a'], stale: ['data'] }, ''],
  ['away, and now stale', photos, staleVolumes, { stopped: ['a'] }, ''],
  ['its file does not read', { name: 'a', paths: 'unknown' }, awayVolumes, { running: ['a'] }, ''],
  ['its file does not read any more', { name: 'a', paths: 'unknown' }, volumes, { stopped: ['a'] }, ''],
];
for (const [name, stack, now, before, is] of plans)
  it(`apps on volumes: ${name}`, () => {
    const { stop, start } = planStacks([stack], now, { running: [], stopped: [], stale: [], ...before });
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
    assert.deepEqual(await look(), { is: 'looked', texts: [], usesVolumes: true, stale: [] });
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
    host.override = () => problem(404, 'no');
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

  it('a host that says stale for a moment stops nothing; at the second look in a row it does', async () => {
    const { host, did, look } = guest(['gallery']);
    host.storage = withPhotos('stale');
    await look();
    host.storage = roomyStorage;
    await look();
    host.storage = withPhotos('stale');
    await look();
    assert.deepEqual(did, []);
    await look();
    assert.deepEqual(did, ['stop gallery']);
  });

  it('nothing is started or stopped while a backup has the apps at a stand', async () => {
    const { host, did, look, files, clock, world } = guest(['cinema', 'gallery']);
    const standstill = { until: clock.now() + 60_000, stacks: ['cinema'] };
    host.storage = withPhotos('away');
    await writeStandstill(files, standstill);
    assert.deepEqual(await look(), { is: 'standstill' });
    assert.deepEqual(did, []);
    files.put(guestPaths.standstill, '{"v":1}');
    await look();
    assert.deepEqual(did.splice(0), ['stop cinema', 'stop gallery']);
    // It begins while the first one starts.
    host.storage = roomyStorage;
    world.onStart = () => writeStandstill(files, standstill);
    await look();
    await look();
    assert.deepEqual(did.splice(0), ['start cinema']);
    files.put(guestPaths.standstill, '{"v":1}');
    world.onStart = async () => undefined;
    await look();
    assert.deepEqual(did, ['start gallery']);
  });

  it('a file that does not read any more while the volume is away starts nothing', async () => {
    const { host, did, look, files } = guest(['gallery']);
    const path = `${guestPaths.stacks}/gallery/.felhom.yml`;
    const good = files.text(path) ?? '';
    host.storage = withPhotos('away');
    await look();
    for (const bad of ['volumes: [', 'x'.repeat(70_000)]) {
      files.put(path, bad);
      const told = await look();
      assert.ok(told.is === 'looked');
      assert.match(told.texts.join(), /gallery stands still: its .felhom.yml does not read/);
    }
    host.storage = roomyStorage;
    await look();
    assert.deepEqual(did, ['stop gallery']);
    files.put(path, good);
    await look();
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
  });

  it('a record that does not read is told', async () => {
    for (const names of [['gallery'], []]) {
      const { look, files } = guest(names);
      files.put(guestPaths.withoutVolume, 'x');
      const told = await look();
      assert.ok(told.is === 'looked');
      assert.match(told.texts.join(), /without-volume.json: which apps were stopped/);
    }
  });

  it('an older host tells it with all the rest; only then is it asked for that', async () => {
    const { host, did, look } = guest(['gallery']);
    host.storage = withPhotos('away');
    const asked = (): string =>
      host.asked
        .splice(0)
        .map(({ path }) => path)
        .join();
    await look();
    assert.equal(asked(), '/v1/volumes');
    host.storage = roomyStorage;
    host.override = ({ path }) => (path === '/v1/volumes' ? problem(404, 'no such route') : undefined);
    await look();
    assert.equal(asked(), '/v1/volumes,/v1/storage');
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
  });

  it('where every volume is there, nobody asks for what runs', async () => {
    const { host, look, world } = guest(['gallery']);
    await look();
    assert.equal(world.asked, 0);
    host.storage = withPhotos('away');
    await look();
    assert.equal(world.asked, 1);
  });

  it('a full disk does not end the controller, and is told until it is over', async () => {
    const { host, clock, files, needs, did } = guest(['gallery']);
    const disk = { full: true };
    const said: string[] = [];
    const controller = createController({
      ...needs,
      files: {
        ...files,
        write: (path, ...rest) =>
          disk.full && path === guestPaths.withoutVolume
            ? Promise.reject(new Error('ENOSPC: no space left'))
            : files.write(path, ...rest),
      },
      clock,
      guest: idOf('g'),
      random: countingRandom(),
      config: {},
      say: (line) => said.push(line),
    });
    host.storage = withPhotos('away');
    const stop = new AbortController();
    let ended = false;
    const run = controller.run(stop.signal).catch(() => {
      ended = true;
    });
    await clock.advance(125_000);
    assert.equal(ended, false);
    assert.deepEqual(said, ['cannot look after the volumes: ENOSPC: no space left']);
    assert.match((await controller.health()).text, /no space left/);
    assert.deepEqual(did, []);
    disk.full = false;
    await clock.advance(60_000);
    assert.doesNotMatch((await controller.health()).text, /no space left/);
    assert.deepEqual(did, ['stop gallery']);
    stop.abort();
    await run;
  });

  it('no stack with volumes: the host is not asked', async () => {
    const { host, look, files } = guest([]);
    files.put(`${guestPaths.stacks}/ledger/compose.yml`, 'x');
    assert.deepEqual(await look(), { is: 'looked', texts: [], usesVolumes: false, stale: [] });
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
    assert.equal(host.asked.filter(({ path }) => path === '/v1/volumes').length, 3);
    assert.equal(said.filter((line) => line.includes('gallery')).length, 1);
    host.storage = roomyStorage;
    await clock.advance(60_000);
    assert.equal((await controller.health()).text, '');
    assert.deepEqual(did, ['stop gallery', 'start gallery']);
    stop.abort();
    await run;
  });
});
