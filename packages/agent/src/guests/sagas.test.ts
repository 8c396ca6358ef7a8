import { test } from 'node:test';
import assert from 'node:assert/strict';
import { reason } from '@felhom/protocol';
import type { DesiredVolume } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { crashPointsOf, refused } from '../kernel/index.ts';
import type { AnySaga, SagaEnd } from '../kernel/index.ts';
import { addVolume } from './add-volume.saga.ts';
import { bringUp } from '../bring-up/bring-up.saga.ts';
import { changeConfig } from './change-config.saga.ts';
import { growVolume } from './grow-volume.saga.ts';
import { refOf } from '../authority/guest-record.ts';
import { startGuest } from './start.saga.ts';
import { photos, wish, World } from './test/world.ts';

async function withGuest(): Promise<{ world: World; record: () => GuestRecord }> {
  const world = new World();
  assert.equal((await world.run(bringUp, { desired: wish() })).is, 'completed');
  world.now += 60_000;
  return { world, record: () => world.registry.byName(photos) ?? assert.fail('the guest is gone') };
}

const values = (world: World, record: GuestRecord) => world.node.guests.get(record.vmid)?.values ?? assert.fail();

const music: DesiredVolume = { ...(wish().volumes[0] ?? assert.fail()), name: 'music', path: '/srv/music', sizeGiB: 5 };

interface Case {
  readonly name: string;
  readonly saga: AnySaga;
  readonly params: (record: GuestRecord) => unknown;
  readonly given?: (world: World, record: GuestRecord) => void;
  readonly isAfter: (world: World, record: GuestRecord) => boolean;
}

const cases: readonly Case[] = [
  {
    name: 'settings',
    saga: changeConfig,
    params: (record) => ({ guest: refOf(record), change: { cores: 4, memoryMiB: 2048, tags: ['a'], label: 'new' } }),
    isAfter: (world, record) => values(world, record)['cores'] === '4' && values(world, record)['memory'] === '2048',
  },
  {
    name: 'marker repair',
    saga: changeConfig,
    params: (record) => ({ guest: refOf(record), change: { repairMarker: true } }),
    given: (world, record) => delete values(world, record)['description'],
    isAfter: (world, record) => values(world, record)['description']?.startsWith(markerLine(record)) === true,
  },
  {
    name: 'a new volume',
    saga: addVolume,
    params: (record) => ({ guest: refOf(record), volume: music }),
    isAfter: (world, record) =>
      values(world, record)['mp2']?.includes('mp=/srv/music') === true &&
      world.node.volumesOf(record.vmid).length === 4,
  },
  {
    name: 'a larger volume',
    saga: growVolume,
    params: (record) => ({ guest: refOf(record), key: 'mp0', toGiB: 30 }),
    isAfter: (world, record) => values(world, record)['mp0']?.includes('size=30G') === true,
  },
  {
    name: 'a start',
    saga: startGuest,
    params: (record) => ({ guest: refOf(record) }),
    given: (world, record) => ((world.node.guests.get(record.vmid) ?? assert.fail()).running = false),
    isAfter: (world, record) => world.node.guests.get(record.vmid)?.running === true,
  },
];

for (const { name, saga, params, given, isAfter } of cases) {
  test(`${name}: done, and the registry knows`, async () => {
    const { world, record } = await withGuest();
    given?.(world, record());
    const end = await world.run(saga, params(record()));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assert.ok(isAfter(world, record()));
    if (given === undefined) assert.equal(record().configDigest, world.node.digestOf(record().vmid));
  });

  test(`${name}: wherever the power goes, it is done in the end, once`, async () => {
    for (const point of crashPointsOf(saga)) {
      const { world, record } = await withGuest();
      given?.(world, record());
      const volumes = world.node.volumes.size;
      world.crashAt = point;
      const first = await world.run(saga, params(record()));
      const ends: readonly SagaEnd[] = world.crashed ? await world.reboot() : [first];
      if (ends.length > 0) assert.equal(ends[0]?.is, 'completed', `${point}: ${JSON.stringify(ends)}`);
      assert.ok(ends.length === 0 || isAfter(world, record()), point);
      assert.ok(world.node.volumes.size <= volumes + (saga === addVolume ? 1 : 0), point);
    }
  });

  test(`${name}: a guest of somebody else under the VMID is not touched`, async () => {
    const { world, record } = await withGuest();
    world.node.foreignGuest(record().vmid);
    const end = await world.run(saga, params(record()));
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.deepEqual(values(world, record()), { hostname: 'stranger' });
  });

  test(`${name}: a lost answer is settled by looking`, async () => {
    const { world, record } = await withGuest();
    given?.(world, record());
    for (const kind of ['configure', 'start', 'resize'] as const) world.node.mishaps[kind].push('lost-answer');
    const end = await world.run(saga, params(record()));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assert.ok(isAfter(world, record()));
  });

  for (const answer of ['is heard', 'is lost'] as const)
    test(`${name}: a right that goes with the call, whose answer ${answer}, proves nothing about the call`, async () => {
      const { world, record } = await withGuest();
      given?.(world, record());
      if (answer === 'is lost')
        for (const kind of ['configure', 'start', 'resize'] as const) world.node.mishaps[kind].push('lost-answer');
      blindAfterFirstCall(world);
      const end = await world.run(saga, params(record()));
      assert.equal(end.is, 'completed', JSON.stringify(end));
      assert.ok(isAfter(world, record()));
      if (given === undefined) assert.equal(record().configDigest, world.node.digestOf(record().vmid));
    });
}

/** From the first change on, for two minutes, configs answer 403, statuses 401, and root's helper is busy. */
function blindAfterFirstCall(world: World): void {
  const { reader, writer, helper } = world.node;
  let blindUntil = 0;
  const open = {
    config: reader.config.bind(reader),
    status: reader.status.bind(reader),
    volumesOf: helper.volumesOf.bind(helper),
  };
  const blinding =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const answer = await call(...args);
      if (blindUntil === 0) blindUntil = world.now + 120_000;
      return answer;
    };
  writer.configure = blinding(writer.configure.bind(writer));
  writer.resize = blinding(writer.resize.bind(writer));
  writer.start = blinding(writer.start.bind(writer));
  const isBlind = (): boolean => world.now < blindUntil;
  reader.config = async (...call) => (isBlind() ? { is: 'done', value: { is: 'forbidden' } } : open.config(...call));
  reader.status = async (...call) => (isBlind() ? refused(reason('pve.unauthorized', '401')) : open.status(...call));
  helper.volumesOf = async (...call) => (isBlind() ? refused(reason('helper.busy', 'busy')) : open.volumesOf(...call));
}

test('a lock of somebody else is waited out', async () => {
  const { world, record } = await withGuest();
  const guest = world.node.guests.get(record().vmid) ?? assert.fail();
  guest.lock = 'backup';
  const sleep = world.clock.sleep.bind(world.clock);
  let naps = 0;
  world.clock.sleep = (ms, signal) => {
    if (++naps === 3) guest.lock = undefined;
    return sleep(ms, signal);
  };
  const end = await world.run(changeConfig, { guest: refOf(record()), change: { cores: 4 } });
  assert.equal(end.is, 'completed');
});

test('an allocation that died half-way on a guest with data is reported and not attached', async () => {
  const { world, record } = await withGuest();
  world.node.mishaps.configure.push('killed-at-stub');
  const end = await world.run(addVolume, { guest: refOf(record()), volume: music });
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.orphan-volume', JSON.stringify(end));
  const again = await world.run(addVolume, { guest: refOf(record()), volume: music });
  assert.ok(again.is === 'unwound' && again.why.code === 'guest.orphan-volume', 'and no second one is made');
  assert.equal(world.node.volumesOf(record().vmid).length, 4);
});

test('a marker is not given to a guest with other volumes', async () => {
  const { world, record } = await withGuest();
  delete values(world, record())['description'];
  values(world, record())['mp7'] = 'local:9000/vm-9000-disk-66.raw,mp=/x,size=1G';
  const end = await world.run(changeConfig, { guest: refOf(record()), change: { repairMarker: true } });
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.not-ours', JSON.stringify(end));
});

test('an older incarnation is refused', async () => {
  const { world, record } = await withGuest();
  const guest = { ...refOf(record()), incarnation: 2 };
  const end = await world.run(startGuest, { guest });
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.unknown-uid');
});

test('an edit between our look and our write is kept, and ours comes on top of it', async () => {
  const { world, record } = await withGuest();
  values(world, record())['mp1'] = 'local:9000/vm-9000-disk-2.raw,mp=/srv/bulk,backup=0,size=100G';
  const configure = world.node.writer.configure.bind(world.node.writer);
  let edits = 0;
  world.node.writer.configure = (vmid, change, signal) => {
    if (edits++ === 0)
      values(world, record())['mp1'] = 'local:9000/vm-9000-disk-2.raw,mp=/srv/bulk,backup=0,ro=1,size=100G';
    return configure(vmid, change, signal);
  };
  const end = await world.run(changeConfig, { guest: refOf(record()), change: { backupOn: 'mp1' } });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.equal(values(world, record())['mp1'], 'local:9000/vm-9000-disk-2.raw,mp=/srv/bulk,backup=1,ro=1,size=100G');
});
