/** Disks as targets on real file systems: loop devices and mount(8), for who is root; systemd is a stand-in. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { markText, mountPathOf } from '../../storage-manifest.ts';
import { attachTarget, planAttach } from './attach.ts';
import { createBlockDevices } from './block-devices.ts';
import { planWipe, wipeTarget } from './wipe.ts';
import { detachTarget } from './detach.ts';
import { mountTarget, unmountTarget } from './mount.ts';
import type { ChangeAnswer } from './world.ts';
import { declaredUsb, makeStorageHost, mark, noLoopDevices, realMounts, usb } from './test/storage-host.ts';

const textOf = (answer: ChangeAnswer): string => (answer.is === 'done' ? 'done' : `${answer.is}: ${answer.text}`);

/** `undefined` after it has said why there can be none. All of it is gone after the test. */
function setUp(t: TestContext) {
  const missing = noLoopDevices();
  if (missing !== undefined) {
    t.skip(`no real disks: ${missing}`);
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'felhom-disks-'));
  const host = makeStorageHost(folder);
  const world = realMounts(folder, host.world);
  const path = mountPathOf('usb-1', world.mountRoot);
  const undo: string[][] = [
    ['chattr', '-i', path],
    ['umount', path],
    ['umount', join(folder, 'aside')],
  ];
  t.after(() => {
    for (const [program = '', ...args] of undo.toReversed())
      try {
        execFileSync(program, args, { stdio: 'ignore' });
      } catch {
        // It is gone already.
      }
    rmSync(folder, { recursive: true, force: true });
  });
  // Of this run alone: the machine's other loop devices are looked at too.
  const uuid = randomUUID();
  const makeDisk = (name: string): string => {
    const image = join(folder, name);
    writeFileSync(image, '');
    truncateSync(image, 16 * 1024 * 1024);
    execFileSync('mkfs.ext4', ['-q', '-U', uuid, image]);
    const loop = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
    undo.push(['losetup', '--detach', loop]);
    return loop;
  };
  // A loop device tells no serial.
  const { serial: _, ...noSerial } = usb;
  return { folder, host, world, path, makeDisk, target: { ...noSerial, uuid } };
}

test('mounted by its unit, closed while it is away, and a copy of its UUID refused', async (t) => {
  const made = setUp(t);
  if (made === undefined) return;
  const { folder, host, world, path, makeDisk, target } = made;
  host.declare({ ...declaredUsb, target });
  /** Whatever else looks at loop devices on this machine holds them open for a moment. */
  const says = async (what: RegExp): Promise<void> => {
    let said = '';
    for (let times = 0; times < 20 && !what.test(said); times += 1) said = textOf(await mountTarget(world, 'usb-1'));
    assert.match(said, what);
  };
  const first = makeDisk('first.img');
  const aside = join(folder, 'aside');
  mkdirSync(aside);
  execFileSync('mount', [first, aside]);
  writeFileSync(join(aside, '.felhom-target'), markText(mark));
  await says(/is mounted at .*aside; unmount it there/);
  execFileSync('umount', [aside]);
  assert.deepEqual(await mountTarget(world, 'usb-1'), { is: 'done' });
  writeFileSync(join(path, 'copy.tar'), 'x');
  assert.deepEqual(await unmountTarget(world, 'usb-1'), { is: 'done' });
  assert.throws(() => writeFileSync(join(path, 'copy.tar'), 'x'), /EPERM|EACCES/, 'root writes below it');
  assert.deepEqual(await mountTarget(world, 'usb-1'), { is: 'done' });
  assert.equal(readFileSync(join(path, 'copy.tar'), 'utf8'), 'x');
  const second = makeDisk('second.img');
  await says(/several disks have the UUID/);
  assert.deepEqual(await unmountTarget(world, 'usb-1'), { is: 'done' });
  execFileSync('dd', ['if=/dev/zero', `of=${first}`, 'bs=64K', 'count=1', 'conv=fsync', 'status=none']);
  // The same UUID, and nothing of what was on the first.
  await says(new RegExp(`${second} has its UUID and bears no mark`));
  assert.throws(() => writeFileSync(join(path, 'copy.tar'), 'x'), /EPERM|EACCES/);
});

test('attached: measured, marked, and the same disk again after it was detached', async (t) => {
  const made = setUp(t);
  if (made === undefined) return;
  const { world, path, makeDisk, target } = made;
  const loop = makeDisk('disk.img');
  // The stand-in of Proxmox does not see real mounts.
  const perl = async () => ({ code: 0, stdout: JSON.stringify({ entry: null, pooled: false }), stderr: '' });
  const { class: _, ...draft } = target;
  let ticks = 0;
  const planned = await planAttach({ ...world, tools: { ...world.tools, perl } }, draft, () => (ticks += 0.01));
  assert.ok(planned.is === 'plan', JSON.stringify(planned));
  assert.equal(planned.plan.disk?.device, loop);
  assert.ok((planned.plan.iops ?? 0) > 0, 'not measured');
  assert.equal(planned.plan.target.class, 'fast');
  const options = { now: 1, takeOver: false };
  const first = world.newMark();
  // Mounting and marking are real; what Proxmox says is not what this is about.
  assert.match(textOf(await attachTarget(world, planned.plan, options)), /declared and not in use yet/);
  assert.equal(readFileSync(join(path, '.felhom-target'), 'utf8'), markText(first));
  assert.equal(statSync(join(path, '.felhom-target')).mode & 0o777, 0o444);
  assert.deepEqual(await mountTarget(world, 'usb-1'), { is: 'done' });
  assert.deepEqual(await detachTarget(world, 'usb-1'), { is: 'done' });
  assert.throws(() => writeFileSync(join(path, 'x'), 'x'), /EPERM|EACCES/);
  const known = world.registry.read();
  assert.ok(known.is === 'held');
  const again = { ...planned.plan, known: known.manifest.targets[0] };
  await attachTarget({ ...world, newMark: () => 'e'.repeat(32) }, again, options);
  assert.equal(readFileSync(join(path, '.felhom-target'), 'utf8'), markText(first));
  assert.deepEqual(await mountTarget(world, 'usb-1'), { is: 'done' });
});

/** Read from the device: what is on it, and not what anybody remembers. */
const bytesOf = (device: string, from: number, count: number): Buffer =>
  execFileSync(
    'dd',
    [`if=${device}`, 'bs=4096', `skip=${from / 4096}`, `count=${count / 4096}`, 'status=none', 'iflag=direct'],
    {
      maxBuffer: 64 * 1024 * 1024,
    },
  );

test('wiped: its ends are zeros, nobody takes it for what it was, and what is held is not touched', async (t) => {
  const made = setUp(t);
  if (made === undefined) return;
  const { folder, host, world, makeDisk, target } = made;
  const perl = async () => ({ code: 0, stdout: JSON.stringify({ entry: null, pooled: false }), stderr: '' });
  const alone = { ...world, tools: { ...world.tools, perl } };
  const loop = makeDisk('disk.img');
  const size = 16 * 1024 * 1024;
  const aside = join(folder, 'aside');
  mkdirSync(aside);
  execFileSync('mount', [loop, aside]);
  writeFileSync(join(aside, '.felhom-target'), markText(mark));
  host.declare({ ...declaredUsb, target, state: 'decommissioned' });
  const wipe = async (): Promise<string> => {
    const planned = await planWipe(alone, 'usb-1');
    return planned.is === 'plan' ? textOf(await wipeTarget(alone, planned.plan, 1)) : `${planned.is}: ${planned.text}`;
  };
  assert.match(await wipe(), /is mounted at .*aside; unmount it there/);
  // By a link to it: VMs open such a disk without holding it.
  symlinkSync(loop, join(folder, 'by-id'));
  const config = join(folder, 'guests', '100.conf');
  writeFileSync(config, `scsi1: /dev/..${join(folder, 'by-id')},size=16M\n`);
  execFileSync('umount', [aside]);
  assert.match(await wipe(), /guests have it, or another part of its disk, as a device: 100$/);
  rmSync(config);
  execFileSync('mount', [loop, aside]);
  // Whatever lsblk sees: the kernel knows of every mount namespace.
  const devices = createBlockDevices(alone.tools.wipefs);
  assert.match((await devices.heldBy(loop)) ?? '', /does not let it be held alone/);
  const beforeHead = () => assert.fail('nothing is overwritten');
  const held = await devices.overwrite({ device: loop, sizeBytes: size, isStill: async () => true, beforeHead });
  assert.ok(held.is === 'held', JSON.stringify(held));
  execFileSync('umount', [aside]);
  writeFileSync(join(folder, 'end'), Buffer.alloc(4096, 'x'));
  execFileSync('dd', [
    `if=${join(folder, 'end')}`,
    `of=${loop}`,
    'bs=4096',
    `seek=${size / 4096 - 1}`,
    'conv=notrunc,fsync',
    'status=none',
  ]);
  let swapped: string = '';
  for (let times = 0; times < 20 && !swapped.includes('another'); times += 1)
    swapped = JSON.stringify(
      await devices.overwrite({ device: loop, sizeBytes: size, isStill: async () => false, beforeHead }),
    );
  assert.match(swapped, /is another disk now/);
  assert.ok(bytesOf(loop, size - 4096, 4096).includes('x'));
  assert.equal(await devices.isOverwritten({ device: loop, sizeBytes: size }), false);
  let said = '';
  // Whatever else looks at loop devices on this machine holds them open for a moment.
  for (let times = 0; times < 20 && said !== 'done'; times += 1) said = await wipe();
  assert.equal(said, 'done');
  for (const from of [0, size - 4 * 1024 * 1024])
    assert.ok(
      bytesOf(loop, from, 4 * 1024 * 1024).every((byte) => byte === 0),
      `at ${from}`,
    );
  assert.equal(execFileSync('wipefs', [loop], { encoding: 'utf8' }), '');
  assert.equal(await devices.isOverwritten({ device: loop, sizeBytes: size }), true);
  for (const at of [128 * 1024, 4 * 1024 * 1024 - 1, size - 4 * 1024 * 1024, size - 1]) {
    const copy = join(folder, 'copy.img');
    rmSync(copy, { force: true });
    writeFileSync(copy, '');
    truncateSync(copy, size);
    assert.equal(await devices.isOverwritten({ device: copy, sizeBytes: size }), true);
    const file = openSync(copy, 'r+');
    writeSync(file, 'x', at);
    closeSync(file);
    assert.equal(await devices.isOverwritten({ device: copy, sizeBytes: size }), false, `at ${at}`);
  }
  const known = alone.registry.read();
  assert.ok(known.is === 'held');
  assert.deepEqual(known.manifest.targets, []);
  assert.equal(known.manifest.wiped?.[0]?.name, 'usb-1');
});

test('a disk that is told by UUID until the last moment can be gone on with', async (t) => {
  const made = setUp(t);
  if (made === undefined) return;
  const { folder, host, world, makeDisk, target } = made;
  const perl = async () => ({ code: 0, stdout: JSON.stringify({ entry: null, pooled: false }), stderr: '' });
  const tools = { ...world.tools, perl };
  const loop = makeDisk('disk.img');
  const aside = join(folder, 'aside');
  mkdirSync(aside);
  execFileSync('mount', [loop, aside]);
  writeFileSync(join(aside, '.felhom-target'), markText(mark));
  execFileSync('umount', [aside]);
  host.declare({ ...declaredUsb, target, state: 'decommissioned' });
  const broken = {
    ...world,
    tools,
    blockDevices: createBlockDevices(async () => ({ code: 1, stdout: '', stderr: 'killed' })),
  };
  const attempt = async (on: typeof broken): Promise<string> => {
    const planned = await planWipe(on, 'usb-1');
    return planned.is === 'plan' ? textOf(await wipeTarget(on, planned.plan, 1)) : `${planned.is}: ${planned.text}`;
  };
  let said = '';
  for (let times = 0; times < 20 && !said.includes('killed'); times += 1) said = await attempt(broken);
  assert.match(said, /begun: .*wipefs ended with 1: killed/);
  const known = world.registry.read();
  assert.ok(known.is === 'held' && known.manifest.targets[0]?.wipingHead === true, 'its UUID may be gone from here on');
  assert.equal(
    execFileSync('blkid', ['-p', '-s', 'UUID', '-o', 'value', loop], { encoding: 'utf8' }).trim(),
    target.uuid,
  );
  for (let times = 0; times < 20 && said !== 'done'; times += 1)
    said = await attempt({ ...broken, blockDevices: createBlockDevices(tools.wipefs) });
  assert.equal(said, 'done');
});
