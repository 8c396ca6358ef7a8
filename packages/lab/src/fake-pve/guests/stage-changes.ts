// First half of every config change: the request goes into the pending section, whatever the guest's state.
// PVE: LXC/Config.pm update_pct_config. The second half is in apply-changes.ts.
import type { FakePve, GuestConfig } from '../core.ts';
import { die } from '../core.ts';
import { normaliseTags, parseMountPoint, parseProperties } from './property-string.ts';
import { checkProtection } from './store.ts';

export interface Request {
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
  readonly revert: readonly string[];
}

const OPTION =
  /^(arch|cmode|console|cores|cpulimit|cpuunits|debug|description|entrypoint|env|features|hookscript|hostname|lock|memory|nameserver|onboot|ostype|parent|protection|rootfs|searchdomain|snaptime|startup|swap|tags|template|timezone|tty|unprivileged)$|^(dev|mp|unused)([1-9]?\d|1\d\d|2[0-4]\d|25[0-5])$|^net([12]?\d|3[01])$/;

export function optionExists(key: string): boolean {
  return OPTION.test(key);
}

/** Edits the pending section and returns the keys that were asked for: only these are applied afterwards. */
export function stageChanges(pve: FakePve, vmid: number, config: GuestConfig, request: Request): Set<string> {
  const touched = new Set<string>();
  for (const key of request.revert) {
    config.pending.delete(key);
    config.pendingDelete.delete(key);
  }
  for (const key of request.remove) {
    if (!config.active.has(key) && !config.pending.has(key)) continue;
    touched.add(key);
    checkRemovable(vmid, config, key);
    config.pending.delete(key);
    config.pendingDelete.add(key);
  }
  for (const key of [...request.set.keys()].toSorted()) {
    const value = accept(pve, vmid, config, key, request.set.get(key) ?? '');
    touched.add(key);
    config.pending.set(key, value);
    config.pendingDelete.delete(key);
  }
  dropWhatIsNoChange(config);
  return touched;
}

function checkRemovable(vmid: number, config: GuestConfig, key: string): void {
  if (['memory', 'rootfs', 'ostype'].includes(key)) die(`unable to delete required option '${key}'`);
  if (key === 'unprivileged') die(`unable to delete read-only option: '${key}'`);
  if (/^(mp|unused)\d+$/.test(key)) checkProtection(config, `can't remove CT ${vmid} drive '${key}'`);
}

function accept(pve: FakePve, vmid: number, config: GuestConfig, key: string, value: string): string {
  if (key === 'unprivileged') die(`unable to modify read-only option: '${key}'`);
  if (key === 'tags') return normaliseTags(value);
  if (key === 'hookscript') refuseHookScript(pve, value);
  if (/^dev\d+$/.test(key)) checkDevice(key, value);
  if (/^net\d+$/.test(key)) checkMtu(key, value);
  if (key === 'cpuunits') return `${Math.min(Math.max(Number(value), 1), MAX_CPU_WEIGHT)}`;
  if (key === 'nameserver' || key === 'searchdomain')
    return value
      .split(/[,;\s]+/)
      .filter((item) => item)
      .join(' ');
  if (/^(rootfs|mp\d+)$/.test(key)) {
    checkProtection(config, `can't update CT ${vmid} drive '${key}'`);
    const mount = parseMountPoint(key, value);
    if (mount.kind === 'volume') checkContainerStorage(pve, mount.volume);
  }
  return value;
}

/** The weight that cgroup v2 takes; what is outside is clamped, not refused. PVE: CGroup.pm clamp_cpu_shares. */
const MAX_CPU_WEIGHT = 10_000;
const BRIDGE_MTU = 1500;

/** The node of the lab holds no snippets, so a hook script never exists. PVE: GuestHelpers.pm check_hookscript. */
function refuseHookScript(pve: FakePve, volid: string): never {
  const [, storage = '', name = ''] = /^([^:]+):(.*)$/s.exec(volid) ?? [];
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  die(
    name.startsWith('snippets/') ? `script '${volid}' does not exist` : `'${volid}' is not in the snippets directory`,
  );
}

/** Devices of an ordinary node. PVE: LXC/Tools.pm get_device_mode_and_rdev. */
const DEVICES =
  /^\/dev\/(fuse|kvm|net\/tun|null|zero|random|urandom|ttyS\d+|ttyUSB0|dri\/(card0|renderD128)|loop[0-7])$/;

function checkDevice(key: string, value: string): void {
  const path = parseProperties(value, 'path').get('path');
  if (path === undefined) die(`Path is not defined for passthrough device ${key}`);
  if (!DEVICES.test(path)) die(`Device ${path} does not exist`);
}

function checkMtu(key: string, value: string): void {
  const mtu = Number(parseProperties(value).get('mtu') ?? 0);
  if (mtu > BRIDGE_MTU) die(`${key}: MTU size '${mtu}' is bigger than bridge MTU '${BRIDGE_MTU}'`);
}

function checkContainerStorage(pve: FakePve, volume: string): void {
  const storage = /^([a-z][a-z0-9._-]*[a-z0-9]):.+$/is.exec(volume)?.[1];
  if (storage === undefined) die(`unable to parse volume ID '${volume}'`);
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  if (!pve.storage.hasContent(storage, 'rootdir')) {
    die(`storage '${storage}' does not allow content type 'rootdir' (Container)`);
  }
}

/** PVE: AbstractConfig cleanup_pending. */
export function dropWhatIsNoChange(config: GuestConfig): void {
  for (const [key, value] of config.pending) if (config.active.get(key) === value) config.pending.delete(key);
  for (const key of config.pendingDelete) if (!config.active.has(key)) config.pendingDelete.delete(key);
}
