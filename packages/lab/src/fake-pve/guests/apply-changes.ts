// Second half of a config change: pending values become active. A stopped guest takes everything; a running one takes
// what can be plugged in live, and the rest stays pending until it starts again.
// PVE: LXC/Config.pm vmconfig_apply_pending, vmconfig_hotplug_pending; LXC.pm update_net.
import type { FakePve, GuestConfig } from '../core.ts';
import { die, perlText } from '../core.ts';
import { cloneConfig, mountKeysOf, netKeysOf, unusedKeysOf } from './config-file.ts';
import {
  bridgeOf,
  gibToKiB,
  newDiskOf,
  normaliseNetwork,
  parseMountPoint,
  parseProperties,
  printMountPoint,
  printProperties,
} from './property-string.ts';
import { freeOwned } from './free-volume.ts';
import { dropWhatIsNoChange } from './stage-changes.ts';
import { isTemplate, storeOf } from './store.ts';

/** Option → text, as the 400 of `PUT config` carries them. */
export type ApplyErrors = Record<string, string>;

const MAX_UNUSED = 256;

/** Applied at once on a running guest; the guest itself may see it only after a restart. */
const FAST: ReadonlySet<string> = new Set([
  'cores',
  'description',
  'hookscript',
  'hostname',
  'lock',
  'onboot',
  'protection',
  'startup',
  'tags',
]);

/** `selection` limits the work to some keys; absent means all that is pending. */
export async function applyToStopped(
  pve: FakePve,
  vmid: number,
  config: GuestConfig,
  selection?: ReadonlySet<string>,
): Promise<ApplyErrors> {
  const errors: ApplyErrors = {};
  const attempt = async (key: string, body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } catch (error) {
      errors[key] = `unable to apply pending change ${key} : ${perlText(error)}\n`;
    }
  };
  for (const key of chosen(config.pendingDelete, selection)) {
    await attempt(key, async () => {
      if (/^mp\d+$/.test(key)) keepAsUnused(config, key);
      if (/^unused\d+$/.test(key)) await freeUnused(pve, vmid, config, key);
      config.active.delete(key);
      config.pendingDelete.delete(key);
    });
  }
  dropWhatIsNoChange(config);
  for (const key of chosen(config.pending.keys(), selection)) {
    await attempt(key, async () => {
      const value = config.pending.get(key) ?? '';
      const applied = /^mp\d+$/.test(key)
        ? await placeMountPoint(pve, vmid, config, key, value)
        : /^net\d+$/.test(key)
          ? normaliseNetwork(value, pve.random)
          : value;
      config.active.set(key, applied);
      config.pending.delete(key);
    });
  }
  return errors;
}

/** Writes the config in between where Proxmox does: a failing change of an interface leaves its trace. */
export async function hotplug(
  pve: FakePve,
  vmid: number,
  config: GuestConfig,
  selection: ReadonlySet<string>,
): Promise<ApplyErrors> {
  const errors: ApplyErrors = {};
  for (const key of chosen(config.pending.keys(), selection)) if (FAST.has(key)) activate(config, key);
  for (const key of chosen(config.pendingDelete, selection)) {
    const pluggable = FAST.has(key) || /^(swap|cpulimit|cpuunits|(net|unused)\d+)$/.test(key);
    if (!pluggable) continue;
    try {
      if (/^unused\d+$/.test(key)) await freeUnused(pve, vmid, config, key);
      config.active.delete(key);
      config.pendingDelete.delete(key);
    } catch (error) {
      errors[key] = `unable to hotplug ${key}: ${perlText(error)}\n`;
    }
  }
  for (const key of chosen(config.pending.keys(), selection)) {
    try {
      await plug(pve, vmid, config, key);
    } catch (error) {
      errors[key] = `unable to hotplug ${key}: ${perlText(error)}\n`;
    }
  }
  return errors;
}

function chosen(keys: Iterable<string>, selection: ReadonlySet<string> | undefined): string[] {
  return [...keys].filter((key) => selection === undefined || selection.has(key)).toSorted();
}

function activate(config: GuestConfig, key: string, value = config.pending.get(key)): void {
  if (value !== undefined) config.active.set(key, value);
  config.pending.delete(key);
}

/** Options without a live way of changing stay pending, silently. */
async function plug(pve: FakePve, vmid: number, config: GuestConfig, key: string): Promise<void> {
  if (/^(cpulimit|cpuunits|memory|swap)$/.test(key)) activate(config, key);
  else if (/^net\d+$/.test(key)) plugNetwork(pve, vmid, config, key);
  else if (/^mp\d+$/.test(key) && !config.active.has(key)) await plugMountPoint(pve, vmid, config, key);
  else if (/^dev\d+$/.test(key) && !config.active.has(key)) activate(config, key);
}

/**
 * A changed MAC or name removes the old interface and writes the config before the new one is plugged in: when that
 * fails, the guest is left without the interface.
 */
function plugNetwork(pve: FakePve, vmid: number, config: GuestConfig, key: string): void {
  const store = storeOf(pve);
  const value = normaliseNetwork(config.pending.get(key) ?? '', pve.random);
  const wanted = parseProperties(value);
  const before = config.active.get(key);
  if (before !== undefined) {
    const old = parseProperties(before);
    const sameIdentity = old.get('hwaddr') === wanted.get('hwaddr') && old.get('name') === wanted.get('name');
    if (sameIdentity) {
      replugBridge(pve, vmid, config, key, old, wanted);
      activate(config, key, value);
      return;
    }
    config.active.delete(key);
    store.write(vmid, config);
  }
  requireBridge(pve, wanted.get('bridge') ?? '');
  if (store.traits.hotplug === 'fails-on-the-bench') {
    const veth = `veth${vmid}i${key.slice(3)}p`;
    die(`command 'lxc-device -n ${vmid} add ${veth} ${wanted.get('name') ?? ''}' failed: exit code 1`);
  }
  activate(config, key, value);
}

function replugBridge(
  pve: FakePve,
  vmid: number,
  config: GuestConfig,
  key: string,
  old: Map<string, string>,
  wanted: ReadonlyMap<string, string>,
): void {
  const plugging = ['bridge', 'tag', 'firewall', 'rate'];
  if (plugging.every((name) => old.get(name) === wanted.get(name))) return;
  // Unplugged and written first, so that a missing bridge leaves the guest without one.
  for (const name of plugging) old.delete(name);
  config.active.set(key, printProperties(old, ['name']));
  storeOf(pve).write(vmid, config);
  requireBridge(pve, wanted.get('bridge') ?? '');
}

async function plugMountPoint(pve: FakePve, vmid: number, config: GuestConfig, key: string): Promise<void> {
  const asked = parseMountPoint(key, config.pending.get(key));
  const value = await placeMountPoint(pve, vmid, config, key, config.pending.get(key) ?? '');
  if (storeOf(pve).traits.hotplug === 'fails-on-the-bench') {
    if (newDiskOf(asked.volume)) await pve.storage.free(parseMountPoint(key, value).volume);
    die('failed to change apparmor profile: Invalid argument');
  }
  activate(config, key, value);
}

/** Allocates `store:SIZE`, or takes an existing volume; what was at this key before becomes unused. */
async function placeMountPoint(
  pve: FakePve,
  vmid: number,
  config: GuestConfig,
  key: string,
  value: string,
): Promise<string> {
  const mount = parseMountPoint(key, value);
  const fresh = mount.kind === 'volume' ? newDiskOf(mount.volume) : undefined;
  let printed: string;
  if (fresh) {
    pve.storage.activate(fresh.storage);
    const volume = await pve.storage.allocate(undefined, fresh.storage, vmid, gibToKiB(fresh.gib));
    printed = printMountPoint(mount, { volume: volume.volid, sizeBytes: volume.sizeBytes });
  } else if (mount.kind === 'volume') {
    const volume = pve.storage.volume(mount.volume);
    if (volume === undefined) die(`volume '${mount.volume}' does not exist`);
    printed = printMountPoint(mount, { sizeBytes: volume.sizeBytes });
  } else printed = printMountPoint(mount);
  const before = config.active.get(key);
  if (before !== undefined && parseMountPoint(key, before).volume !== parseMountPoint(key, printed).volume) {
    keepAsUnused(config, key);
  }
  return printed;
}

function keepAsUnused(config: GuestConfig, key: string): void {
  const mount = parseMountPoint(key, config.active.get(key));
  if (mount.kind === 'volume') addUnused(config, mount.volume);
}

/** The first free `unusedN`; a volume is listed once. PVE: AbstractConfig add_unused_volume. */
export function addUnused(config: GuestConfig, volid: string): void {
  if (unusedKeysOf(config.active).some((key) => config.active.get(key) === volid)) return;
  for (let index = 0; index < MAX_UNUSED; index += 1) {
    if (config.active.has(`unused${index}`)) continue;
    config.active.set(`unused${index}`, volid);
    return;
  }
  die('Too many unused volumes - please delete them first.');
}

async function freeUnused(pve: FakePve, vmid: number, config: GuestConfig, key: string): Promise<void> {
  const volid = config.active.get(key);
  if (volid === undefined || isUsedElsewhere(config, key, volid)) return;
  await freeOwned(pve, vmid, volid);
}

function isUsedElsewhere(config: GuestConfig, unusedKey: string, volid: string): boolean {
  const sections = [config.active, config.pending, ...config.snapshots.values()];
  return sections.some((section) => {
    const mounted = mountKeysOf(section).some((key) => parseMountPoint(key, section.get(key)).volume === volid);
    const listed = unusedKeysOf(section).some((key) => key !== unusedKey && section.get(key) === volid);
    return mounted || listed;
  });
}

export function requireBridge(pve: FakePve, bridge: string): void {
  if (!pve.bridges.has(bridge)) die(`bridge '${bridge}' does not exist`);
}

/**
 * Rebuilds the config of lxc itself from what was just written; a missing bridge makes it fail although the change is
 * stored, at this and at every later change. PVE: LXC.pm update_lxc_config.
 */
export function updateLxcConfig(pve: FakePve, config: GuestConfig): void {
  if (isTemplate(config)) return;
  for (const key of netKeysOf(config.active)) requireBridge(pve, bridgeOf(config.active.get(key) ?? ''));
}

/** What waits for the next start is applied then; what cannot be applied stays pending. */
export async function applyPendingAtBoundary(pve: FakePve, vmid: number): Promise<void> {
  const store = storeOf(pve);
  const { config } = store.load(vmid);
  if (config.pending.size === 0 && config.pendingDelete.size === 0) return;
  const work = cloneConfig(config);
  await applyToStopped(pve, vmid, work);
  store.write(vmid, work);
}
