/**
 * The ranges inside which unsigned change may move: root's policy file against what is there. Each breach names the
 * number that was asked for, the limit and where the limit is written.
 */
import type { DesiredGuest, DesiredVolume, Vmid } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { BuiltEffect } from './effects.ts';
import type { GateFacts, GuestFacts } from './facts.ts';

export interface RangeBreach {
  readonly text: string;
  /** The limit is known, the facts are not. */
  readonly unknown: boolean;
}

type Facts = Pick<GateFacts, 'guest' | 'sums' | 'storages' | 'self'>;

/** Every limit that the effect would cross. An unreadable storage is a breach: unknown is never room. */
export function rangeBreaches(effect: BuiltEffect, facts: Facts, policy: HostPolicy): RangeBreach[] {
  switch (effect.kind) {
    case 'guest-provision':
      return provision(effect.desired, facts, policy);
    case 'cpu-up':
      return cores(facts.sums.cores + effect.to - effect.from, policy);
    case 'memory-up':
      return memory('memory', facts.sums.memoryMiB + effect.to - effect.from, policy);
    case 'swap-up':
      return memory('swap', facts.sums.swapMiB + effect.to - effect.from, policy);
    case 'volume-grow': {
      const storage = effect.volid.slice(0, effect.volid.indexOf(':'));
      const more = effect.to - effect.from;
      return [...room(storage, more, facts, policy), ...growth(more, facts.guest, policy)];
    }
    case 'volume-add':
      return [
        ...storageApproved(effect.volume.storage, policy),
        ...room(effect.volume.storage, effect.volume.sizeGiB, facts, policy),
        ...mountPath(effect.volume.path, effect.volume.name, facts.guest, policy),
      ];
    case 'mount-change':
      return mountPath(effect.to, effect.volume, facts.guest, policy);
    case 'network-change':
      return effect.to === null ? [] : bridgeApproved(effect.to.bridge, policy);
    case 'snapshot-take':
      return [
        ...ownUse(facts, policy),
        ...quota('checkpoints', facts.self?.snapshots, policy.backups.snapshotsPerGuest, 'backups.snapshotsPerGuest'),
        ...reserve(facts, policy),
      ];
    case 'self-rollback':
      return ownUse(facts, policy);
    case 'backup-on-demand':
      return [
        ...ownUse(facts, policy),
        ...quota(
          'backups on demand within a day',
          facts.self?.onDemandToday,
          policy.backups.onDemandPerDay,
          'backups.onDemandPerDay',
        ),
      ];
    case 'guest-adopt':
    case 'guest-re-register':
      return guestVmid(effect.vmid, policy);
    case 'startup-change':
    case 'timezone-change':
    case 'guest-remove':
    case 'guest-start':
    case 'guest-stop':
    case 'guest-onboot-on':
    case 'guest-onboot-off':
    case 'cpu-down':
    case 'memory-down':
    case 'swap-down':
    case 'volume-shrink':
    case 'volume-remove':
    case 'volume-move':
    case 'backup-flag-on':
    case 'backup-flag-off':
    case 'nameserver-change':
    case 'hostname-change':
    case 'label-change':
    case 'marker-repair':
    case 'guest-decommission':
    case 'guest-lift-quarantine':
    case 'hold-set':
    case 'hold-clear':
    case 'saga-resume':
    case 'saga-abandon':
    case 'trust-change':
    case 'floor-change':
    case 'break-glass-open':
    case 'break-glass-close':
    case 'target-attach':
    case 'target-detach':
    case 'target-wipe':
    case 'target-re-point':
    case 'tunnel-change':
    case 'backup-run':
    case 'backup-force':
    case 'backup-prune':
    case 'backup-delete':
    case 'backup-unprotect':
    case 'marker-renew':
    case 'restore-test':
    case 'scratch-sweep':
    case 'guest-recover':
    case 'checkpoint-drop':
    case 'controller-update':
    case 'claim-issue':
    case 'claim-drop':
    case 'guest-remount':
    case 'restore-overwrite':
    case 'restore-in-place':
    case 'restore-copy':
    case 'guest-rollback':
    case 'restore-undo':
    case 'restore-finish':
      return [];
  }
}

function provision(desired: DesiredGuest, facts: Facts, policy: HostPolicy): RangeBreach[] {
  const wanted = new Map<string, number>();
  for (const { storage, sizeGiB } of [desired.rootfs, ...desired.volumes])
    wanted.set(storage, (wanted.get(storage) ?? 0) + sizeGiB);
  return [
    ...(facts.sums.guests >= policy.limits.guests
      ? [breach(`${facts.sums.guests + 1} guests, at most ${policy.limits.guests}`)]
      : []),
    ...(Object.hasOwn(policy.goldens, desired.golden)
      ? []
      : [breach(`golden ${desired.golden} is not admitted on this host`)]),
    ...cores(facts.sums.cores + desired.cores, policy),
    ...memory('memory', facts.sums.memoryMiB + desired.memoryMiB, policy),
    ...memory('swap', facts.sums.swapMiB + desired.swapMiB, policy),
    ...[...wanted].flatMap(([storage, sizeGiB]) => [
      ...storageApproved(storage, policy),
      ...room(storage, sizeGiB, facts, policy),
    ]),
    ...[...new Set(desired.networks.map((network) => network.bridge))].flatMap((b) => bridgeApproved(b, policy)),
    ...desired.volumes.flatMap((volume) => ownMountPath(volume, desired)),
  ];
}

function room(storage: string, more: number, facts: Facts, policy: HostPolicy): RangeBreach[] {
  const seen = facts.storages.get(storage);
  if (seen === undefined) return [unknown(`storage ${storage} cannot be read`)];
  const limit = seen.capacityGiB * policy.limits.overcommit;
  const sum = seen.virtualGiB + more;
  if (sum <= limit) return [];
  return [breach(`storage ${storage} would promise ${round(sum)} GiB, limits.overcommit allows ${round(limit)}`)];
}

function growth(more: number, guest: GuestFacts | undefined, policy: HostPolicy): RangeBreach[] {
  if (guest === undefined) return [unknown('the size of the guest is not known')];
  const before = guest.sizeGiB - guest.grownGiB;
  const allowed = Math.floor((before * policy.limits.growPercentPerDay) / 100);
  const asked = guest.grownGiB + more;
  if (asked <= allowed) return [];
  return [breach(`${asked} GiB more within a day, limits.growPercentPerDay allows ${allowed} of ${before}`)];
}

function cores(sum: number, policy: HostPolicy): RangeBreach[] {
  if (sum <= policy.limits.cores) return [];
  return [breach(`${sum} cores over all guests, limits.cores allows ${policy.limits.cores}`)];
}

function memory(what: 'memory' | 'swap', sum: number, policy: HostPolicy): RangeBreach[] {
  if (sum <= policy.limits.memoryMiB) return [];
  return [breach(`${sum} MiB ${what} over all guests, limits.memoryMiB allows ${policy.limits.memoryMiB}`)];
}

/** What a guest makes Proxmox do, whatever it asks for: its list of tasks is short, and others need it too [R42]. */
function ownUse({ self }: Facts, policy: HostPolicy): RangeBreach[] {
  return quota('tasks within an hour', self?.tasksThisHour, policy.localApi.tasksPerHour, 'localApi.tasksPerHour');
}

function quota(what: string, used: number | undefined, most: number, where: string): RangeBreach[] {
  if (used === undefined) return [unknown(`its ${what} are not known`)];
  return used < most ? [] : [breach(`${used} ${what}, ${where} allows ${most}`)];
}

/** A snapshot grows while its guest writes: below the reserve there is no room for one [R37]. */
function reserve({ guest, storages }: Facts, policy: HostPolicy): RangeBreach[] {
  if (guest === undefined) return [unknown('the volumes of the guest are not known')];
  const used = new Set(guest.record.volumes.map(({ volid }) => volid.slice(0, volid.indexOf(':'))));
  return [...used].flatMap((storage): RangeBreach[] => {
    const seen = storages.get(storage);
    if (seen === undefined) return [unknown(`storage ${storage} cannot be read`)];
    const least = (seen.capacityGiB * policy.backups.reservePercent) / 100;
    if (seen.availableGiB >= least) return [];
    return [
      breach(
        `storage ${storage} has ${round(seen.availableGiB)} GiB left, backups.reservePercent wants ${round(least)}`,
      ),
    ];
  });
}

function guestVmid(vmid: Vmid, { vmids: { guests } }: HostPolicy): RangeBreach[] {
  if (vmid >= guests.from && vmid <= guests.to) return [];
  return [breach(`VMID ${vmid} is outside vmids.guests (${guests.from} to ${guests.to})`)];
}

function storageApproved(storage: string, policy: HostPolicy): RangeBreach[] {
  if (policy.storages.some((approved) => approved === storage)) return [];
  return [breach(`storage ${storage} is not among the approved ones (${policy.storages.join(', ')})`)];
}

function bridgeApproved(bridge: string, policy: HostPolicy): RangeBreach[] {
  if (policy.bridges.includes(bridge)) return [];
  return [breach(`bridge ${bridge} is not among the approved ones (${policy.bridges.join(', ')})`)];
}

/** In a guest that lives, a mount anywhere else hides what is there: /var/lib/docker, for one [R15]. */
function mountPath(path: string, volume: string, guest: GuestFacts | undefined, policy: HostPolicy): RangeBreach[] {
  const breaches = policy.mountRoots.some((root) => isWithin(path, root))
    ? []
    : [breach(`${path} is not below ${policy.mountRoots.join(', ')}, where a mount hides nothing`)];
  if (guest === undefined) return [...breaches, unknown('the mounts of the guest are not known')];
  for (const [other, mounted] of guest.mountPaths)
    if (other !== volume && (isWithin(path, mounted) || isWithin(mounted, path)))
      breaches.push(breach(`${path} would cover or lie inside the mount of ${other} at ${mounted}`));
  return breaches;
}

/** A guest that is being made has nothing to hide, but it must still come up as the golden was built. */
const systemPaths = ['/bin', '/boot', '/dev', '/etc', '/lib', '/lib64', '/proc', '/run', '/sbin', '/sys', '/usr'];

function ownMountPath(volume: DesiredVolume, desired: DesiredGuest): RangeBreach[] {
  const covered = systemPaths.find((system) => isWithin(volume.path, system));
  if (covered !== undefined)
    return [breach(`volume ${volume.name} at ${volume.path} would cover the system's ${covered}`)];
  const inside = desired.volumes.find((other) => other.name !== volume.name && isWithin(volume.path, other.path));
  return inside === undefined
    ? []
    : [breach(`volume ${volume.name} at ${volume.path} lies inside volume ${inside.name} at ${inside.path}`)];
}

const isWithin = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);
const round = (gib: number): number => Math.round(gib * 10) / 10;
const breach = (text: string): RangeBreach => ({ text, unknown: false });
const unknown = (text: string): RangeBreach => ({ text, unknown: true });
