/** What is wiped, what never is, and what a wipe that was interrupted leads to. On a made-up host. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { storageTarget } from '@felhom/protocol';
import { entryOf } from '../../storage-entry.ts';
import { markText } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { planWipe, wipeTarget } from './wipe.ts';
import type { ChangeAnswer } from './world.ts';
import { declaredUsb, makeStorageHost, mark, usb, uuid } from './test/storage-host.ts';
import type { MadeHost } from './test/storage-host.ts';

const right = { device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' };
const files = { '.felhom-target': markText(mark), 'old.tar': 'x' };
const off: DeclaredTarget = { ...declaredUsb, state: 'decommissioned' };

function setUp(t: TestContext, ...targets: readonly DeclaredTarget[]): MadeHost {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-wipe-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  host.declare(...targets);
  return host;
}

async function wipe(host: MadeHost): Promise<ChangeAnswer> {
  const planned = await planWipe(host.world, 'usb-1');
  return planned.is === 'plan' ? wipeTarget(host.world, planned.plan, 7) : planned;
}
const manifest = ({ world }: MadeHost) => {
  const held = world.registry.read();
  assert.ok(held.is === 'held');
  return held.manifest;
};

test('a detached disk is overwritten, its entry goes, and its name is kept in mind', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  host.entries.set('usb1', entryOf(off, 'pve1', host.world.mountRoot));
  host.entries.set('local', { type: 'dir', path: '/var/lib/vz' });
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(host.overwritten, ['/dev/sdb1']);
  assert.deepEqual([...host.entries.keys()], ['local']);
  assert.deepEqual(manifest(host), { v: 1, targets: [], wiped: [{ name: 'usb-1', identity: `ext4:${uuid}`, at: 7 }] });
  assert.equal(host.mountedDevice('../look'), undefined, 'the look at its mark is over');
  const again = await wipe(host);
  assert.match(again.is === 'done' ? '' : again.text, /not a declared target/);
});

const { uuid: _, fileSystem: __, serial: ___, ...rest } = usb;
const nfs = storageTarget.parse({ ...rest, type: 'nfs', server: 'nas', export: '/x' });
const second: DeclaredTarget = {
  ...declaredUsb,
  target: { ...usb, name: 'usb-2', storage: 'usb2' as typeof usb.storage, uuid: 'AAAA-BBBB' },
};

const never: [name: string, change: (host: MadeHost) => void, says: RegExp][] = [
  ['that is in use', (host) => host.declare(declaredUsb), /it is in use; detach it first/],
  ['that nobody declared', (host) => host.declare(second), /not a declared target/],
  ['that is a server', (host) => host.declare({ ...off, target: nfs }), /it is a server/],
  ['that is not there', (host) => host.pull('sdb1'), /no disk here has the UUID/],
  ['that is there twice', (host) => host.plug({ ...right, device: 'sdc1' }, files), /several disks have the UUID/],
  ['with another serial', (host) => host.plug({ ...right, serial: 'WD-9' }), /its serial is WD-9, not WD-123/],
  ['with another file system', (host) => host.plug({ ...right, fileSystem: 'xfs' }), /its file system is xfs/],
  [
    'with the mark of another',
    (host) => host.plug(right, { '.felhom-target': markText('d'.repeat(32)) }),
    /bears the mark of another target/,
  ],
  ['without a mark', (host) => rmSync(join(host.folder, 'devices', 'sdb1', '.felhom-target')), /bears no mark/],
  [
    'whose storage a guest names',
    (host) => writeFileSync(join(host.folder, 'guests', '9001.conf'), 'mp0: usb1:9001/x.raw,mp=/srv\n'),
    /guests have volumes there: 9001/,
  ],
  ['that the kernel does not let go', (host) => void (host.overwriting = 'held'), /is in use/],
  [
    'that another target lies beside',
    (host) => alter(host, { beside: { uuid: 'AAAA-BBBB' } }),
    /target usb-2 lies on the same disk/,
  ],
  ['with a part that is mounted', (host) => alter(host, { beside: { mountpoints: ['/'] } }), /sdb2 is mounted at \//],
  ['with a part that is swap', (host) => alter(host, { beside: { mountpoints: ['[SWAP]'] } }), /sdb2 is swap/],
  ['with a part of LVM', (host) => alter(host, { beside: { fstype: 'LVM2_member' } }), /sdb2 is of LVM2_member/],
  ['with a part of ZFS', (host) => alter(host, { beside: { fstype: 'zfs_member' } }), /sdb2 is of zfs_member/],
  ['with a part of md', (host) => alter(host, { beside: { fstype: 'linux_raid_member' } }), /of linux_raid_member/],
  [
    'that something is made of',
    (host) => alter(host, { below: [{ path: '/dev/dm-0', type: 'crypt', size: 1 }] }),
    /dm-0 on it is of type crypt; \/dev\/sdb1 has parts|\/dev\/sdb1 has parts: \/dev\/dm-0/,
  ],
];

/** `beside`: another part of the same disk; `below`: what the kernel made of the target's device. */
function alter(host: MadeHost, more: { readonly beside?: object; readonly below?: readonly object[] }): void {
  const { lsblk, blkid } = host.world.tools;
  const beside = { path: '/dev/sdb2', type: 'part', size: 1_000_000, mountpoints: [null], ...more.beside };
  Object.assign(host.world.tools, {
    lsblk: async (args: readonly string[]) => {
      const said = await lsblk(args);
      const { blockdevices } = JSON.parse(said.stdout) as { blockdevices: { path: string; children: object[] }[] };
      for (const disk of blockdevices)
        if (disk.path === '/dev/sdb')
          disk.children = [
            ...disk.children.map((child) => ({
              ...child,
              ...(more.below === undefined ? {} : { children: more.below }),
            })),
            ...(more.beside === undefined ? [] : [beside]),
          ];
      return { ...said, stdout: JSON.stringify({ blockdevices }) };
    },
    blkid: async (args: readonly string[]) =>
      args.at(-1) === '/dev/sdb2' ? { code: 0, stdout: 'UUID=AAAA-BBBB\nTYPE=ext4\n', stderr: '' } : blkid(args),
  });
}

for (const [name, change, says] of never)
  test(`a disk ${name} is not wiped, and stays as it was`, async (t) => {
    const host = setUp(t, off, second);
    host.plug(right, files);
    change(host);
    const before = JSON.stringify(manifest(host));
    const answer = await wipe(host);
    assert.ok(answer.is === 'refused', JSON.stringify(answer));
    assert.match(answer.text, /^cannot wipe usb-1: /);
    assert.match(answer.text, says);
    assert.deepEqual(host.overwritten, []);
    assert.equal(JSON.stringify(manifest(host)), before);
    assert.equal(host.mountedDevice('../look'), undefined);
  });

test('an entry under its name that stands for something else is left alone', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  host.entries.set('usb1', { type: 'dir', path: '/srv' });
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(host.entries.get('usb1'), { type: 'dir', path: '/srv' });
});

test('a disk that is swapped for another while Proxmox is asked is not that disk any more', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  host.entries.set('usb1', entryOf(off, 'pve1', host.world.mountRoot));
  const { perl } = host.world.tools;
  Object.assign(host.world.tools, {
    perl: async (args: readonly string[], input = '') => {
      if (input.includes('"act":"remove"')) host.plug({ ...right, uuid: 'AAAA-BBBB', serial: 'WD-9' });
      return perl(args, input);
    },
  });
  const answer = await wipe(host);
  assert.ok(answer.is === 'busy', JSON.stringify(answer));
  assert.match(answer.text, /another disk now/);
  assert.deepEqual(host.overwritten, []);
  assert.equal(manifest(host).targets[0]?.state, 'decommissioned');
});

test('one that died in the middle is told, is attached by nobody, and goes on', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  host.overwriting = 'dies';
  await assert.rejects(wipe(host), /Input\/output error/);
  assert.equal(manifest(host).targets[0]?.state, 'wiping');
  // Its file system is not readable any more, its superblock still is.
  rmSync(join(host.folder, 'devices', 'sdb1', '.felhom-target'));
  host.overwriting = 'works';
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(manifest(host).targets, []);
});

test('one that died after its UUID was gone is found by serial and size, or told', async (t) => {
  const host = setUp(t, { ...off, state: 'wiping', wipingBytes: 3_900_000_000 });
  host.plug({ ...right, uuid: '', fileSystem: '', serial: 'WD-9' });
  const other = await wipe(host);
  assert.match(
    other.is === 'done' ? '' : other.text,
    /its wiping has begun, and its disk is not here, or cannot be told/,
  );
  assert.deepEqual(host.overwritten, []);
  host.plug({ ...right, uuid: '', fileSystem: '' });
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(host.overwritten, ['/dev/sdb1']);
  assert.ok(existsSync(host.world.registry.file));
});

test('an entry that Proxmox does not remove stops it before the first byte', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  host.entries.set('usb1', entryOf(off, 'pve1', host.world.mountRoot));
  const { perl } = host.world.tools;
  Object.assign(host.world.tools, {
    perl: async (args: readonly string[], input = '') =>
      input.includes('"act":"remove"') ? { code: 255, stdout: '', stderr: 'got no lock' } : perl(args, input),
  });
  const answer = await wipe(host);
  assert.ok(answer.is === 'begun');
  assert.match(answer.text, /the same order again goes on: got no lock/);
  assert.deepEqual(host.overwritten, []);
  Object.assign(host.world.tools, { perl });
  assert.deepEqual(await wipe(host), { is: 'done' });
});
