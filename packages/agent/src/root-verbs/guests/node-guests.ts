/**
 * What stands about guests in root's own files: their configs, who is in a pool, who holds the lock of a config, which
 * process is the first of a container, and what is mounted for it. Reads only. Throws what cannot be read: nothing there
 * would prove something.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Vmid } from '@felhom/protocol';

/** Where root's facts of a node lie; below other folders in a test. */
export interface NodePlaces {
  /** Logs of tasks. */
  readonly tasks: string;
  readonly etcPve: string;
  /** Where Proxmox mounts what it works on. */
  readonly lxc: string;
  /** Locks of configs. */
  readonly locks: string;
  readonly proc: string;
}

export const nodePlaces: NodePlaces = {
  tasks: '/var/log/pve/tasks',
  etcPve: '/etc/pve',
  lxc: '/var/lib/lxc',
  locks: '/run/lock/lxc',
  proc: '/proc',
};

export interface GuestConfig {
  readonly text: string;
  /** Seconds since the epoch. */
  readonly writtenAt: number;
}

/** The config of a container of this node; `undefined`: there is none. */
export function configOf({ etcPve }: NodePlaces, node: string, vmid: Vmid): GuestConfig | undefined {
  return readSmall(join(etcPve, 'nodes', node, 'lxc', `${vmid}.conf`));
}

/** Of the active part; what a snapshot or a pending change says is something else. */
export const lockOf = ({ text }: GuestConfig): string | undefined =>
  /^lock: *(\S+)$/m.exec(text.split(/^\[/m)[0] ?? '')?.[1];

export interface OtherConfig {
  readonly file: string;
  readonly text: string;
}

/** All configs of the cluster but that of this container of this node. */
export function otherConfigs({ etcPve }: NodePlaces, node: string, vmid: Vmid): readonly OtherConfig[] {
  const found: OtherConfig[] = [];
  for (const other of readdirSync(join(etcPve, 'nodes')))
    for (const kind of ['lxc', 'qemu-server'])
      for (const name of namesIn(join(etcPve, 'nodes', other, kind))) {
        if (!/^[1-9]\d+\.conf$/.test(name) || (other === node && kind === 'lxc' && name === `${vmid}.conf`)) continue;
        const file = join(etcPve, 'nodes', other, kind, name);
        found.push({ file, text: readSmall(file)?.text ?? '' });
      }
  return found;
}

/** PVE: AccessControl.pm write_user_config, `pool:NAME:COMMENT:VMIDS:STORAGES:`; colons in comments are encoded. */
export function isInPool({ etcPve }: NodePlaces, pool: string, vmid: Vmid): boolean {
  const text = readSmall(join(etcPve, 'user.cfg'))?.text ?? '';
  const line = text.split('\n').find((each) => each.startsWith(`pool:${pool}:`));
  return (
    line
      ?.split(':')[3]
      ?.split(/[,; ]+/)
      .includes(String(vmid)) ?? false
  );
}

/**
 * Whether a process holds, or waits for, the lock that Proxmox takes for each change of a config. PVE: AbstractConfig.pm
 * config_file_lock. proc_locks(5): `MAJOR:MINOR:INODE`, the first two in hex.
 */
export function isConfigHeld({ locks, proc }: NodePlaces, vmid: Vmid): boolean {
  const file = join(locks, `pve-config-${vmid}.lock`);
  const facts = lstatSync(file, { bigint: true, throwIfNoEntry: false });
  if (facts === undefined) return false;
  if (!facts.isFile()) throw new Error(`cannot use ${file}: it is no file`);
  const { dev, ino } = facts;
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const hex = (n: bigint): string => n.toString(16).padStart(2, '0');
  return readFileSync(join(proc, 'locks'), 'utf8').includes(` ${hex(major)}:${hex(minor)}:${ino} `);
}

/** Mount points of the host at or below a container's folder, the innermost and latest first. proc_pid_mountinfo(5). */
export function mountsBelow({ lxc, proc }: NodePlaces, vmid: Vmid): readonly string[] {
  const folder = join(lxc, String(vmid));
  return readFileSync(join(proc, '1/mountinfo'), 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, octal: string) => octalText(octal)))
    .filter((at) => at === folder || at.startsWith(`${folder}/`))
    .toReversed()
    .toSorted((a, b) => depthOf(b) - depthOf(a));
}

const octalText = (octal: string): string => String.fromCharCode(Number.parseInt(octal, 8));
const depthOf = (path: string): number => path.split('/').length;

export interface FirstProcess {
  readonly pid: number;
  readonly startTicks: string;
  /** What its uid 0 is on the host. */
  readonly hostUid: number;
}

/**
 * The first process of a container: in its control group, and number 1 in a process namespace right below the host's.
 * `lxc-info` is not asked, because it asks an abstract socket that anybody may have taken. Of two there is none.
 */
export function firstProcessOf({ proc }: NodePlaces, vmid: Vmid): FirstProcess | undefined {
  const found: FirstProcess[] = [];
  for (const pid of readdirSync(proc)) {
    if (!/^[1-9]\d*$/.test(pid)) continue;
    try {
      const inGroup = new RegExp(`^0::/lxc/${vmid}(?:/|$)`, 'm').test(readFileSync(join(proc, pid, 'cgroup'), 'utf8'));
      if (!inGroup) continue;
      const stat = readFileSync(join(proc, pid, 'stat'), 'utf8');
      if (!/^NSpid:\t\d+\t1$/m.test(readFileSync(join(proc, pid, 'status'), 'utf8'))) continue;
      const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
      const [, hostUid = ''] = /^ *0 +(\d+) +\d+$/m.exec(readFileSync(join(proc, pid, 'uid_map'), 'utf8')) ?? [];
      found.push({ pid: Number(pid), startTicks, hostUid: hostUid === '' ? 0 : Number(hostUid) });
    } catch (error) {
      // It ended while it was looked at.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return found.length === 1 ? found[0] : undefined;
}

/** Of a file of Proxmox. */
const longestConfigBytes = 1024 * 1024;

export function readSmall(file: string): GuestConfig | undefined {
  let opened: number;
  try {
    opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const facts = fstatSync(opened);
    if (!facts.isFile() || facts.size > longestConfigBytes) throw new Error(`cannot use ${file}: it is no small file`);
    return { text: readFileSync(opened, 'utf8'), writtenAt: Math.floor(facts.mtimeMs / 1000) };
  } finally {
    closeSync(opened);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
