import { test } from 'node:test';
import assert from 'node:assert/strict';
import { guestName, vmid } from '@felhom/protocol';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import { viewOf } from '../guests/index.ts';
import type { SeenConfig } from '../guests/index.ts';
import { testPolicy, World } from '../guests/test/world.ts';
import { crashPointsOf } from '../kernel/index.ts';
import type { SagaEnd } from '../kernel/index.ts';
import { adoptGuest } from './adopt.saga.ts';
import { strangersOf } from './strangers.ts';

const id = vmid.parse(9007);
const name = guestName.parse('books');
const oldMarker = `felhom:${'z'.repeat(26)}.3.oldmarker`;
const rootVolume = 'local:9007/vm-9007-disk-0.raw' as VolumeId;
const dataVolume = 'local:9007/vm-9007-disk-1.raw' as VolumeId;
const spareVolume = 'local:9007/vm-9007-disk-2.raw' as VolumeId;

function withStranger(notes?: string): World {
  const world = new World();
  const values = {
    hostname: 'books',
    rootfs: `${rootVolume},size=8G`,
    mp0: `${dataVolume},mp=/srv/books,backup=1,size=20G`,
    mp1: '/mnt/host,mp=/mnt/host',
    unused0: spareVolume,
    net0: 'name=eth0,bridge=vmbr0,ip=dhcp',
    ...(notes === undefined ? {} : { description: notes }),
  };
  world.node.guests.set(id, { values, lock: undefined, running: true, uptime: 1 });
  for (const volid of [rootVolume, dataVolume, spareVolume]) world.node.volumes.set(volid, id);
  return world;
}

const values = (world: World) => world.node.guests.get(id)?.values ?? assert.fail('the guest is gone');

const paramsOf = (world: World) => ({
  vmid: id,
  name,
  configDigest: world.node.digestOf(id),
  volumes: [rootVolume, dataVolume, spareVolume],
});

test('adopting: one line in the notes, a record with data, and nothing else', async () => {
  const world = withStranger('Bücher der Familie\nseit 2019\n');
  const before = { ...values(world) };
  const end = await world.run(adoptGuest, paramsOf(world));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const record = world.registry.byName(name) ?? assert.fail('it is not on record');
  assert.deepEqual(values(world), {
    ...before,
    description: `${markerLine(record)}\nBücher der Familie\nseit 2019\n`,
  });
  assert.equal(record.vmid, id);
  assert.equal(record.servedAt, world.now);
  assert.equal(record.configDigest, world.node.digestOf(id));
  assert.deepEqual(
    record.volumes.map(({ key, volid, carriedOver }) => [key, volid, carriedOver]),
    [
      ['rootfs', rootVolume, false],
      ['mp0', dataVolume, false],
    ],
  );
  assert.deepEqual(
    world.node.calls.filter((call) => !call.startsWith('configure')),
    [],
  );
});

test('adopting: the marker of an earlier life is replaced', async () => {
  const world = withStranger(`${oldMarker}\nBooks\n`);
  assert.equal((await world.run(adoptGuest, paramsOf(world))).is, 'completed');
  const record = world.registry.byName(name) ?? assert.fail('it is not on record');
  assert.equal(values(world)['description'], `${markerLine(record)}\nBooks\n`);
});

test('adopting: wherever the power goes, it is adopted once in the end', async () => {
  for (const point of crashPointsOf(adoptGuest)) {
    const world = withStranger('Books\n');
    world.crashAt = point;
    const first = await world.run(adoptGuest, paramsOf(world));
    const ends: readonly SagaEnd[] = world.crashed ? await world.reboot() : [first];
    if (ends.length === 0) continue;
    assert.equal(ends[0]?.is, 'completed', `${point}: ${JSON.stringify(ends)}`);
    const [record, ...more] = world.registry.all();
    assert.ok(record !== undefined && more.length === 0, point);
    assert.equal(values(world)['description'], `${markerLine(record)}\nBooks\n`, point);
  }
});

for (const mishap of ['lost-request', 'lost-answer'] as const)
  test(`adopting: a ${mishap} is settled by looking`, async () => {
    const world = withStranger();
    world.node.mishaps.configure.push(mishap);
    const end = await world.run(adoptGuest, paramsOf(world));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assert.equal(world.registry.all().length, 1);
  });

const changes: readonly { readonly name: string; readonly given: (world: World) => void; readonly code: string }[] = [
  { name: 'its config was edited', given: (world) => void (values(world)['cores'] = '3'), code: 'job.changed' },
  { name: 'it is gone', given: (world) => void world.node.guests.delete(id), code: 'pve.guest-absent' },
  {
    name: 'the name is taken',
    given: (world) =>
      world.registry.put({
        uid: 'b'.repeat(26) as never,
        incarnation: 1,
        marker: 'n',
        name,
        vmid: 9001 as Vmid,
        golden: 'debian-1',
        volumes: [],
        servedAt: 1,
        configDigest: 'd',
        createdAt: 1,
        scratch: false,
      }),
    code: 'job.changed',
  },
];
for (const { name: what, given, code } of changes)
  test(`adopting: ${what} since it was signed for → refused (${code}), nothing is written`, async () => {
    const world = withStranger();
    const params = paramsOf(world);
    given(world);
    const end = await world.run(adoptGuest, params);
    assert.ok(end.is === 'unwound' && end.why.code === code, JSON.stringify(end));
    assert.deepEqual(world.node.calls, []);
  });

for (const [what, volumes] of [
  ['one volume less signed for', [rootVolume, dataVolume]],
  ['one volume more', [rootVolume, dataVolume, spareVolume, 'local:9007/vm-9007-disk-9.raw']],
] as const)
  test(`adopting: ${what} → refused`, async () => {
    const world = withStranger();
    const end = await world.run(adoptGuest, { ...paramsOf(world), volumes });
    assert.ok(end.is === 'unwound' && end.why.code === 'job.changed', JSON.stringify(end));
  });

test('adopting: an edit between our look and our write is refused by its digest', async () => {
  const world = withStranger();
  const params = paramsOf(world);
  const configure = world.node.writer.configure.bind(world.node.writer);
  world.node.writer.configure = (target, change, signal) => {
    values(world)['cores'] = '3';
    return configure(target, change, signal);
  };
  const end = await world.run(adoptGuest, params);
  assert.ok(end.is === 'unwound' && end.why.code === 'job.changed', JSON.stringify(end));
  assert.equal(values(world)['description'], undefined);
  assert.deepEqual(world.registry.all(), []);
});

const row = (at: number) => ({
  vmid: at as Vmid,
  name: `CT${at}`,
  status: 'running' as const,
  lock: undefined,
  tags: [],
  cpus: 1,
  maxMemBytes: 1,
  maxDiskBytes: 1,
  uptimeSeconds: 1,
});
const present = (config: Record<string, string>): SeenConfig => ({
  is: 'present',
  view: viewOf({ digest: 'd'.repeat(40), lock: undefined, values: config }),
});
const stranger = { hostname: 'books', rootfs: `${rootVolume},size=8G`, unused0: spareVolume, mp0: '/mnt/x,mp=/x' };

const inventory: readonly {
  readonly name: string;
  readonly at?: number;
  readonly seen?: SeenConfig;
  readonly listed?: false;
  readonly onRecord?: number;
  readonly expect: RegExp | undefined;
}[] = [
  { name: 'no marker', expect: /no marker/ },
  { name: 'the marker of nobody', seen: present({ ...stranger, description: oldMarker }), expect: /not on record/ },
  {
    name: 'the marker of one of ours at another VMID',
    seen: present({ ...stranger, description: `felhom:${'b'.repeat(26)}.1.n` }),
    onRecord: 9001,
    expect: /archive/,
  },
  { name: 'one of ours', onRecord: 9007, expect: undefined },
  { name: 'outside of our range', at: 9500, expect: undefined },
  { name: 'in the range of scratch guests', at: 9025, expect: undefined },
  { name: 'absent', seen: { is: 'absent' }, expect: undefined },
  { name: 'not to be read', seen: { is: 'forbidden' }, expect: undefined },
  { name: 'not in the list', listed: false, expect: undefined },
  { name: 'without a volume', seen: present({ hostname: 'x' }), expect: undefined },
];
for (const { name: what, at = 9007, seen = present(stranger), listed, onRecord, expect } of inventory)
  test(`strangers: ${what} → ${expect === undefined ? 'none' : 'one'}`, () => {
    const found = strangersOf({
      observation: {
        rows: new Map(listed === false ? [] : [[at as Vmid, row(at)]]),
        seen: new Map([[at as Vmid, seen]]),
      },
      registry: onRecord === undefined ? [] : [{ uid: 'b'.repeat(26) as never, name, vmid: onRecord as Vmid }],
      policy: testPolicy,
    });
    assert.equal(found.length, expect === undefined ? 0 : 1);
    const [first] = found;
    if (expect === undefined || first === undefined) return;
    assert.match(first.why, expect);
    assert.deepEqual(
      { ...first, why: '' },
      { vmid: at, name: 'books', configDigest: 'd'.repeat(40), volumes: [rootVolume, spareVolume], why: '' },
    );
  });

test('strangers: without a policy that reads there are none', () => {
  const observation = { rows: new Map([[id, row(id)]]), seen: new Map([[id, present(stranger)]]) };
  assert.deepEqual(strangersOf({ observation, registry: [], policy: undefined }), []);
});
