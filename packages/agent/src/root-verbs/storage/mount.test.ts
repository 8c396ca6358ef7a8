/** `mount` and `unmount`: which disk is left mounted under a name, on made-up disks. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { markText, mountPathOf } from '../../storage-manifest.ts';
import { mountTarget, unmountTarget } from './mount.ts';
import { mountUnitName } from './units.ts';
import type { StorageAnswer } from './world.ts';
import { declaredUsb, makeStorageHost, mark, usb, uuid } from './test/storage-host.ts';
import type { MadeHost } from './test/storage-host.ts';

function setUp(t: TestContext): MadeHost {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-storage-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  host.declare(declaredUsb);
  return host;
}

const right = { device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' };
const marked = { '.felhom-target': markText(mark), 'photo.jpg': 'x' };
const textOf = (answer: StorageAnswer): string => (answer.is === 'done' ? 'done' : `${answer.is}: ${answer.text}`);

test('the declared disk is mounted, wanted by its device, and mounted once', async (t) => {
  const host = setUp(t);
  host.plug(right, marked);
  assert.deepEqual(await mountTarget(host.world, 'usb-1'), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), 'sdb1');
  const unit = mountUnitName('usb-1', host.world.mountRoot);
  const wants = readFileSync(join(host.folder, 'wants', unit), 'utf8');
  assert.equal(wants, `dev-disk-by\\x2duuid-${uuid.replaceAll('-', '\\x2d')}.device`);
  assert.deepEqual(await mountTarget(host.world, 'usb-1'), { is: 'done' });
  assert.equal(host.calls.filter((call) => call.startsWith('start')).length, 1);
  assert.deepEqual(await unmountTarget(host.world, 'usb-1'), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), undefined);
  assert.deepEqual(await unmountTarget(host.world, 'usb-1'), { is: 'done' });
  assert.equal(statSync(mountPathOf('usb-1', host.world.mountRoot)).mode & 0o7777, 0);
});

const wrong: [name: string, prepare: (host: MadeHost) => void, says: RegExp][] = [
  ['no disk', () => {}, /refused: .*no disk here has the UUID/],
  ['another UUID', (host) => host.plug({ ...right, uuid: 'AAAA-BBBB' }, marked), /refused: .*no disk here/],
  ['another serial', (host) => host.plug({ ...right, serial: 'WD-9' }, marked), /serial is WD-9, not WD-123/],
  ['another file system', (host) => host.plug({ ...right, fileSystem: 'xfs' }, marked), /file system is xfs/],
  [
    'two disks of one UUID',
    (host) => {
      host.plug(right, marked);
      host.plug({ ...right, device: 'sdc1' }, marked);
    },
    /refused: .*several disks have the UUID/,
  ],
  ['no mark', (host) => host.plug(right, { 'photo.jpg': 'x' }), /refused: .*bears no mark/],
  [
    'a mark of others',
    (host) => host.plug(right, { '.felhom-target': `${'b'.repeat(32)}\n` }),
    /mark of another target/,
  ],
  ['a mark with more behind it', (host) => host.plug(right, { '.felhom-target': `${mark}\nx` }), /bears no mark/],
  [
    'a decommissioned target',
    (host) => {
      host.plug(right, marked);
      host.declare({ ...declaredUsb, state: 'decommissioned' });
    },
    /refused: .*decommissioned/,
  ],
  ['nothing declared', (host) => host.declare(), /refused: .*not a declared target/],
  [
    'a manifest that others can write',
    (host) => {
      host.plug(right, marked);
      execFileSync('chmod', ['666', host.world.registry.file]);
    },
    /busy: /,
  ],
  [
    'files in the folder',
    (host) => {
      host.plug(right, marked);
      const path = mountPathOf('usb-1', host.world.mountRoot);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'copy.tar'), 'x');
    },
    /refused: .*holds files though nothing is mounted/,
  ],
];
for (const [name, prepare, says] of wrong)
  test(`${name}: nothing stays mounted`, async (t) => {
    const host = setUp(t);
    prepare(host);
    assert.match(textOf(await mountTarget(host.world, 'usb-1')), says);
    assert.equal(host.mountedDevice('usb-1'), undefined);
    assert.ok(!existsSync(join(host.folder, 'wants', mountUnitName('usb-1', host.world.mountRoot))));
  });

test('what is in use stays mounted, and is never taken away lazily', async (t) => {
  const host = setUp(t);
  host.plug(right, marked);
  await mountTarget(host.world, 'usb-1');
  host.busy = true;
  assert.match(textOf(await unmountTarget(host.world, 'usb-1')), /busy: .*in use/);
  assert.equal(host.mountedDevice('usb-1'), 'sdb1');
  assert.ok(!host.calls.some((call) => /lazy|force| -l/.test(call)));
});

test('a wrong disk that does not let go is no refusal', async (t) => {
  const host = setUp(t);
  host.plug(right, {});
  host.busy = true;
  await assert.rejects(mountTarget(host.world, 'usb-1'), /cannot unmount the wrong disk/);
});

test('a disk that comes back under another name is mounted anew', async (t) => {
  const host = setUp(t);
  host.plug(right, marked);
  await mountTarget(host.world, 'usb-1');
  host.pull('sdb1');
  host.plug({ ...right, device: 'sdd1' }, marked);
  assert.deepEqual(await mountTarget(host.world, 'usb-1'), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), 'sdd1');
});

test('another UUID in the declaration: the old device wants nothing any more', async (t) => {
  const host = setUp(t);
  host.plug(right, marked);
  await mountTarget(host.world, 'usb-1');
  await unmountTarget(host.world, 'usb-1');
  host.declare({ ...declaredUsb, target: { ...usb, uuid: 'AAAA-BBBB' } });
  host.plug({ ...right, device: 'sdc1', uuid: 'AAAA-BBBB' }, marked);
  assert.deepEqual(await mountTarget(host.world, 'usb-1'), { is: 'done' });
  const unit = mountUnitName('usb-1', host.world.mountRoot);
  assert.equal(readFileSync(join(host.folder, 'wants', unit), 'utf8'), 'dev-disk-by\\x2duuid-AAAA\\x2dBBBB.device');
  assert.ok(host.calls.includes(`disable ${unit}`));
});
