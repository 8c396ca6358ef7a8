import { test } from 'node:test';
import assert from 'node:assert/strict';
import { reason } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { bringUp } from '../bring-up/bring-up.saga.ts';
import { refOf } from '../authority/guest-record.ts';
import { photos, wish, World } from '../guests/test/world.ts';
import { crashPointsOf, refused } from '../kernel/index.ts';
import type { AnySaga, SagaEnd } from '../kernel/index.ts';
import { foundBefore } from './before-quarantine.ts';
import type { BeforeQuarantine } from './before-quarantine.ts';
import { freeGuest } from './free-guest.saga.ts';
import { liftQuarantine } from './lift-quarantine.saga.ts';
import { quarantine } from './quarantine.saga.ts';

interface Scene {
  readonly world: World;
  readonly record: () => GuestRecord;
  readonly values: () => Record<string, string>;
  readonly guest: () => { values: Record<string, string>; running: boolean; lock: string | undefined };
}

async function withGuest(): Promise<Scene> {
  const world = new World();
  assert.equal((await world.run(bringUp, { desired: wish() })).is, 'completed');
  world.now += 60_000;
  const record = () => world.registry.byName(photos) ?? assert.fail('the guest is not on record');
  const guest = () => world.node.guests.get(record().vmid) ?? assert.fail('the guest is gone');
  return { world, record, guest, values: () => guest().values };
}

async function inQuarantine(): Promise<Scene & { readonly before: BeforeQuarantine }> {
  const scene = await withGuest();
  const end = await scene.world.run(quarantine, { guest: refOf(scene.record()) });
  assert.ok(end.is === 'completed', JSON.stringify(end));
  scene.world.now += 60_000;
  return { ...scene, before: foundBefore(end.state) ?? assert.fail('it found nothing') };
}

const isShutAway = ({ guest, values }: Scene): boolean =>
  !guest().running &&
  values()['onboot'] === '0' &&
  values()['protection'] === '1' &&
  values()['net0']?.includes('link_down=1') === true;

const isAsBefore = ({ guest, values }: Scene): boolean =>
  guest().running &&
  values()['onboot'] === '1' &&
  values()['protection'] !== '1' &&
  values()['net0']?.includes('link_down') === false;

const lossOf = ({ record }: Scene): VolumeId[] =>
  record()
    .volumes.map(({ volid }) => volid)
    .toSorted();

const freeParams = (scene: Scene, lossSet = lossOf(scene)) => ({
  guest: refOf(scene.record()),
  lossSet,
  jobId: 'a'.repeat(26),
});

/** Everywhere the power may go. */
async function everywhere(
  saga: AnySaga,
  prepare: () => Promise<{ scene: Scene; params: unknown }>,
  after: (scene: Scene, end: SagaEnd, point: string) => void,
): Promise<void> {
  for (const point of crashPointsOf(saga)) {
    const { scene, params } = await prepare();
    const { world } = scene;
    world.crashAt = point;
    const first = await world.run(saga, params);
    const ends: readonly SagaEnd[] = world.crashed ? await world.reboot() : [first];
    for (const end of ends) after(scene, end, point);
  }
}

test('quarantine: stopped, cut off, protected, and it says how it was', async () => {
  const scene = await inQuarantine();
  assert.ok(isShutAway(scene));
  assert.deepEqual(scene.before, { running: true, onboot: true, protection: false, linksDown: { net0: false } });
  assert.equal(scene.record().configDigest, scene.world.node.digestOf(scene.record().vmid));
});

test('quarantine: the start with the node goes before anything else does', async () => {
  const { world, record } = await withGuest();
  const from = world.node.calls.length;
  await world.run(quarantine, { guest: refOf(record()) });
  assert.deepEqual(world.node.calls.slice(from), [
    `configure ${record().vmid} onboot`,
    `shutdown ${record().vmid}`,
    `configure ${record().vmid} net0,protection`,
  ]);
});

test('quarantine: wherever the power goes, it is shut away in the end and knows how it was', () =>
  everywhere(
    quarantine,
    async () => {
      const scene = await withGuest();
      return { scene, params: { guest: refOf(scene.record()) } };
    },
    (scene, end, point) => {
      assert.ok(end.is === 'completed', `${point}: ${JSON.stringify(end)}`);
      assert.ok(isShutAway(scene), point);
      assert.equal(foundBefore(end.state)?.running, true, point);
    },
  ));

for (const refusedKey of ['onboot', 'protection'])
  test(`quarantine: where ${refusedKey} is refused, the guest is as it was`, async () => {
    const scene = await withGuest();
    const { world, values } = scene;
    const before = { ...values() };
    const configure = world.node.writer.configure.bind(world.node.writer);
    world.node.writer.configure = async (vmid, change, signal) =>
      refusedKey in (change.set ?? {})
        ? refused(reason('pve.forbidden', 'cannot change: VM.Config.Options'))
        : configure(vmid, change, signal);
    const end = await world.run(quarantine, { guest: refOf(scene.record()) });
    assert.ok(end.is === 'unwound' && end.why.code === 'pve.forbidden', JSON.stringify(end));
    assert.deepEqual(values(), before);
    assert.ok(isAsBefore(scene));
  });

for (const saga of [quarantine, liftQuarantine, freeGuest] as readonly AnySaga[])
  test(`${saga.name}: a guest of somebody else under the VMID is not touched`, async () => {
    const scene = await inQuarantine();
    const params = saga === freeGuest ? freeParams(scene) : { guest: refOf(scene.record()) };
    scene.world.node.foreignGuest(scene.record().vmid);
    const end = await scene.world.run(saga, saga === liftQuarantine ? { ...params, before: scene.before } : params);
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.deepEqual(scene.values(), { hostname: 'stranger' });
  });

test('lifting: as it was, and running', async () => {
  const scene = await inQuarantine();
  const end = await scene.world.run(liftQuarantine, { guest: refOf(scene.record()), before: scene.before });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.ok(isAsBefore(scene));
  assert.equal(scene.record().configDigest, scene.world.node.digestOf(scene.record().vmid));
});

test('lifting: what stood still, was cut off or protected before stays so', async () => {
  const scene = await inQuarantine();
  const before = { running: false, onboot: false, protection: true, linksDown: { net0: true } };
  const end = await scene.world.run(liftQuarantine, { guest: refOf(scene.record()), before });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.ok(isShutAway(scene));
});

test('lifting: wherever the power goes, it is as it was in the end', () =>
  everywhere(
    liftQuarantine,
    async () => {
      const scene = await inQuarantine();
      return { scene, params: { guest: refOf(scene.record()), before: scene.before } };
    },
    (scene, end, point) => {
      assert.equal(end.is, 'completed', `${point}: ${JSON.stringify(end)}`);
      assert.ok(isAsBefore(scene), point);
    },
  ));

function assertGone(scene: Scene, vmid: number, what: string): void {
  const { world } = scene;
  assert.equal(world.node.guests.has(vmid), false, what);
  assert.deepEqual(world.node.volumesOf(vmid), [], what);
  assert.ok(world.node.pool.has(vmid), what);
  assert.deepEqual(world.registry.all(), [], what);
}

test('freeing: guest and volumes are gone, the VMID is in the pool, the registry forgets', async () => {
  const scene = await inQuarantine();
  const { vmid } = scene.record();
  const end = await scene.world.run(freeGuest, freeParams(scene));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assertGone(scene, vmid, '');
});

test('freeing: wherever the power goes, it is gone in the end, or untouched', async () => {
  let vmid = 0;
  await everywhere(
    freeGuest,
    async () => {
      const scene = await inQuarantine();
      ({ vmid } = scene.record());
      return { scene, params: freeParams(scene) };
    },
    (scene, end, point) => {
      assert.equal(end.is, 'completed', `${point}: ${JSON.stringify(end)}`);
      assertGone(scene, vmid, point);
    },
  );
});

test('freeing: what stopped half-way is finished, with the same volumes', async () => {
  const scene = await inQuarantine();
  const { vmid } = scene.record();
  scene.world.node.mishaps.destroy.push({ fails: "storage 'local' is not online", frees: 1 });
  const end = await scene.world.run(freeGuest, freeParams(scene));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assertGone(scene, vmid, '');
});

test('freeing: a storage that stays away parks it with what is left', async () => {
  const scene = await inQuarantine();
  for (let n = 0; n < 50; n++) scene.world.node.mishaps.destroy.push({ fails: 'not online', frees: n === 0 ? 1 : 0 });
  const loss = lossOf(scene);
  const end = await scene.world.run(freeGuest, freeParams(scene));
  assert.ok(end.is === 'parked' && end.step === 'destroy', JSON.stringify(end));
  for (const volid of loss.filter((candidate) => scene.world.node.volumes.has(candidate)))
    assert.ok(end.why.text.includes(volid));
  assert.equal(scene.world.registry.all().length, 1);
});

test('freeing: a worker killed in its last moment leaves a stub, which root clears', async () => {
  const scene = await inQuarantine();
  const { vmid } = scene.record();
  scene.world.node.mishaps.destroy.push('killed-at-stub');
  const end = await scene.world.run(freeGuest, freeParams(scene));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assertGone(scene, vmid, '');
});

test('freeing: a DELETE that lands late meets a protected guest, and never a guest of later', async () => {
  const scene = await inQuarantine();
  const { world } = scene;
  const { vmid } = scene.record();
  world.node.mishaps.destroy.push('late');
  const sleep = world.clock.sleep.bind(world.clock);
  let landed = '';
  world.clock.sleep = async (ms, signal) => {
    if (ms > 30_000 && world.node.guests.has(vmid)) {
      landed = world.node.guests.get(vmid)?.values['protection'] ?? 'gone';
      world.node.landLate();
      assert.ok(world.node.guests.has(vmid));
    }
    await sleep(ms, signal);
  };
  const end = await world.run(freeGuest, freeParams(scene));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.equal(landed, '1');
  assertGone(scene, vmid, '');
});

interface Surprise {
  readonly name: string;
  readonly given: (scene: Scene) => void;
  readonly code: string;
}

const surprises: readonly Surprise[] = [
  { name: 'it runs', given: ({ guest }) => void (guest().running = true), code: 'pve.guest-running' },
  { name: 'it is not protected', given: ({ values }) => delete values()['protection'], code: 'job.changed' },
  { name: 'it starts with the node', given: ({ values }) => void (values()['onboot'] = '1'), code: 'job.changed' },
  {
    name: 'a link is up',
    given: ({ values }) => void (values()['net0'] = 'name=eth0,bridge=vmbr0,ip=dhcp'),
    code: 'job.changed',
  },
  { name: 'its marker is gone', given: ({ values }) => delete values()['description'], code: 'guest.not-ours' },
  {
    name: 'a volume more in its config',
    given: ({ values }) => void (values()['mp5'] = 'local:9000/vm-9000-disk-55.raw,mp=/x,size=1G'),
    code: 'gate.unproven',
  },
  {
    name: 'a volume more as unused',
    given: ({ values }) => void (values()['unused0'] = 'local:9000/vm-9000-disk-56.raw'),
    code: 'gate.holds-data',
  },
  {
    name: 'an orphan more under its VMID',
    given: ({ world, record }) =>
      void world.node.volumes.set('local:9000/vm-9000-disk-57.raw' as VolumeId, record().vmid),
    code: 'gate.holds-data',
  },
  {
    name: 'another guest uses a volume of it',
    given: ({ world, record }) => {
      world.node.foreignGuest(8000);
      const [volume] = record().volumes;
      Object.assign(world.node.guests.get(8000)?.values ?? {}, { mp3: `${volume?.volid},mp=/x,size=1G` });
    },
    code: 'guest.still-referenced',
  },
  {
    name: 'somebody restored there',
    given: ({ world, record }) => {
      const upid = `UPID:pve1:1:1:1:vzrestore:${record().vmid}:root@pam:`;
      const startTime = Math.floor(world.now / 1000);
      world.node.tasks.push({
        ...(world.node.tasks[0] ?? assert.fail()),
        upid: upid as never,
        type: 'vzrestore',
        startTime,
        user: 'root@pam',
      });
    },
    code: 'gate.foreign',
  },
];

for (const { name, given, code } of surprises)
  test(`freeing: ${name} → refused (${code}), nothing is touched`, async () => {
    const scene = await inQuarantine();
    const params = freeParams(scene);
    given(scene);
    const before = { ...scene.values() };
    const volumes = [...scene.world.node.volumes.keys()];
    const end = await scene.world.run(freeGuest, params);
    assert.ok(end.is === 'unwound', JSON.stringify(end));
    assert.equal(end.why.code, code, end.why.text);
    assert.deepEqual(scene.values(), before);
    assert.deepEqual([...scene.world.node.volumes.keys()], volumes);
    assert.ok(!scene.world.node.calls.some((call) => call.startsWith('destroy')));
  });

test('freeing: one volume less signed than is there, or one more, is refused', async () => {
  const scene = await inQuarantine();
  const loss = lossOf(scene);
  for (const signed of [loss.slice(1), [...loss, 'local:9000/vm-9000-disk-99.raw' as VolumeId]]) {
    const end = await scene.world.run(freeGuest, freeParams(scene, signed));
    assert.equal(end.is, 'unwound', JSON.stringify(end));
  }
  assert.ok(isShutAway(scene));
});

test('freeing: refused protection before the point of no return leaves the quarantine as it was', async () => {
  const scene = await inQuarantine();
  const { world } = scene;
  const configure = world.node.writer.configure.bind(world.node.writer);
  world.node.writer.configure = async (vmid, change, signal) =>
    change.set?.['protection'] === '0'
      ? refused(reason('pve.forbidden', 'cannot change: VM.Config.Options'))
      : configure(vmid, change, signal);
  const end = await world.run(freeGuest, freeParams(scene));
  assert.ok(end.is === 'unwound' && end.why.code === 'pve.forbidden', JSON.stringify(end));
  assert.ok(isShutAway(scene));
});

test('freeing: what never served needs no quarantine', async () => {
  const scene = await withGuest();
  const { vmid } = scene.record();
  scene.world.registry.put({ ...scene.record(), servedAt: undefined });
  scene.guest().running = false;
  const end = await scene.world.run(freeGuest, freeParams(scene));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assertGone(scene, vmid, '');
});
