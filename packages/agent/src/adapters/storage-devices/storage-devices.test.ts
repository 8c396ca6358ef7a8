import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { mountHanging, noHangingMount } from '../../../test/hanging-mount.ts';
import type { Probe } from '../../ports/storage-devices.ts';
import { createStorageDevices } from './index.ts';
import { parseMountinfo, parseUdev } from './look.ts';
import { eventSources, follow } from './watch.ts';

const uuid = '3f1c2a5e-9d1b-4a57-8a55-0c5a8e6d1f00';
const mark = `${'a'.repeat(32)}\n`;

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'felhom-devices-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('mountinfo: names with blanks, optional fields, read-only by its own and by the file system', () => {
  const lines = [
    '36 35 8:17 / /mnt/felhom/usb1 rw,noatime shared:1 master:2 - ext4 /dev/sdb1 rw',
    String.raw`37 35 0:44 / /mnt/pve/my\040nas rw - nfs4 nas:/export/a\040b rw,vers=4.2`,
    '38 35 8:18 / /mnt/felhom/a rw - ext4 /dev/sdb2 ro,errors=remount-ro',
    '39 35 8:18 / /mnt/felhom/b ro - ext4 /dev/sdb2 rw',
    'rubbish',
  ];
  assert.deepEqual(
    parseMountinfo(lines.join('\n')).map(({ path, source, readOnly }) => [path, source, readOnly]),
    [
      ['/mnt/felhom/usb1', '/dev/sdb1', false],
      ['/mnt/pve/my nas', 'nas:/export/a b', false],
      ['/mnt/felhom/a', '/dev/sdb2', true],
      ['/mnt/felhom/b', '/dev/sdb2', true],
    ],
  );
});

test('a record of udev: properties and links', () => {
  const { properties, links } = parseUdev('S:disk/by-uuid/x\nE:ID_FS_UUID=x\nE:ID_SERIAL=a=b\nV:1\n');
  assert.deepEqual(
    [...properties],
    [
      ['ID_FS_UUID', 'x'],
      ['ID_SERIAL', 'a=b'],
    ],
  );
  assert.deepEqual(links, ['disk/by-uuid/x']);
});

/** A kernel and an udev of files. */
function places(t: TestContext) {
  const root = folder(t);
  const [mountinfo, udevData, sysBlock, sys] = ['mountinfo', 'udev', 'block', 'sys'].map((name) => join(root, name));
  assert.ok(mountinfo !== undefined && udevData !== undefined && sysBlock !== undefined && sys !== undefined);
  for (const path of [udevData, sysBlock, sys]) mkdirSync(path);
  writeFileSync(mountinfo, '');
  const plugIn = (number: string, device: string, diskseq: number, properties: Record<string, string>): void => {
    mkdirSync(join(sys, device), { recursive: true });
    writeFileSync(join(sys, device, 'diskseq'), `${diskseq}\n`);
    rmSync(join(sysBlock, number), { force: true });
    symlinkSync(join(sys, device), join(sysBlock, number));
    const text = Object.entries(properties).map(([key, value]) => `E:${key}=${value}\n`);
    writeFileSync(join(udevData, `b${number}`), text.join(''));
  };
  return {
    mountinfo,
    plugIn,
    unplug: (number: string) => rmSync(join(sysBlock, number)),
    devices: createStorageDevices({ mountinfo, udevData, sysBlock }),
  };
}

const fs = (own: Record<string, string> = {}) => ({ ID_FS_UUID: uuid, ID_FS_TYPE: 'ext4', ...own });

test('a mount is known by the disk under it; a disk that the kernel has no more is under nothing', async (t) => {
  const world = places(t);
  const path = '/mnt/felhom/usb1';
  world.plugIn('8:17', 'sdb1', 7, fs({ ID_SERIAL_SHORT: 'S1', ID_SERIAL: 'Maker_S1' }));
  writeFileSync(world.mountinfo, `36 35 8:17 / ${path} rw - ext4 /dev/sdb1 rw\n`);
  const disk = { device: 'sdb1', uuid, fileSystem: 'ext4', serials: ['S1', 'Maker_S1'], appearance: '8:17 7' };
  const mount = { path, fileSystem: 'ext4', source: '/dev/sdb1', readOnly: false };
  assert.deepEqual(await world.devices.look([path, '/mnt/felhom/other']), {
    mounts: [{ ...mount, disk }],
    disks: [disk],
  });
  // udev still speaks of it for a moment.
  world.unplug('8:17');
  assert.deepEqual(await world.devices.look([path]), { mounts: [{ ...mount, disk: undefined }], disks: [] });
  // Back at the same number is another appearance.
  world.plugIn('8:17', 'sdb1', 8, fs());
  assert.equal((await world.devices.look([path])).disks[0]?.appearance, '8:17 8');
});

test('btrfs, whose mounts have a number of their own, is known by its source; the last mount at a path counts', async (t) => {
  const world = places(t);
  const path = '/mnt/felhom/pool';
  world.plugIn('8:33', 'sdc1', 3, fs({ ID_FS_TYPE: 'btrfs' }));
  writeFileSync(
    world.mountinfo,
    `36 35 8:1 / ${path} rw - ext4 /dev/sda1 rw\n37 36 0:52 / ${path} rw - btrfs /dev/sdc1 rw\n`,
  );
  const { mounts } = await world.devices.look([path]);
  assert.deepEqual(
    mounts.map(({ fileSystem, disk }) => [fileSystem, disk?.device]),
    [['btrfs', 'sdc1']],
  );
});

test('a host without udev has no disks, and looking is no fault', async (t) => {
  const world = places(t);
  const devices = createStorageDevices({ mountinfo: world.mountinfo, udevData: '/nowhere', sysBlock: '/nowhere' });
  assert.deepEqual(await devices.look(['/mnt/felhom/usb1']), { mounts: [], disks: [] });
});

test('a probe reads the mark and the sizes, says that there is none, and what it met', async (t) => {
  const path = folder(t);
  const devices = createStorageDevices();
  const ask = () => devices.probe({ is: 'path', path, markFile: '.felhom-target' }, 10_000);
  const empty = await ask();
  assert.ok(empty.is === 'answers' && empty.mark === undefined && (empty.sizes?.totalBytes ?? 0) > 0);
  writeFileSync(join(path, '.felhom-target'), mark);
  const marked = await ask();
  assert.ok(marked.is === 'answers' && marked.mark === mark);
  // A link could point anywhere.
  rmSync(join(path, '.felhom-target'));
  symlinkSync('/etc/hostname', join(path, '.felhom-target'));
  assert.equal((await ask()).is, 'fails');
  const gone = await devices.probe({ is: 'path', path: join(path, 'gone'), markFile: 'x' }, 10_000);
  assert.ok(gone.is === 'fails' && /No such file/.test(gone.text), JSON.stringify(gone));
});

test('a server that takes the connection and says nothing hangs; one that is not there fails', async (t) => {
  const silent = createServer((socket) => void socket.resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const devices = createStorageDevices();
  assert.deepEqual(await devices.probe({ is: 'pbs', server: '127.0.0.1', port }, 100), { is: 'hangs' });
  await new Promise((resolve) => silent.close(resolve));
  assert.equal((await devices.probe({ is: 'pbs', server: '127.0.0.1', port }, 5_000)).is, 'fails');
});

test('a child that dies is started again and tells that something may have been missed', async (t) => {
  const stop = new AbortController();
  t.after(() => stop.abort());
  let events = 0;
  await new Promise<void>((resolve) => {
    const onEvent = (): void => {
      events += 1;
      if (events === 3) resolve();
    };
    void follow(
      { command: ['echo', 'KERNEL[1.0] add'], tells: (line) => line.startsWith('KERNEL') },
      onEvent,
      stop.signal,
    );
  });
  assert.equal(events, 3);
});

test('of mounts only those of targets are told, of devices every one', () => {
  const [mounts, disks] = eventSources;
  assert.ok(mounts !== undefined && disks !== undefined);
  assert.deepEqual(
    ['umount /mnt/felhom/usb1', 'mount /mnt/pve/nas', 'mount /var/lib/lxc/.pve-staged-mounts'].map(mounts.tells),
    [true, true, false],
  );
  assert.deepEqual(
    ['KERNEL[12.3] remove   /devices/x/block/sdb (block)', 'UDEV  [12.4] remove /x', 'monitor will print'].map(
      disks.tells,
    ),
    [true, true, false],
  );
});

// ------------------------------------------------------------------------------------------ the real kernel

const realKernel = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'mounting a disk takes root';
  const dir = mkdtempSync(join(tmpdir(), 'felhom-loop-'));
  try {
    const image = join(dir, 'disk');
    execFileSync('truncate', ['-s', '16M', image]);
    const tried = spawnSync('losetup', ['--find', '--show', image], { encoding: 'utf8' });
    if (tried.status !== 0) return `no loop device: ${tried.stderr.trim()}`;
    execFileSync('losetup', ['-d', tried.stdout.trim()]);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(dir, { recursive: true });
  }
})();

test('a real loop disk: seen, watched, probed', { skip: realKernel ?? false }, async (t) => {
  const root = folder(t);
  const image = join(root, 'disk');
  execFileSync('truncate', ['-s', '16M', image]);
  execFileSync('mkfs.ext4', ['-q', '-U', uuid, image]);
  const loop = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  const path = '/mnt/felhom/loop-of-a-test';
  mkdirSync(path, { recursive: true });
  t.after(() => {
    spawnSync('umount', [path]);
    spawnSync('losetup', ['-d', loop]);
    rmSync(path, { recursive: true });
  });
  // Where no udev runs its record is written as it would.
  const number = execFileSync('lsblk', ['-dno', 'MAJ:MIN', loop], { encoding: 'utf8' }).trim();
  const udevData = join(root, 'udev');
  mkdirSync(udevData);
  writeFileSync(join(udevData, `b${number}`), `E:ID_FS_UUID=${uuid}\nE:ID_FS_TYPE=ext4\n`);
  const devices = createStorageDevices({ udevData });
  const stop = new AbortController();
  t.after(() => stop.abort());
  let wake = (): unknown => undefined;
  devices.watch(() => wake(), stop.signal);
  /** A child that was started may not listen yet, so what is to be heard is done until it is. */
  const heard = async (work: () => void): Promise<void> => {
    let events = 0;
    wake = () => (events += 1);
    const is = (): boolean => events > 0;
    for (let tries = 0; !is() && tries < 100; tries += 1) {
      work();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(is(), 'no event came');
  };
  const remount = (): void => {
    spawnSync('umount', [path]);
    execFileSync('mount', [loop, path]);
  };
  await heard(remount);
  writeFileSync(join(path, '.felhom-target'), mark);
  chmodSync(join(path, '.felhom-target'), 0o644);
  const [seen] = (await devices.look([path])).mounts;
  assert.equal(seen?.disk?.uuid, uuid);
  assert.equal(seen.disk.device, readlinkSync(`/sys/dev/block/${number}`).split('/').at(-1));
  assert.notEqual(seen.disk.appearance, `${number} 0`);
  const probed = await devices.probe({ is: 'path', path, markFile: '.felhom-target' }, 10_000);
  assert.ok(probed.is === 'answers' && probed.mark === mark);
  execFileSync('mount', ['-o', 'remount,ro', path]);
  assert.equal((await devices.look([path])).mounts[0]?.readOnly, true);
  execFileSync('umount', [path]);
  assert.deepEqual((await devices.look([path])).mounts, []);
});

/** Children of this process that nothing kills: they wait in the kernel (proc(5): state, ppid). */
const stuckChildren = (): number =>
  readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith(`D ${process.pid} `);
    } catch {
      return false;
    }
  }).length;

const noHang = { skip: noHangingMount() ?? false };

test(
  'a share that hangs in the kernel: one child waits that nobody can kill, no second one is sent',
  noHang,
  async (t) => {
    const path = folder(t);
    const share = await mountHanging(path, '192.0.2.10:/export');
    const devices = createStorageDevices();
    const probe = (): Promise<Probe> => devices.probe({ is: 'path', path, markFile: '.felhom-target' }, 300);
    try {
      assert.equal((await devices.probe({ is: 'path', path, markFile: '.felhom-target' }, 20_000)).is, 'answers');
      share.hang();
      for (let times = 0; times < 3; times += 1) assert.deepEqual(await probe(), { is: 'hangs' });
      assert.equal(stuckChildren(), 1);
      share.answer();
      for (let tries = 0; (await probe()).is === 'hangs' && tries < 200; tries += 1)
        await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(stuckChildren(), 0);
      assert.equal((await devices.probe({ is: 'path', path, markFile: '.felhom-target' }, 20_000)).is, 'answers');
    } finally {
      await share.end();
    }
  },
);
