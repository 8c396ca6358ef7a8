// What a restore takes from the config inside the archive. Pure, except that the caller is asked about bridges.
// PVE: LXC/Create.pm recover_config, sanitize_and_merge_config.
import type { FakeRandom, GuestConfig } from '../core.ts';
import { die } from '../core.ts';
import { mountKeysOf } from './config-file.ts';
import { bytesToGib, isTrue, normaliseNetwork, parseMountPoint, printMountPoint } from './property-string.ts';

export interface MountPlan {
  /** Allocated before the archive is unpacked. */
  readonly now: Map<string, string>;
  /** Bind and device mounts of root: put into the config when everything else is done. */
  readonly later: Map<string, string>;
}

/** Storage-only mode: every volume of the archive is made anew on one storage, at its archived size. */
export function mountsFromArchive(archived: GuestConfig, storage: string, isRoot: boolean): MountPlan {
  const plan: MountPlan = { now: new Map(), later: new Map() };
  if (!archived.active.has('rootfs')) {
    die('rootfs configuration could not be recovered, please check and specify manually!');
  }
  for (const key of mountKeysOf(archived.active)) {
    const mount = parseMountPoint(key, archived.active.get(key));
    if (mount.kind === 'volume') {
      if (mount.sizeBytes === undefined) die(`unable to detect disk size - please specify ${key} (size)`);
      plan.now.set(key, printMountPoint(mount, { volume: `${storage}:${bytesToGib(mount.sizeBytes)}` }));
    } else {
      if (key === 'rootfs') {
        die(`restoring rootfs to ${mount.kind} mount is only possible by specifying -rootfs manually!`);
      }
      if (!isRoot) die(`restoring '${key}' to ${mount.kind} mount is only possible for root`);
      plan.later.set(key, printMountPoint(mount));
    }
  }
  return plan;
}

export interface MergeOptions {
  /** Anybody but root@pam. */
  readonly restricted: boolean;
  readonly unique: boolean;
  readonly random: FakeRandom;
  /** Throws when the caller may not use the bridge of this netN value. */
  readonly checkBridge: (network: string) => void;
}

export interface MergeNotes {
  /** Lines of one task warning, absent when there is nothing to warn of. */
  readonly warning: readonly string[];
  readonly log: readonly string[];
}

const NEVER_MERGED = /^(rootfs|unprivileged|parent|lock|template|mp\d+|unused\d+)$/;

/** Adds to `config` every key of the archive that the caller did not give, with the exceptions Proxmox makes. */
export function mergeArchive(config: GuestConfig, archived: GuestConfig, options: MergeOptions): MergeNotes {
  const log: string[] = [];
  const dropsFeatures =
    options.restricted && !isTrue(config.active.get('unprivileged')) && isTrue(archived.active.get('unprivileged'));
  for (const [key, value] of archived.active) {
    if (NEVER_MERGED.test(key)) continue;
    if (key === 'features' && dropsFeatures) {
      log.push('changing from unprivileged to privileged, skipping features');
      continue;
    }
    const isNet = /^net\d+$/.test(key);
    if (isNet && !config.active.has(key)) options.checkBridge(value);
    // With `unique` the archive's device wins even over the one that the caller gave.
    if (isNet && options.unique) config.active.set(key, normaliseNetwork(value, options.random, { freshMac: true }));
    else if (!config.active.has(key)) config.active.set(key, value);
  }
  if (archived.raw.length === 0) return { warning: [], log };
  if (!options.restricted) {
    config.raw.push(...archived.raw.filter(([key]) => key !== 'lxc.mount.entry'));
    return { warning: [], log };
  }
  return { warning: rawWarning(archived.raw), log };
}

function rawWarning(raw: readonly (readonly [string, string])[]): string[] {
  const rule = '--------------------------------';
  const lines = raw.map(([key, value]) => `${key}: ${value}`);
  return ['skipping custom lxc options, restore manually as root:', rule, ...lines, rule];
}
