/** Disks that are pulled, swapped and put back while the agent works: what is told, what counts, and what goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';
import type { SimDisk } from './sim-targets.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

const plan = {
  graceMinutes: 5,
  tiers: [{ name: 'usb', target: 'usb1', schedule: '*-*-* 03:06:00', keep: { days: 7, weeks: 4 } }],
};

interface World extends SimWorld {
  readonly disk1: SimDisk;
}

/** A guest that is up, and a disk for its copies. It is three; the backup is due at six past. */
async function worldWithDisk(options: { readonly backupMs?: number; readonly seed?: number } = {}): Promise<World> {
  const world = await createSimWorld({
    seed: options.seed ?? 3,
    pace: { backupMs: options.backupMs ?? 2 * minute },
    policy: { backups: { targets: {} } },
  });
  const disk1 = await world.clock.runUntil(world.targets.attach('usb1'));
  world.hub.publish([labGuest('web')], { backups: plan });
  world.boot();
  assert.ok(await world.until(() => reportOf(world).converged, 10 * minute));
  return Object.assign(world, { disk1 });
}

const reportOf = (world: SimWorld): Report => world.life()?.agent.report() ?? assert.fail('no agent runs');
const target = (world: World) => reportOf(world).targets[0] ?? assert.fail('no target is reported');
const copies = (world: World): number => reportOf(world).backups[0]?.copies ?? 0;
const keys = (world: World): readonly string[] => reportOf(world).findings.map(({ key }) => key);
const failure = (world: World): string => reportOf(world).backups[0]?.lastFailure ?? '';
const backupRuns = (world: World): boolean => reportOf(world).sagas.some(({ name }) => name === 'backup');

/** Paths of the root disk that archives would lie on if the mount were missing. */
const onRootDisk = ({ node: { storage } }: World): readonly string[] => {
  const root = storage.diskPath('backup', 'x').replace('/srv/backup/x', '');
  assert.ok(storage.disk.list(`${root}/srv/backup/dump`).length > 0, 'this is not where the root disk lies');
  return storage.disk.list(`${root}/mnt/felhom/usb1/dump`);
};

async function duringBackup(world: World, step: string): Promise<void> {
  const at = (): boolean => reportOf(world).sagas.some((saga) => saga.name === 'backup' && saga.step === step);
  assert.ok(await world.until(at, hour), `the backup never came to ${step}`);
}

test('a pulled disk is in the report of the hub within a second, and back when it is back', async () => {
  const world = await worldWithDisk();
  assert.equal(target(world).state, 'attached');
  const took: number[] = [];
  for (let pull = 0; pull < 2; pull += 1) {
    const said = (state: string) => (): boolean => world.hub.lastReport()?.targets[0]?.state === state;
    assert.ok(await world.until(said('attached'), 10 * minute));
    // Never twice at the same moment of the poll's interval.
    await world.clock.advance(20 * second + pull * 3_700);
    const heardAt = Promise.withResolvers<number>();
    world.hub.onPoll = (poll) => {
      if (poll.report?.targets[0]?.state === 'disconnected') heardAt.resolve(world.clock.now());
    };
    const pulledAt = world.clock.now();
    world.targets.pull('usb1');
    took.push((await world.clock.runUntil(heardAt.promise)) - pulledAt);
    world.hub.onPoll = undefined;
    await world.clock.advance(minute);
    world.targets.plugIn('usb1');
  }
  assert.ok(Math.max(...took) < second, `told after ${took.join(', ')} ms`);
});

test('what is due waits for a disk that is away, says so, and begins when it is back', async () => {
  const world = await worldWithDisk();
  world.targets.pull('usb1');
  await world.clock.advance(10 * minute);
  assert.equal(copies(world), 0);
  assert.equal(failure(world), '', 'nothing was tried');
  assert.ok(keys(world).includes('storage.disconnected'), keys(world).join());
  assert.equal(world.targets.asked.length, 0);
  world.targets.plugIn('usb1');
  await world.clock.advance(6 * minute);
  assert.equal(copies(world), 1);
  assert.ok(!keys(world).some((key) => key.startsWith('storage.')), keys(world).join());
  assert.deepEqual(onRootDisk(world), []);
});

test('a disk that is pulled in the middle of a backup: failed at once, nothing counted, taken again when it is back', async () => {
  const world = await worldWithDisk();
  await duringBackup(world, 'finish');
  world.targets.pull('usb1');
  assert.ok(await world.until(() => !backupRuns(world), 10 * second), 'it did not end');
  assert.ok(await world.until(() => failure(world) !== '', minute));
  assert.match(failure(world), /cannot count the backup of web to usb-usb1: .*(?:gone|no disk)/);
  assert.equal(copies(world), 0);
  assert.deepEqual(onRootDisk(world), []);
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  // Sooner than its back-off would let it.
  assert.ok(await world.until(() => backupRuns(world), minute), 'it did not begin again');
  await world.clock.advance(6 * minute);
  assert.equal(copies(world), 1);
});

test('pulled and back within a moment: what was being written then does not count', async () => {
  const world = await worldWithDisk();
  await duringBackup(world, 'finish');
  world.targets.tellsEvents = false;
  world.targets.pull('usb1');
  await world.clock.advance(second);
  world.targets.plugIn('usb1');
  await world.clock.advance(second);
  world.targets.tellsEvents = true;
  assert.ok(await world.until(() => failure(world) !== '', 2 * minute));
  assert.match(failure(world), /cannot count the backup of web to usb-usb1/);
  assert.equal(copies(world), 0);
});

test('pulled between the end of a backup and its check: not counted', async () => {
  const world = await worldWithDisk();
  const { faults } = world.node;
  const checks = (): boolean => reportOf(world).sagas.some(({ name, step }) => name === 'backup' && step === 'verify');
  faults.add({
    method: 'GET',
    path: /storage\/usb-usb1\/content/,
    always: true,
    fault: {
      is: 'meanwhile',
      act: async () => {
        if (checks()) world.targets.pull('usb1');
      },
    },
  });
  assert.ok(await world.until(() => failure(world) !== '', hour));
  assert.match(failure(world), /cannot count the backup of web to usb-usb1/);
  assert.equal(copies(world), 0);
  assert.deepEqual(onRootDisk(world), []);
});

test('swapped for another disk during a backup, also one that copies its UUID: refused, and the right one goes on', async () => {
  const world = await worldWithDisk();
  await duringBackup(world, 'finish');
  world.targets.pull('usb1');
  await world.clock.advance(5 * second);
  const other: SimDisk = { uuid: 'ffffffff-0000-4000-8000-000000000000', serial: 'OTHER', mark: undefined };
  world.targets.plugIn('usb1', other);
  await world.clock.advance(2 * minute);
  assert.equal(copies(world), 0);
  assert.equal(target(world).state, 'disconnected');
  const copy: SimDisk = { ...world.disk1, serial: 'COPY', mark: undefined };
  world.targets.pull('usb1');
  await world.clock.advance(2 * minute);
  world.targets.plugIn('usb1', copy);
  await world.clock.advance(2 * minute);
  assert.ok(keys(world).includes('storage.other-disk'), keys(world).join());
  assert.equal(copies(world), 0);
  assert.equal(world.targets.isMounted('usb1'), false, 'systemd mounted the copy; nothing is to be written to it');
  world.targets.pull('usb1');
  await world.clock.advance(2 * minute);
  world.targets.plugIn('usb1');
  await world.clock.advance(6 * minute);
  assert.equal(target(world).state, 'attached');
  assert.equal(copies(world), 1);
});

test('a disk that hangs is found out before anything is written to it', async () => {
  const world = await worldWithDisk();
  world.targets.answer('usb1', { is: 'hangs' });
  await world.clock.advance(9 * minute);
  assert.equal(copies(world), 0);
  assert.ok(keys(world).includes('storage.hung'), keys(world).join());
  world.targets.answer('usb1', 'as it is');
  await world.clock.advance(9 * minute);
  assert.equal(copies(world), 1);
});

test('systemd did not mount it: root does; its entry of Proxmox was changed: root puts it right', async () => {
  const world = await worldWithDisk();
  world.targets.mountsByItself = false;
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  await world.clock.advance(minute);
  assert.deepEqual(world.targets.asked, ['mount usb1']);
  assert.equal(target(world).state, 'attached');
  const params = { content: 'images' };
  await world.clock.runUntil(world.node.handle({ method: 'PUT', path: '/storage/usb-usb1', params, as: 'root@pam' }));
  await world.clock.advance(3 * minute);
  assert.deepEqual(world.targets.asked, ['mount usb1', 'storage-define usb1']);
  assert.equal(target(world).state, 'attached');
});

test('what was known of a disk outlives the agent', async () => {
  const world = await worldWithDisk();
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  const before = target(world);
  world.cut();
  await world.clock.advance(10 * minute);
  world.boot();
  await world.clock.advance(minute);
  assert.deepEqual(target(world), before);
});

test('a disk that is swapped while the agent is down: the backup that ran does not count', async () => {
  const world = await worldWithDisk();
  await duringBackup(world, 'finish');
  world.cut();
  world.targets.pull('usb1');
  await world.clock.advance(5 * second);
  world.targets.plugIn('usb1');
  // Long enough for it to be written to its end.
  await world.clock.advance(5 * minute);
  world.boot();
  assert.ok(await world.until(() => copies(world) > 0, 20 * minute));
  const archives = world.node.storage.archives.list('usb-usb1').map(({ file }) => `usb-usb1:backup/${file}`);
  assert.equal(archives.length, 2, 'the first one was written to its end, and another one taken');
  const counted = reportOf(world).copies.map(({ archive }): string => archive);
  assert.deepEqual(counted, archives.toSorted().slice(-1));
});

test('an agent that restarts during a backup goes on with it: its disk was never away', async () => {
  const world = await worldWithDisk();
  await duringBackup(world, 'finish');
  world.cut();
  await world.clock.advance(5 * second);
  world.boot();
  assert.ok(await world.until(() => copies(world) > 0, 10 * minute));
  assert.equal(world.node.storage.archives.list('usb-usb1').length, 1);
});
