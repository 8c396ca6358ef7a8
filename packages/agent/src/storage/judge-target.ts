/**
 * How a target stands, from what is seen of it. Pure.
 *
 * A target is attached when everything that is known of it agrees: the UUID, the serial number and the mark of a disk
 * [R8], the address of a share, the certificate of a server, and the entry of Proxmox. Going away counts at once; coming
 * back counts at once as well, unless it has come and gone too often.
 */
import { isDisk, leavesHost, targetIdentity } from '@felhom/protocol';
import type { StorageTarget, DiskTarget } from '@felhom/protocol';
import type { StorageEntry } from '../ports/proxmox.ts';
import type { Probe, SeenDevices, SeenDisk, SeenMount } from '../ports/storage-devices.ts';
import { markIn } from '../storage-manifest.ts';
import type { DeclaredTarget } from '../storage-manifest.ts';
import { entryTrouble } from './entry.ts';
import type { EntryTrouble } from './entry.ts';
import type { Cause, Standing } from './standing.ts';

/**
 * What would put it right, of what the root helper can do. `unmount`: systemd mounts whatever has the UUID when it is
 * plugged in, and what is not the target must not lie where Proxmox writes.
 */
export type Remedy = 'mount' | 'unmount' | 'define' | 'none';

export interface TargetSight {
  readonly declared: DeclaredTarget;
  readonly mount: SeenMount | undefined;
  readonly disks: SeenDevices['disks'];
  /** The newest one, and of what. */
  readonly probe: { readonly of: string; readonly found: Probe } | undefined;
  /** `unknown`: Proxmox did not say. */
  readonly entry: StorageEntry | 'missing' | 'unknown';
  readonly before: Standing | undefined;
  readonly now: number;
  /** As Proxmox calls this host; `undefined`: nobody knows at the moment. */
  readonly node?: string | undefined;
  readonly mountRoot?: string | undefined;
}

export interface Judged {
  readonly standing: Standing;
  readonly remedy: Remedy;
  /** What somebody changed in its entry of Proxmox that does not keep it from being used [R12]. */
  readonly drift?: string;
}

/** Milliseconds. So many drops within the window, and it has to hold for a while before it counts as attached. */
export const damping = { windowMs: 15 * 60_000, drops: 3, settleMs: 5 * 60_000 };

export function judgeTarget(sight: TargetSight): Judged {
  const { declared, before, now } = sight;
  if (declared.state !== 'attached')
    return {
      remedy: 'none',
      standing: {
        state: 'decommissioned',
        why:
          declared.state === 'wiping'
            ? 'it is being wiped, and that has not come to its end'
            : 'it was taken out of use',
        since: before?.state === 'decommissioned' ? before.since : now,
        drops: [],
      },
    };
  const appearance = appearanceOf(sight);
  const trouble = troubleOf(sight, appearance);
  const standing = trouble === undefined ? whenWell(before, appearance, now) : whenAway(before, trouble, now);
  if (trouble !== undefined) return { standing, remedy: trouble.remedy };
  const entry = entryOfTarget(sight);
  return entry?.is === 'drifted' ? { standing, remedy: 'define', drift: entry.text } : { standing, remedy: 'none' };
}

interface Trouble {
  readonly cause: Cause;
  readonly why: string;
  readonly remedy: Remedy;
}

const away = (cause: Cause, why: string, remedy: Remedy = 'none'): Trouble => ({ cause, why, remedy });

function whenAway(before: Standing | undefined, { cause, why }: Trouble, now: number): Standing {
  const recent = recentDrops(before, now);
  const drops = before?.wellSince === undefined ? recent : [...recent, now].slice(-20);
  const since = before?.state === 'disconnected' ? before.since : now;
  const { appearance } = before ?? {};
  return { state: 'disconnected', cause, why, since, drops, ...(appearance === undefined ? {} : { appearance }) };
}

function whenWell(before: Standing | undefined, appearance: string, now: number): Standing {
  const drops = recentDrops(before, now);
  const wellSince = before?.wellSince ?? now;
  const unsteady = drops.length >= damping.drops && Math.abs(now - wellSince) < damping.settleMs;
  if (unsteady && before?.state !== 'attached')
    return {
      state: 'disconnected',
      cause: 'settling',
      why: 'it came and went several times; it counts as attached once it has stayed for five minutes',
      since: before?.since ?? now,
      appearance,
      drops,
      wellSince,
    };
  // Another plugging in that nobody saw is another attachment.
  const same = before?.state === 'attached' && before.appearance === appearance;
  return { state: 'attached', why: '', since: same ? before.since : now, appearance, drops, wellSince };
}

const recentDrops = (before: Standing | undefined, now: number): number[] =>
  (before?.drops ?? []).filter((at) => Math.abs(now - at) < damping.windowMs);

export const isFlapping = ({ drops }: Pick<Standing, 'drops'>): boolean => drops.length >= damping.drops;

/** What tells this time of being there from the next one. Of a server nothing does. */
export function appearanceOf({ declared: { target }, mount }: Pick<TargetSight, 'declared' | 'mount'>): string {
  return mount?.disk?.appearance ?? mount?.source ?? targetIdentity(target);
}

/** `undefined`: all agrees. What is wrong with the thing itself comes before what Proxmox makes of it. */
function troubleOf(sight: TargetSight, appearance: string): Trouble | undefined {
  const { target } = sight.declared;
  return placeTrouble(sight, target) ?? answerTrouble(sight, appearance) ?? definitionTrouble(sight, target);
}

function placeTrouble({ mount, disks, entry }: TargetSight, target: StorageTarget): Trouble | undefined {
  if (isDisk(target)) return mount === undefined ? unmounted(target, disks) : mountTrouble(target, mount, disks);
  if (target.type === 'pbs') return undefined;
  const source = target.type === 'nfs' ? `${target.server}:${target.export}` : `//${target.server}/${target.share}`;
  if (mount === undefined)
    return entry === 'missing'
      ? away('definition-missing', `Proxmox has no storage ${target.storage}`, 'define')
      : away('unreachable', `Proxmox has not mounted ${source}: the server does not answer, or refuses`);
  if (mount.source.replace(/\/$/, '') !== source.replace(/\/$/, ''))
    return away('other', `${mount.source} is mounted there and not ${source}`);
  return mount.readOnly ? away('read-only', `${source} is mounted read-only`) : undefined;
}

function unmounted(target: DiskTarget, disks: readonly SeenDisk[]): Trouble {
  const alike = disks.filter(({ uuid }) => same(uuid, target.uuid));
  const [only, ...others] = alike;
  if (only === undefined) return away('absent', `no disk with UUID ${target.uuid} is plugged in`);
  if (others.length > 0)
    return away('other', `several disks carry UUID ${target.uuid}: ${alike.map(({ device }) => device).join(', ')}`);
  return diskTrouble(target, only) ?? away('not-mounted', `${only.device} is plugged in and not mounted`, 'mount');
}

function mountTrouble(target: DiskTarget, mount: SeenMount, disks: readonly SeenDisk[]): Trouble | undefined {
  if (mount.disk === undefined)
    return mount.source.startsWith('/dev/')
      ? goneBelow(unmounted(target, disks))
      : away('other', `${mount.source} is mounted there and not the disk ${target.uuid}`);
  const trouble = diskTrouble(target, mount.disk);
  if (trouble !== undefined) return { ...trouble, remedy: 'unmount' };
  return mount.readOnly
    ? away('read-only', 'it is mounted read-only, as Linux does with a file system that met an error')
    : undefined;
}

/** The kernel keeps a mount that is in use, whatever became of its disk; `now`: how it would be without it. */
const goneBelow = (now: Trouble): Trouble =>
  now.cause === 'not-mounted'
    ? away('in-use', 'its disk is plugged in again, and what was mounted before is still in use', 'mount')
    : away('absent', 'the disk under its mount is gone');

function diskTrouble(target: DiskTarget, { device, uuid, fileSystem, serials }: SeenDisk): Trouble | undefined {
  if (!same(uuid, target.uuid)) return away('other', `another disk is mounted there: ${device} with UUID ${uuid}`);
  if (fileSystem !== target.fileSystem)
    return away('other', `${device} has UUID ${uuid} and a file system ${fileSystem}, not ${target.fileSystem}`);
  // Where nobody can tell the number, the mark decides.
  if (target.serial !== undefined && serials.length > 0 && !serials.includes(target.serial))
    return away('other', `${device} has UUID ${uuid} and is another disk: serial number ${serials[0] ?? ''}`);
  return undefined;
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

function answerTrouble({ declared, probe, before }: TargetSight, appearance: string): Trouble | undefined {
  const { target, mark } = declared;
  const remote = leavesHost(target);
  if (probe === undefined || probe.of !== appearance)
    // After a restart of the agent nothing has happened to what was attached and is the very same.
    return before?.state === 'attached' && before.appearance === appearance
      ? undefined
      : away('not-asked', 'it is there, and is being asked');
  const { found } = probe;
  if (found.is === 'hangs')
    return away(remote ? 'unreachable' : 'hung', remote ? 'its server does not answer' : 'the disk does not answer');
  if (found.is === 'fails') return away(remote ? 'unreachable' : 'failing', `it answers with an error: ${found.text}`);
  if (target.type === 'pbs')
    return found.fingerprint === target.fingerprint
      ? undefined
      : away('other', `another server answers there: its certificate is ${found.fingerprint ?? 'not shown'}`);
  if (remote) return undefined;
  if (found.mark === undefined)
    return away('no-mark', 'it does not have the mark that was written when it was attached');
  return markIn(found.mark) === mark
    ? undefined
    : away('other', 'it has the right UUID and the mark of another: it is a copy', 'unmount');
}

function definitionTrouble(sight: TargetSight, target: StorageTarget): Trouble | undefined {
  if (sight.entry === 'missing')
    return away('definition-missing', `Proxmox has no storage ${target.storage}`, 'define');
  const trouble = entryOfTarget(sight);
  if (trouble === undefined || trouble.is === 'drifted') return undefined;
  const why = `storage ${target.storage} of Proxmox is not what was declared: ${trouble.text}`;
  // Root refuses too what Proxmox cannot change.
  return trouble.is === 'other' ? away('definition-other', why) : away('definition-differs', why, 'define');
}

const entryOfTarget = ({ declared, entry, node, mountRoot }: TargetSight): EntryTrouble | undefined =>
  typeof entry === 'string' ? undefined : entryTrouble(declared, entry, node, mountRoot);
