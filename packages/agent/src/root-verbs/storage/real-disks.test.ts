/** Disks as targets on real file systems: loop devices and mount(8), for who is root; systemd is a stand-in. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { markText, mountPathOf } from '../../storage-manifest.ts';
import { attachTarget, planAttach } from './attach.ts';
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
