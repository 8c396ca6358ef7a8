/**
 * `guest-mounts`: whether what a running guest has mounted from the declared disks is the disk that is there now. A guest
 * keeps the mount of a disk that was pulled, and goes on reading errors from it, or writing into nothing, after the disk
 * is back [users U8]. Told from what the kernel keeps in memory; nothing below such a mount is ever touched, because it may
 * hang. Shares of a server are left out: they come back by themselves. Changes nothing.
 */
import { closeSync, constants, lstatSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDisk } from '@felhom/protocol';
import type { Vmid } from '@felhom/protocol';
import { z } from 'zod';
import type { HostPolicy } from '../../host-policy.ts';
import type { HostCommand } from '../../ports/host-command.ts';
import type { GuestMount, GuestMounts } from '../../ports/host-helper.ts';
import { mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget, ManifestRead } from '../../storage-manifest.ts';
import { said } from './answer.ts';
import { configOf, firstProcessOf } from './node-guests.ts';
import type { NodePlaces } from './node-guests.ts';
import { isIn } from './proofs.ts';

export type GuestMountsAnswer =
  | { readonly is: 'done'; readonly guestMounts: GuestMounts }
  | { readonly is: 'refused' | 'busy'; readonly text: string };

export interface MountFacts {
  readonly places: NodePlaces;
  /** sysfs. */
  readonly sys: string;
  /** Where device nodes and their links are. */
  readonly dev: string;
  readonly policy: HostPolicy;
  readonly manifest: () => ManifestRead;
  readonly mountRoot: string;
}

/** Both answer from memory, and are given up after a time all the same. */
export interface MountTools {
  readonly losetup: HostCommand;
  readonly stat: HostCommand;
}

export async function guestMounts(facts: MountFacts, tools: MountTools, vmid: Vmid): Promise<GuestMountsAnswer> {
  const say = said(`cannot look at the mounts of ${vmid}`);
  const { places, policy } = facts;
  if (!isIn(policy.vmids.guests, vmid))
    return say.not({ is: 'refused', why: 'its VMID is not in the range of guests of /etc/felhom/policy.yaml' });
  const seen = say.proof(() => look(facts, vmid));
  if (seen.is === 'stopped') return { is: 'done', guestMounts: { running: false, mounts: [] } };
  if (seen.is !== 'runs') return say.not(seen);
  const mounts: GuestMount[] = [];
  let loops: LoopsRead | undefined;
  for (const { path, target } of seen.volumes) {
    const inGuest = seen.guest.find((line) => line.path === path);
    if (inGuest !== undefined && isLoop(inGuest)) loops ??= await loopsOf(tools.losetup);
    const atTarget = seen.host.findLast((line) => line.path === mountPathOf(target.name, facts.mountRoot));
    const judged = judgeMount({
      inGuest,
      atTarget,
      isThere: atTarget === undefined ? undefined : isThere(facts, atTarget),
      loops: loops ?? new Map(),
      folderDevice: atTarget?.fileSystem === 'btrfs' ? await deviceOf(tools.stat, atTarget.path) : atTarget?.device,
    });
    mounts.push({ path, target: target.name, ...judged });
  }
  // Between two reads the guest may have been started anew, and its number have become somebody else's.
  const startNow = say.proof(() => firstProcessOf(places, vmid)?.startTicks ?? '');
  if (startNow !== seen.startTicks)
    return say.not({ is: 'busy', why: 'it went down, or was started anew, while it was looked at' });
  return { is: 'done', guestMounts: { running: true, mounts } };
}

interface Volume {
  /** In the guest. */
  readonly path: string;
  readonly target: DeclaredTarget['target'];
}

type Seen =
  | { readonly is: 'stopped' }
  | { readonly is: 'refused' | 'busy'; readonly why: string }
  | {
      readonly is: 'runs';
      readonly startTicks: string;
      readonly volumes: readonly Volume[];
      readonly guest: readonly MountLine[];
      readonly host: readonly MountLine[];
    };

function look({ places, policy, manifest }: MountFacts, vmid: Vmid): Seen {
  const config = configOf(places, policy.node, vmid);
  if (config === undefined) return { is: 'refused', why: 'there is no such guest' };
  const held = manifest();
  if (held.is === 'unreadable') return { is: 'busy', why: held.why.text };
  const volumes = volumesOn(config.text, held.is === 'held' ? held.manifest.targets : []);
  const first = firstProcessOf(places, vmid);
  if (first === undefined) return { is: 'stopped' };
  return {
    is: 'runs',
    startTicks: first.startTicks,
    volumes,
    guest: mountLines(readStart(join(places.proc, String(first.pid), 'mountinfo'))),
    host: mountLines(readFileSync(join(places.proc, '1/mountinfo'), 'utf8')),
  };
}

/** More than Proxmox can give a guest is not looked at. */
const mostVolumes = 257;

/** Volumes of the active part of a config that lie on a declared disk. PVE: LXC/Config.pm `rootfs`, `mp[n]`. */
export function volumesOn(config: string, declared: readonly DeclaredTarget[]): readonly Volume[] {
  const found: Volume[] = [];
  for (const line of (config.split(/^\[/m)[0] ?? '').split('\n')) {
    const [, key, value = ''] = /^(rootfs|mp\d{1,3}): *(\S+)$/.exec(line) ?? [];
    if (key === undefined) continue;
    const fields = value.split(',');
    const named = (name: string): string | undefined =>
      fields.find((field) => field.startsWith(`${name}=`))?.slice(name.length + 1);
    const volid = fields[0]?.includes('=') === true ? (named('volume') ?? '') : (fields[0] ?? '');
    const path = key === 'rootfs' ? '/' : `/${(named('mp') ?? '').split('/').filter(Boolean).join('/')}`;
    const target = declared.find((one) => volid.startsWith(`${one.target.storage}:`))?.target;
    if (target === undefined || !isDisk(target) || (path === '/') !== (key === 'rootfs')) continue;
    if (found.length < mostVolumes) found.push({ path, target });
  }
  return found;
}

export interface MountLine {
  /** `<major>:<minor>` of its file system. */
  readonly device: string;
  readonly path: string;
  readonly fileSystem: string;
  readonly source: string;
}

/** In the order in which they were mounted, as far as one lies on another. proc_pid_mountinfo(5). */
export function mountLines(text: string): readonly MountLine[] {
  return text.split('\n').flatMap((line): MountLine[] => {
    const [front, back] = line.split(' - ');
    const [, , device, , path] = front?.split(' ') ?? [];
    const [fileSystem, source] = back?.split(' ') ?? [];
    if (device === undefined || path === undefined || fileSystem === undefined || source === undefined) return [];
    return [{ device, path: unescaped(path), fileSystem, source: unescaped(source) }];
  });
}

const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** A guest may mount as much as it likes on top; what its host gave it comes first. */
const longestRead = 4 * 1024 * 1024;

function readStart(file: string): string {
  const opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.alloc(longestRead);
    let size = 0;
    for (let read = -1; read !== 0 && size < longestRead; size += read)
      read = readSync(opened, buffer, size, longestRead - size, null);
    const text = buffer.toString('utf8', 0, size);
    return size < longestRead ? text : text.slice(0, text.lastIndexOf('\n'));
  } finally {
    closeSync(opened);
  }
}

/** Linux: loop devices have the major number 7. */
const isLoop = ({ device }: MountLine): boolean => device.startsWith('7:');

type LoopsRead = ReadonlyMap<string, string> | { readonly bad: string };

const loopsAnswer = z.object({
  loopdevices: z.array(z.object({ 'maj:min': z.string(), 'back-maj:min': z.string() })),
});

/** Device of a loop → device of the file system that its file lies on. losetup(8) pads with blanks. */
async function loopsOf(losetup: HostCommand): Promise<LoopsRead> {
  try {
    const { code, stdout, stderr } = await losetup(['--json', '--list', '--output', 'MAJ:MIN,BACK-MAJ:MIN']);
    if (code !== 0) return { bad: `losetup ended with ${code}: ${stderr.trim().slice(0, 200)}` };
    if (stdout.trim() === '') return new Map();
    const { loopdevices } = loopsAnswer.parse(JSON.parse(stdout));
    return new Map(loopdevices.map((loop) => [loop['maj:min'].trim(), loop['back-maj:min'].trim()]));
  } catch (error) {
    return { bad: error instanceof Error ? error.message.slice(0, 200) : String(error) };
  }
}

/**
 * What a file of btrfs says it lies on is a number of its own, which mountinfo does not show; the folder that the disk is
 * mounted at says the same. `undefined`: it did not answer.
 */
async function deviceOf(stat: HostCommand, path: string): Promise<string | undefined> {
  try {
    const { code, stdout } = await stat(['--format=%Hd:%Ld', path]);
    return code === 0 ? stdout.trim() : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The kernel takes a device out of sysfs when it is pulled, whoever has it mounted still. A number or name is not given to
 * another one before the last mount of it is gone. btrfs has no device number there, and tells the name that its device was
 * found under: the kernel's own, or a link of LVM or dm-crypt, of which only that it is there can be told. `undefined`:
 * nobody can tell.
 */
function isThere({ sys, dev }: MountFacts, { device, source }: MountLine): boolean | undefined {
  const has = (place: string): boolean => lstatSync(join(sys, place), { throwIfNoEntry: false }) !== undefined;
  if (!device.startsWith('0:')) return has(join('dev/block', device));
  const [, name] = /^\/dev\/(.+)$/.exec(source) ?? [];
  if (name === undefined) return undefined;
  if (namesOfDisks.test(name)) return has(join('class/block', name));
  try {
    return has(join('class/block', basename(realpathSync(join(dev, name))))) ? true : undefined;
  } catch {
    return undefined;
  }
}

/** Linux: drivers of disks name them so, and none is ever renamed. */
const namesOfDisks = /^(?:(?:sd|vd|xvd|hd)[a-z]+\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?)$/;

export interface MountSight {
  /** What the host gave the guest at the path of its volume. */
  readonly inGuest: MountLine | undefined;
  /** What is mounted now where the target belongs. */
  readonly atTarget: MountLine | undefined;
  /** Whether the kernel still has the disk under it; `undefined`: nobody can tell. */
  readonly isThere: boolean | undefined;
  readonly loops: LoopsRead;
  /** What a file in the target's folder says that it lies on. */
  readonly folderDevice: string | undefined;
}

/** Pure. */
export function judgeMount(sight: MountSight): Pick<GuestMount, 'state' | 'why'> {
  const { inGuest, atTarget, loops, folderDevice } = sight;
  if (inGuest === undefined) return unclear('nothing is mounted there in the guest');
  if (atTarget === undefined) return dead('its target is not mounted on the host now');
  if (sight.isThere === false) return dead('the disk under the mount of its target is gone');
  // A folder of the disk itself.
  const same = sight.isThere === true ? live : unclear(`the kernel does not tell whether ${atTarget.source} is there`);
  if (inGuest.device === atTarget.device) return same;
  if (!isLoop(inGuest)) return dead(`it is ${inGuest.device} in the guest, and its target is ${atTarget.device} now`);
  if ('bad' in loops) return unclear(`the loop devices cannot be told: ${loops.bad}`);
  const under = loops.get(inGuest.device);
  if (under === undefined) return unclear(`nothing is known of what is under loop device ${inGuest.device}`);
  if (folderDevice === undefined) return unclear('the folder of its target does not answer');
  return under === folderDevice ? same : dead(`its image lies on ${under}, and its target is ${folderDevice} now`);
}

const live = { state: 'live', why: '' } as const;
const dead = (why: string): Pick<GuestMount, 'state' | 'why'> => ({ state: 'dead', why });
const unclear = (why: string): Pick<GuestMount, 'state' | 'why'> => ({ state: 'unknown', why });
