/**
 * A host for root's verbs about storage, in a folder. Two ways: made up, where a disk is a folder and mounting copies what
 * is in it; and real, with loop devices and mount(8), for who is root. systemd is a stand-in in both.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StorageId, DiskTarget } from '@felhom/protocol';
import { createHostCommand } from '../../../adapters/host-command/index.ts';
import { createManifestFile } from '../../../adapters/storage-manifest-file/index.ts';
import type { CommandEnd, HostCommand } from '../../../ports/host-command.ts';
import type { Systemctl } from '../../../ports/systemctl.ts';
import type { DeclaredTarget } from '../../../storage-manifest.ts';
import { manifestText } from '../../../storage-manifest.ts';
import type { EntryOptions } from '../../../storage-entry.ts';
import { createBlockDevices } from '../block-devices.ts';
import { reachProgram } from '../proxmox.ts';
import type { StorageWorld } from '../world.ts';

const said = (stdout: string, code = 0, stderr = ''): CommandEnd => ({ code, stdout, stderr });

export const uuid = '8372769b-85bb-400b-8abb-d54066cc8190';
export const mark = 'a'.repeat(32);
export const usb: DiskTarget = {
  type: 'usb',
  name: 'usb-1',
  storage: 'usb1' as StorageId,
  role: 'vzdump-target',
  class: 'slow',
  offsite: false,
  uuid,
  fileSystem: 'ext4',
  serial: 'WD-123',
};
export const declaredUsb: DeclaredTarget = { target: usb, state: 'attached', mark, iops: 80, attachedAt: 1 };

export interface MadeDisk {
  /** `sdb1`; what is in the folder of that name is on it. */
  readonly device: string;
  readonly uuid: string;
  readonly fileSystem: string;
  readonly serial: string;
}

export interface MadeHost {
  readonly world: StorageWorld;
  readonly folder: string;
  /** Each call of systemctl. */
  readonly calls: string[];
  /** What Proxmox has; the pool holds those named in `pool`. */
  readonly entries: Map<string, EntryOptions>;
  readonly pool: Set<string>;
  /** What went to Proxmox, as it came on stdin. */
  readonly written: string[];
  readonly arguments: string[];
  /** Where something writes: its unit does not stop. */
  busy: boolean;
  /** Devices that were overwritten; `held`: the kernel does not let one be held. `dies`: in the middle, before its UUID goes; `dies last`: after. */
  readonly overwritten: string[];
  overwriting: 'works' | 'held' | 'dies' | 'dies last';
  /** Servers that nobody answers at. */
  readonly silent: Set<string>;
  plug(disk: MadeDisk, files?: Readonly<Record<string, string>>): void;
  pull(device: string): void;
  declare(...targets: readonly DeclaredTarget[]): void;
  readonly mountedDevice: (name: string) => string | undefined;
}

/** `folder`: empty, the test's own. */
export function makeStorageHost(folder: string): MadeHost {
  for (const name of ['etc', 'units', 'wants', 'devices', 'guests'])
    mkdirSync(join(folder, name), { mode: 0o755, recursive: true });
  const mountRoot = join(folder, 'mnt');
  const disks = new Map<string, MadeDisk>();
  const mounts = new Map<string, string>();
  const host: Pick<MadeHost, 'busy' | 'overwriting'> = { busy: false, overwriting: 'works' };
  const overwritten: string[] = [];
  const silent = new Set<string>();
  const calls: string[] = [];
  const written: string[] = [];
  const seen: string[] = [];
  const entries = new Map<string, EntryOptions>();
  const pool = new Set<string>();

  const fieldOf = (unit: string, key: string): string =>
    new RegExp(`^${key}=(.*)$`, 'm').exec(readFileSync(join(folder, 'units', unit), 'utf8'))?.[1] ?? '';
  const open = (path: string): void => chmodSync(path, 0o755);
  const empty = (path: string): void => {
    for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true });
    chmodSync(path, 0);
  };
  const systemctl: Systemctl = async (args) => {
    calls.push(args.join(' '));
    const [verb = '', unit = ''] = args;
    if (verb === 'daemon-reload') return said('');
    const path = join(folder, 'units', unit);
    if (!existsSync(path)) return said('', 1, `Unit ${unit} not found.`);
    const where = fieldOf(unit, 'Where');
    if (verb === 'start') {
      if (mounts.has(where)) return said('');
      const wanted = fieldOf(unit, 'What').split('/').at(-1);
      const disk = [...disks.values()].find((one) => one.uuid === wanted);
      if (disk === undefined) return said('', 1, 'Dependency failed');
      open(where);
      cpSync(join(folder, 'devices', disk.device), where, { recursive: true });
      mounts.set(where, disk.device);
      return said('');
    }
    if (verb === 'stop') {
      if (host.busy) return said('', 1, 'target is busy');
      const device = mounts.get(where);
      if (device === undefined) return said('');
      cpSync(where, join(folder, 'devices', device), { recursive: true });
      mounts.delete(where);
      empty(where);
      return said('');
    }
    const link = join(folder, 'wants', unit);
    if (verb === 'enable') writeFileSync(link, fieldOf(unit, 'WantedBy'));
    else if (verb === 'disable') rmSync(link, { force: true });
    else return said('', 1, `no verb ${verb}`);
    return said('');
  };

  const lsblk: HostCommand = async () => {
    const blockdevices = [...disks.values()].map((disk) => ({
      path: `/dev/${disk.device.replace(/\d+$/, '')}`,
      type: 'disk',
      size: 4_000_000_000,
      serial: disk.serial,
      model: 'Elements 25A3',
      tran: 'usb',
      mountpoints: [null],
      children: [
        {
          path: `/dev/${disk.device}`,
          type: 'part',
          fstype: disk.fileSystem || null,
          uuid: disk.uuid || null,
          size: 3_900_000_000,
          mountpoints: [...mounts].flatMap(([path, device]) => (device === disk.device ? [path] : [])),
        },
      ],
    }));
    return said(JSON.stringify({ blockdevices }));
  };
  const blkid: HostCommand = async (args) => {
    const disk = disks.get(args.at(-1)?.slice('/dev/'.length) ?? '');
    return disk === undefined || disk.uuid === '' ? said('', 2) : said(`UUID=${disk.uuid}\nTYPE=${disk.fileSystem}\n`);
  };
  const findmnt: HostCommand = async (args) => {
    const device = mounts.get(args[args.indexOf('--mountpoint') + 1] ?? '');
    if (device === undefined) return said('', 1);
    const fstype = disks.get(device)?.fileSystem ?? 'ext4';
    return said(JSON.stringify({ filesystems: [{ source: `/dev/${device}`, fstype, options: 'rw,noatime' }] }));
  };
  const perl: HostCommand = async (args, input = '') => {
    seen.push(...args);
    if (args[1] === reachProgram) {
      const { server } = JSON.parse(input) as { readonly server: string };
      return said(`\n${JSON.stringify({ why: silent.has(server) ? 'Connection timed out' : '' })}\n`);
    }
    const asked = JSON.parse(input) as {
      readonly act: string;
      readonly storage: string;
      readonly params?: EntryOptions;
      readonly remove?: readonly string[];
    };
    const { act, storage, params = {} } = asked;
    if (act === 'remove') {
      written.push(input);
      entries.delete(storage);
      pool.delete(storage);
    } else if (act !== 'read') {
      written.push(input);
      if (act === 'replace') entries.delete(storage);
      const { password: _, ...shown } = params as Record<string, string>;
      const before = entries.get(storage);
      if (act === 'create' && before !== undefined) return said('', 255, `storage ID '${storage}' already defined`);
      if (act === 'create' && shown['type'] === 'dir' && !mounts.has(shown['path'] ?? ''))
        return said('', 255, `unable to activate storage '${storage}' - directory is expected to be a mount point`);
      const after = { ...before, ...shown };
      for (const key of asked.remove ?? []) delete after[key];
      entries.set(storage, after);
      pool.add(storage);
    }
    return said(`\n${JSON.stringify({ entry: entries.get(storage) ?? null, pooled: pool.has(storage) })}\n`);
  };
  const manifestFile = join(folder, 'etc', 'storage.json');
  const uid = process.getuid?.() ?? 0;
  const world: StorageWorld = {
    registry: { file: manifestFile, read: createManifestFile(manifestFile, { ownerUids: [uid] }) },
    units: join(folder, 'units'),
    mountRoot,
    credentials: join(folder, 'etc', 'credentials'),
    guestConfigs: [join(folder, 'guests')],
    systemctl,
    tools: {
      lsblk,
      blkid,
      findmnt,
      perl,
      blockdev: async () => said(''),
      dd: realTool('dd'),
      // Only for a look: nothing is written back.
      mount: async (args) => {
        const [device = '', path = ''] = args.slice(args.indexOf('--') + 1);
        if (!args.join(' ').includes('-o ro,')) return said('', 32, 'only for a look');
        cpSync(join(folder, 'devices', device.slice('/dev/'.length)), path, { recursive: true });
        mounts.set(path, device.slice('/dev/'.length));
        return said('');
      },
      umount: async (args) => {
        const path = args.at(-1) ?? '';
        mounts.delete(path);
        for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true });
        return said('');
      },
      wipefs: async () => said('', 1, 'there is none'),
      chattr: async () => said('', 1, 'Operation not supported'),
      systemdCreds: async () => said('', 1, 'there is none'),
    },
    lookFolder: join(folder, 'look'),
    blockDevices: {
      heldBy: async (device) => (host.overwriting === 'held' ? `${device} is in use` : undefined),
      // What lies in its folder is what was not overwritten.
      isOverwritten: async ({ device }) =>
        readdirSync(join(folder, 'devices', device.slice('/dev/'.length))).length === 0,
      overwrite: async ({ device, isStill, beforeHead }) => {
        const name = device.slice('/dev/'.length);
        const disk = disks.get(name);
        if (!(await isStill())) return { is: 'held', text: `${device} is another disk now` };
        overwritten.push(device);
        if (host.overwriting === 'dies') throw new Error('Input/output error');
        beforeHead();
        if (disk !== undefined) disks.set(name, { ...disk, uuid: '', fileSystem: '' });
        rmSync(join(folder, 'devices', name), { recursive: true });
        mkdirSync(join(folder, 'devices', name));
        if (host.overwriting === 'dies last') throw new Error('Input/output error');
        return { is: 'done' };
      },
    },
    newMark: () => 'c'.repeat(32),
    random: () => 0.5,
    node: () => ({ node: 'pve1', pool: 'felhom' }),
  };
  return Object.assign(host, {
    world,
    folder,
    calls,
    entries,
    pool,
    written,
    overwritten,
    silent,
    arguments: seen,
    plug: (disk: MadeDisk, files: Readonly<Record<string, string>> = {}) => {
      disks.set(disk.device, disk);
      mkdirSync(join(folder, 'devices', disk.device), { recursive: true });
      for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'devices', disk.device, name), text);
    },
    pull: (device: string) => void disks.delete(device),
    declare: (...targets: readonly DeclaredTarget[]) =>
      writeFileSync(manifestFile, manifestText({ v: 1, targets: [...targets] }), { mode: 0o644 }),
    mountedDevice: (name: string) => mounts.get(join(mountRoot, name)),
  });
}

/** The host's own. */
const realTool = (program: string): HostCommand =>
  createHostCommand({ program: execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim() });

/** Why there can be no real disks here; `undefined` where there can. */
export function noLoopDevices(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux';
  try {
    for (const tool of ['losetup', 'mkfs.ext4', 'lsblk', 'blkid', 'findmnt', 'chattr', 'mount', 'umount', 'wipefs'])
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' });
    execFileSync('losetup', ['--find'], { stdio: 'ignore' });
  } catch (error) {
    return `no loop devices, or not the tools for them: ${(error as Error).message.split('\n')[0]}`;
  }
  return undefined;
}

/** systemd's part of a mount unit, by mount(8): nothing but start, stop and what says that it was read. */
export function realMounts(folder: string, world: StorageWorld): StorageWorld {
  const fieldOf = (unit: string, key: string): string =>
    new RegExp(`^${key}=(.*)$`, 'm').exec(readFileSync(join(folder, 'units', unit), 'utf8'))?.[1] ?? '';
  const run = (program: string, args: readonly string[]): CommandEnd => {
    try {
      return said(execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' }));
    } catch (error) {
      return said('', 32, String((error as { stderr?: string }).stderr));
    }
  };
  const systemctl: Systemctl = async (args) => {
    const [verb = '', unit = ''] = args;
    if (verb === 'start') {
      const uuidOf = fieldOf(unit, 'What').split('/').at(-1) ?? '';
      const device = run('blkid', ['-c', '/dev/null', '-U', uuidOf]).stdout.trim();
      const where = fieldOf(unit, 'Where');
      return run('mount', ['-t', fieldOf(unit, 'Type'), '-o', fieldOf(unit, 'Options'), device, where]);
    }
    return verb === 'stop' ? run('umount', [fieldOf(unit, 'Where')]) : said('');
  };
  return {
    ...world,
    systemctl,
    tools: {
      ...world.tools,
      lsblk: realTool('lsblk'),
      blkid: realTool('blkid'),
      findmnt: realTool('findmnt'),
      chattr: realTool('chattr'),
      mount: realTool('mount'),
      umount: realTool('umount'),
      wipefs: realTool('wipefs'),
    },
    blockDevices: createBlockDevices(realTool('wipefs')),
  };
}
