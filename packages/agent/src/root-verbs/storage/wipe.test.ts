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
  ...(
    [
      ['its own device', 'scsi1: /dev/sdb1,size=3900M'],
      ['its whole disk', 'name: x\nscsi1: /dev//sdb,size=4G'],
      ['its device in a container', 'mp0: /dev/sdb1,mp=/srv'],
      ['its device for a container', 'dev0: path=/dev/sdb,mode=0660'],
      ['its device in arguments', `args: -blockdev '{"filename":"/dev/sdb1"}'`],
      ['its device in a snapshot', 'name: x\n[before]\nscsi1: cache=none,file=/dev/sdb1'],
    ] as const
  ).map(([what, text]): [string, (host: MadeHost) => void, RegExp] => [
    `of which a guest has ${what}`,
    (host) => writeFileSync(join(host.folder, 'guests', '100.conf'), `${text}\n`),
    /guests have it, or another part of its disk, as a device: 100$/,
  ]),
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

test('a device of another disk in a config of a guest, or in a note there, bars nothing', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  writeFileSync(join(host.folder, 'guests', '100.conf'), '#was on /dev/sdb1\nscsi1: /dev/sdb10\ndev0: /dev/fuse\n');
  assert.deepEqual(await wipe(host), { is: 'done' });
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
  assert.equal(manifest(host).targets[0]?.wipingHead, undefined);
  // Its file system is not readable any more, its superblock still is.
  Object.assign(host.world.tools, { mount: async () => ({ code: 32, stdout: '', stderr: 'bad superblock' }) });
  host.overwriting = 'works';
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(manifest(host).targets, []);
});

const begun: DeclaredTarget = { ...declaredUsb, state: 'wiping', wipingBytes: 3_900_000_000 };
const atHead: DeclaredTarget = { ...begun, wipingHead: true };
const bare = { ...right, uuid: '', fileSystem: '' };

const goesOn: [name: string, change: (host: MadeHost) => void, says: RegExp][] = [
  ['there twice', (host) => host.plug({ ...right, device: 'sdd1' }, files), /several disks have the UUID/],
  [
    'mounted somewhere else',
    (host) => void host.world.tools.mount(['-o', 'ro,', '--', '/dev/sdb1', join(host.folder, 'devices', 'aside')]),
    /is mounted at .*; unmount it there/,
  ],
  ['of another serial', (host) => host.plug({ ...right, serial: 'WD-9' }), /its serial is WD-9/],
  ['of another file system', (host) => host.plug({ ...right, fileSystem: 'xfs' }), /its file system is xfs/],
  [
    'of another size',
    (host) => host.declare(...sized(manifest(host).targets)),
    /not the size of the disk whose wiping/,
  ],
  [
    'with another mark',
    (host) => host.plug(right, { '.felhom-target': markText('d'.repeat(32)) }),
    /bears the mark of another target/,
  ],
];
const sized = (targets: readonly DeclaredTarget[]) => targets.map((one) => ({ ...one, wipingBytes: 3_800_000_000 }));

for (const declared of [begun, atHead])
  for (const [name, change, says] of goesOn)
    test(`a wipe that goes on${declared === atHead ? ', nearly at its end,' : ''} takes no other disk while one with its UUID is ${name}`, async (t) => {
      const host = setUp(t, declared);
      host.plug(right, files);
      // A dock that gives each of its disks one serial.
      host.plug({ ...bare, device: 'sdc1' });
      change(host);
      const answer = await wipe(host);
      assert.ok(answer.is === 'refused', JSON.stringify(answer));
      assert.match(answer.text, says);
      assert.deepEqual(host.overwritten, []);
    });

test('a wipe that only begins takes no other disk when its own is pulled meanwhile', async (t) => {
  const host = setUp(t, off);
  host.plug(right, files);
  const planned = await planWipe(host.world, 'usb-1');
  assert.ok(planned.is === 'plan');
  // Another, of the same serial and size, that is nothing but zeros, under its name.
  for (const file of Object.keys(files)) rmSync(join(host.folder, 'devices', 'sdb1', file));
  host.plug(bare);
  const answer = await wipeTarget(host.world, planned.plan, 7);
  assert.match(answer.is === 'done' ? '' : answer.text, /is another disk now/);
  assert.deepEqual(host.overwritten, []);
});

test('a disk without a file system is not the one whose UUID was still there', async (t) => {
  const host = setUp(t, begun);
  host.plug(bare);
  const answer = await wipe(host);
  assert.match(answer.is === 'done' ? '' : answer.text, /no disk here has the UUID/);
  assert.deepEqual(host.overwritten, []);
});

test('a disk that is not overwritten, or that has partitions of its own, is not the one', async (t) => {
  const host = setUp(t, atHead);
  host.plug(bare, { 'disk of a VM': 'x' });
  const full = await wipe(host);
  assert.match(full.is === 'done' ? '' : full.text, /cannot be told any more/);
  rmSync(join(host.folder, 'devices', 'sdb1', 'disk of a VM'));
  const { blkid } = host.world.tools;
  Object.assign(host.world.tools, { blkid: async () => ({ code: 0, stdout: 'PTUUID=1\nPTTYPE=gpt\n', stderr: '' }) });
  const parted = await wipe(host);
  assert.match(parted.is === 'done' ? '' : parted.text, /cannot be told any more/);
  assert.deepEqual(host.overwritten, []);
  Object.assign(host.world.tools, { blkid });
  assert.deepEqual(await wipe(host), { is: 'done' });
});

test('one without a serial that died after its UUID was gone is ended without a disk, and that is kept', async (t) => {
  const { serial: _, ...target } = usb;
  const host = setUp(t, { ...off, target });
  host.plug({ ...right, serial: '' }, files);
  host.overwriting = 'dies last';
  await assert.rejects(wipe(host), /Input\/output error/);
  assert.equal(manifest(host).targets[0]?.wipingHead, true);
  host.overwriting = 'works';
  const planned = await planWipe(host.world, 'usb-1');
  assert.ok(planned.is === 'plan' && planned.plan.on === undefined, JSON.stringify(planned));
  assert.deepEqual(await wipe(host), { is: 'done' });
  assert.deepEqual(host.overwritten, ['/dev/sdb1'], 'only the first time');
  const { targets, wiped } = manifest(host);
  assert.deepEqual([targets, wiped], [[], [{ name: 'usb-1', identity: `ext4:${uuid}`, at: 7, unseen: true }]]);
});

test('one without a serial whose UUID was still there is not ended while it is away', async (t) => {
  const { serial: _, ...target } = usb;
  const host = setUp(t, { ...begun, target });
  const answer = await wipe(host);
  assert.match(answer.is === 'done' ? '' : answer.text, /no disk here has the UUID/);
  assert.equal(manifest(host).targets[0]?.state, 'wiping');
});

test('one that died after its UUID was gone is found by serial and size, or told', async (t) => {
  const host = setUp(t, atHead);
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
