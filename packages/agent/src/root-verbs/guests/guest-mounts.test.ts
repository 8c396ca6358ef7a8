/** Whether a guest's mounts are of the disk that is there now: every case of the judgement, and the verb on a made-up node. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { StorageId, Vmid } from '@felhom/protocol';
import { madeUpNode } from '../../../test/made-up-node.ts';
import { hostPolicy } from '../../host-policy.ts';
import type { HostCommand } from '../../ports/host-command.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { declaredUsb } from '../storage/test/storage-host.ts';
import { guestMounts, judgeMount, mountLines, volumesOn } from './guest-mounts.ts';
import type { MountFacts, MountLine, MountSight, MountTools } from './guest-mounts.ts';

const vmid = 9001 as Vmid;
const line = (device: string, path: string, fileSystem = 'ext4', source = '/dev/sdb1'): MountLine => ({
  device,
  path,
  fileSystem,
  source,
});

const image = line('7:3', '/srv/photos', 'ext4', '/dev/loop3');
const folder = line('8:17', '/srv/photos');
const well: MountSight = {
  inGuest: image,
  atTarget: line('8:17', '/mnt/felhom/usb-1'),
  isThere: true,
  loops: new Map([['7:3', '8:17']]),
  folderDevice: '8:17',
};

const judgements: readonly (readonly [string, Partial<MountSight>, RegExp])[] = [
  ['an image on the disk that is there', {}, /^live: $/],
  ['a folder on the disk that is there', { inGuest: folder }, /^live: $/],
  ['an image on a disk that was pulled', { loops: new Map([['7:3', '8:33']]) }, /^dead: its image lies on 8:33/],
  ['a folder on a disk that was pulled', { inGuest: line('8:33', '/srv/photos') }, /^dead: it is 8:33 in the guest/],
  ['the target is not mounted', { atTarget: undefined }, /^dead: its target is not mounted/],
  ['the same mount, and the disk under it is gone', { isThere: false }, /^dead: the disk .* is gone/],
  ['nobody can tell whether it is there', { isThere: undefined }, /^unknown: the kernel/],
  ['the same, and what the guest has is of another', { isThere: undefined, inGuest: line('8:33', '/x') }, /^dead: /],
  ['a folder of it as well', { inGuest: folder, isThere: false }, /^dead: the disk .* is gone/],
  ['nothing is mounted in the guest', { inGuest: undefined }, /^unknown: nothing is mounted/],
  ['losetup does not answer', { loops: { bad: 'did not end' } }, /^unknown: .*did not end/],
  ['losetup does not know the device', { loops: new Map() }, /^unknown: nothing is known of .*7:3/],
  [
    'btrfs: files name another device than the mount',
    { atTarget: line('0:45', '/mnt/felhom/usb-1', 'btrfs'), folderDevice: '0:46', loops: new Map([['7:3', '0:46']]) },
    /^live: $/,
  ],
  [
    'btrfs: a disk that was pulled',
    { atTarget: line('0:45', '/mnt/felhom/usb-1', 'btrfs'), folderDevice: '0:46', loops: new Map([['7:3', '0:40']]) },
    /^dead: /,
  ],
  ['btrfs that does not answer', { folderDevice: undefined }, /^unknown: the folder .* does not answer/],
];
for (const [name, differs, says] of judgements)
  test(`judged: ${name}`, () => {
    const { state, why } = judgeMount({ ...well, ...differs });
    assert.match(`${state}: ${why}`, says);
  });

test('which volumes of a config lie on a declared disk', () => {
  const share: DeclaredTarget = {
    ...declaredUsb,
    target: {
      type: 'nfs',
      name: 'nas',
      storage: 'nas' as StorageId,
      role: 'bulk-data',
      class: 'slow',
      offsite: false,
      server: 'nas',
      export: '/x',
    },
  };
  const config = [
    'arch: amd64',
    'rootfs: local-lvm:vm-9001-disk-0,size=8G',
    'mp0: usb1:9001/vm-9001-disk-1.raw,mp=/srv/photos,backup=1,size=100G',
    'mp1: volume=usb1:9001/subvol-9001-disk-2.subvol,mp=/srv//bulk/',
    'mp2: nas:9001/vm-9001-disk-3.raw,mp=/srv/share',
    'mp3: usb10:9001/vm-9001-disk-3.raw,mp=/srv/another',
    'mp4: /mnt/felhom/usb-1/x,mp=/srv/bind',
    'mp5: usb1:9001/vm-9001-disk-9.raw',
    'unused0: usb1:9001/vm-9001-disk-8.raw',
    '[before]',
    'mp6: usb1:9001/vm-9001-disk-7.raw,mp=/srv/old',
  ].join('\n');
  const paths = volumesOn(config, [declaredUsb, share]).map(({ path, target }) => `${path} ${target.name}`);
  assert.deepEqual(paths, ['/srv/photos usb-1', '/srv/bulk usb-1']);
  assert.deepEqual(
    volumesOn('rootfs: usb1:9001/vm-9001-disk-0.raw\n', [declaredUsb]).map(({ path }) => path),
    ['/'],
  );
});

test('mountinfo: blanks in paths, optional fields, and what is no line of it', () => {
  const text =
    '36 35 8:17 /images/9001 /srv/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/sdb1 rw\nnonsense\n\n37 35 0:45 / / rw - btrfs /dev/sdc rw\n';
  assert.deepEqual(mountLines(text), [line('8:17', '/srv/a b'), line('0:45', '/', 'btrfs', '/dev/sdc')]);
});

// ------------------------------------------------------------------------------------------------------ the verb

const said = (stdout: string, code = 0) => Promise.resolve({ code, stdout, stderr: '' });
const loops = (...pairs: readonly (readonly [string, string])[]): string =>
  JSON.stringify({
    loopdevices: pairs.map(([at, under]) => ({ 'maj:min': `  ${at} `, 'back-maj:min': `   ${under}` })),
  });

function setUp(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'felhom-mounts-'));
  t.after(() => rmSync(root, { recursive: true }));
  const node = madeUpNode(join(root, 'node'));
  const policy = hostPolicy.parse({
    v: 1,
    node: 'pve1',
    pool: 'felhom',
    vmids: { guests: { from: 9000, to: 9009 }, scratch: { from: 9800, to: 9809 } },
    bridges: ['vmbr0'],
    storages: ['local'],
    goldens: {},
  });
  const facts: MountFacts = {
    places: node.places,
    sys: join(root, 'sys'),
    dev: join(root, 'dev'),
    policy,
    manifest: () => ({ is: 'held', manifest: { v: 1, targets: [declaredUsb] } }),
    mountRoot: '/mnt/felhom',
  };
  const calls: string[] = [];
  const tool =
    (name: string, does: HostCommand): HostCommand =>
    (args) => {
      calls.push(`${name} ${args.join(' ')}`);
      return does(args);
    };
  const tools: MountTools = {
    losetup: tool('losetup', () => said(loops(['7:3', '8:17']))),
    stat: tool('stat', () => said('0:46\n')),
  };
  const proc = (pid: number, file: string, text: string): void =>
    writeFileSync(join(node.places.proc, String(pid), file), text);
  const disk = (number: string): void => {
    mkdirSync(join(facts.sys, 'dev/block', number), { recursive: true });
  };
  disk('8:17');
  proc(1, 'mountinfo', '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:17 / /mnt/felhom/usb-1 rw - ext4 /dev/sdb1 rw\n');
  node.writeConfig(9001, 'mp0: usb1:9001/vm-9001-disk-1.raw,mp=/srv/photos,size=1G\n');
  const start = (ticks: number, mounts = '50 49 7:3 / /srv/photos rw - ext4 /dev/loop3 rw\n'): void => {
    node.live(500, ticks);
    proc(500, 'cgroup', '0::/lxc/9001/ns/init.scope\n');
    proc(500, 'status', 'Name:\tsystemd\nNSpid:\t500\t1\n');
    proc(500, 'uid_map', '         0     100000      65536\n');
    proc(500, 'mountinfo', `49 1 253:6 / / rw - ext4 /dev/mapper/pve-vm rw\n${mounts}`);
  };
  return { facts, tools, tool, calls, start, node, proc };
}

const textOf = (answer: Awaited<ReturnType<typeof guestMounts>>): string =>
  answer.is === 'done'
    ? `${answer.guestMounts.running ? 'runs' : 'stopped'} ${answer.guestMounts.mounts.map(({ path, target, state }) => `${path} ${target} ${state}`).join()}`
    : `${answer.is} ${answer.text}`;

test('a guest whose image is on the disk that is there', async (t) => {
  const { facts, tools, calls, start } = setUp(t);
  start(5_000);
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'runs /srv/photos usb-1 live');
  assert.deepEqual(calls, ['losetup --json --list --output MAJ:MIN,BACK-MAJ:MIN']);
});

test('the disk came back under another number: the guest has the old one', async (t) => {
  const { facts, tools, start, proc } = setUp(t);
  start(5_000);
  proc(1, 'mountinfo', '30 22 8:33 / /mnt/felhom/usb-1 rw - ext4 /dev/sdc1 rw\n');
  mkdirSync(join(facts.sys, 'dev/block/8:33'));
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'runs /srv/photos usb-1 dead');
});

test('the mount of before is in use still: all agrees, and the kernel has no such disk', async (t) => {
  const { facts, tools, start } = setUp(t);
  start(5_000);
  rmSync(join(facts.sys, 'dev/block/8:17'), { recursive: true });
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'runs /srv/photos usb-1 dead');
});

const btrfs: readonly (readonly [string, string, readonly string[], string])[] = [
  ['a disk of its own', '/dev/sdb1', ['sdb1'], 'live'],
  ['a disk of its own that was pulled', '/dev/sdb1', [], 'dead'],
  ['on LVM', '/dev/mapper/vg-data', ['dm-3'], 'live'],
  ['on LVM that is gone', '/dev/mapper/vg-data', [], 'unknown'],
  ['under a name that leads nowhere', '/dev/mapper/vg-other', ['dm-3'], 'unknown'],
  ['under a name that is none of a disk', '/dev/root', ['sda1'], 'unknown'],
  ['no device at all', 'none', [], 'unknown'],
];
for (const [name, source, blocks, is] of btrfs)
  test(`btrfs: ${name}`, async (t) => {
    const { facts, tools, tool, start, proc } = setUp(t);
    start(5_000);
    mkdirSync(join(facts.dev, 'mapper'), { recursive: true });
    for (const node of ['dm-3', 'sdb1']) writeFileSync(join(facts.dev, node), '');
    symlinkSync('../dm-3', join(facts.dev, 'mapper/vg-data'));
    for (const block of blocks) mkdirSync(join(facts.sys, 'class/block', block), { recursive: true });
    proc(1, 'mountinfo', `30 22 0:45 / /mnt/felhom/usb-1 rw - btrfs ${source} rw\n`);
    const losetup = tool('losetup', () => said(loops(['7:3', '0:46'])));
    assert.equal(textOf(await guestMounts(facts, { ...tools, losetup }, vmid)), `runs /srv/photos usb-1 ${is}`);
  });

test('what the guest mounted on top of it is its own affair', async (t) => {
  const { facts, tools, start } = setUp(t);
  start(5_000, '50 49 7:3 / /srv/photos rw - ext4 /dev/loop3 rw\n51 50 0:99 / /srv/photos rw - tmpfs tmpfs rw\n');
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'runs /srv/photos usb-1 live');
});

test('a guest that does not run, one that is none of ours, one that does not exist', async (t) => {
  const { facts, tools, start } = setUp(t);
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'stopped ');
  start(5_000);
  assert.match(textOf(await guestMounts(facts, tools, 100 as Vmid)), /^refused .*not in the range of guests/);
  assert.match(textOf(await guestMounts(facts, tools, 9801 as Vmid)), /^refused .*not in the range of guests/);
  assert.match(textOf(await guestMounts(facts, tools, 9002 as Vmid)), /^refused .*no such guest/);
});

test('started anew while it was looked at: nothing is said', async (t) => {
  const { facts, tools, tool, start } = setUp(t);
  start(5_000);
  const losetup = tool('losetup', () => {
    start(6_000);
    return said(loops(['7:3', '8:17']));
  });
  assert.match(textOf(await guestMounts(facts, { ...tools, losetup }, vmid)), /^busy .*started anew/);
});

test('losetup hangs: not known', async (t) => {
  const { facts, tools, start } = setUp(t);
  start(5_000);
  const losetup = () => Promise.reject(new Error('/usr/sbin/losetup did not end'));
  assert.equal(textOf(await guestMounts(facts, { ...tools, losetup }, vmid)), 'runs /srv/photos usb-1 unknown');
});

test('a manifest that cannot be read says nothing', async (t) => {
  const { facts, tools, start } = setUp(t);
  start(5_000);
  const manifest: MountFacts['manifest'] = () => ({
    is: 'unreadable',
    why: { code: 'storage.manifest', text: 'others may write it' } as never,
  });
  assert.match(textOf(await guestMounts({ ...facts, manifest }, tools, vmid)), /^busy .*others may write/);
});

test('a guest that mounted without end: the answer comes, and what its host gave it stands first', async (t) => {
  const { facts, tools, start } = setUp(t);
  const own = Array.from({ length: 90_000 }, (_, at) => `${100 + at} 49 0:99 / /tmp/${at} rw - tmpfs tmpfs rw\n`);
  start(5_000, `50 49 7:3 / /srv/photos rw - ext4 /dev/loop3 rw\n${own.join('')}`);
  assert.equal(textOf(await guestMounts(facts, tools, vmid)), 'runs /srv/photos usb-1 live');
});
