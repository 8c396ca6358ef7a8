// POST /nodes/{node}/lxc up to the moment the UPID is returned: every check that Proxmox makes synchronously, in its
// order, and the reservation of the id by a config that holds nothing but `lock: create`.
// PVE: API2/LXC.pm create_vm.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { die, paramError, perlText } from '../core.ts';
import { applyToStopped } from './apply-changes.ts';
import { emptyConfig, mountKeysOf } from './config-file.ts';
import { checkConfigChange, checkVolume, denied } from './permissions.ts';
import { newDiskOf, parseMountPoint } from './property-string.ts';
import { configParams } from './routes-config.ts';
import { stageChanges } from './stage-changes.ts';
import { checkLock, checkProtection, flag, number, storeOf, text, vmidOf } from './store.ts';

/** Parameters of the create call that are not config keys. */
const NOT_CONFIG: ReadonlySet<string> = new Set([
  'node',
  'vmid',
  'ostemplate',
  'restore',
  'force',
  'unique',
  'unprivileged',
  'password',
  'ssh-public-keys',
  'pool',
  'storage',
  'start',
  'bwlimit',
  'ignore-unpack-errors',
  'ha-managed',
]);

/** Seconds that the reservation waits for the config flock. */
const RESERVE_TIMEOUT_SECONDS = 5;
const DEFAULT_ROOTFS_GIB = 4;

/** A checked create or restore, ready for its worker. */
export interface CreateOrder {
  readonly vmid: number;
  readonly restore: boolean;
  readonly archive: string;
  readonly storage: string;
  readonly pool: string | undefined;
  /** The options that the caller gave, normalised; no disks. */
  readonly config: GuestConfig;
  /** `undefined`: as in the archive. */
  readonly unprivileged: boolean | undefined;
  /** The disks that the caller listed; `undefined` is storage-only mode. */
  readonly mounts: ReadonlyMap<string, string> | undefined;
  readonly unique: boolean;
  readonly start: boolean;
  /** A caller with VM.Backup alone does not get the archived firewall file restored. */
  readonly skipFirewall: boolean;
  readonly existed: boolean;
  /** KiB/s */
  readonly bwlimit: number | undefined;
}

export async function prepareCreate(call: Call): Promise<CreateOrder> {
  const { pve } = call;
  const vmid = vmidOf(call);
  const restore = flag(call, 'restore');
  const existed = checkVmidFree(call, vmid, restore && flag(call, 'force'));
  const keys = text(call, 'ssh-public-keys');
  if (keys !== undefined && !areSshKeys(keys)) die('SSH public key validation error');
  const pool = text(call, 'pool');
  if (pool !== undefined && !pve.access.poolExists(pool)) denied(`pool '${pool}' does not exist`);
  const skipFirewall = checkMayCreate(call, vmid, pool, existed);
  const unprivileged = wantedUnprivileged(call, restore);
  const given = configParams(call, NOT_CONFIG);
  const before = undefined;
  checkConfigChange(pve, call.who, { vmid, pool, before, set: given, remove: [], unprivileged: unprivileged === true });
  if (!restore && unprivileged === false) pve.access.check(call.who, '/', ['Sys.Modify']);

  const archive = text(call, 'ostemplate') ?? '';
  checkVolume(pve, call.who, vmid, archive, restore ? 'backup' : 'vztmpl');
  const storage = text(call, 'storage') ?? 'local';
  const mounts = checkDisks(call, given, storage);
  const config = emptyConfig();
  const options = new Map([...given].filter(([key]) => !/^(rootfs|(mp|unused)\d+)$/.test(key)));
  stageChanges(pve, vmid, config, { set: options, remove: [], revert: [] });
  await applyToStopped(pve, vmid, config);
  await reserve(pve, vmid, existed, restore);
  return {
    vmid,
    restore,
    archive,
    storage,
    pool,
    config,
    unprivileged,
    mounts: mounts ?? (restore ? undefined : new Map([['rootfs', `${storage}:${DEFAULT_ROOTFS_GIB}`]])),
    unique: flag(call, 'unique'),
    start: flag(call, 'start'),
    skipFirewall,
    existed,
    bwlimit: number(call, 'bwlimit'),
  };
}

/** Returns whether an existing guest is about to be overwritten. */
function checkVmidFree(call: Call, vmid: number, overwrite: boolean): boolean {
  const store = storeOf(call.pve);
  if (!store.files.has(vmid)) return false;
  if (!overwrite) die(`CT ${vmid} already exists on node '${store.node}'`);
  if (store.isRunning(vmid)) die("can't overwrite running container");
  checkProtection(store.load(vmid).config, `unable to restore CT ${vmid}`);
  return true;
}

function checkMayCreate(call: Call, vmid: number, pool: string | undefined, existed: boolean): boolean {
  const { access } = call.pve;
  if (access.has(call.who, `/vms/${vmid}`, ['VM.Allocate'])) return false;
  if (pool !== undefined && access.has(call.who, `/pool/${pool}`, ['VM.Allocate'])) return false;
  if (existed && access.has(call.who, `/vms/${vmid}`, ['VM.Backup'])) return true;
  denied();
}

function wantedUnprivileged(call: Call, restore: boolean): boolean | undefined {
  if (text(call, 'unprivileged') !== undefined) return flag(call, 'unprivileged');
  return restore ? undefined : true;
}

/** Activates every storage that will be used; a bare number is a size on the default storage. */
function checkDisks(call: Call, given: ReadonlyMap<string, string>, storage: string): Map<string, string> | undefined {
  const disks = new Map<string, string>();
  for (const key of mountKeysOf(given)) {
    const value = given.get(key) ?? '';
    disks.set(key, /^\d+(\.\d+)?$/.test(value) ? `${storage}:${value}` : value);
  }
  if (disks.size > 0 && !disks.has('rootfs')) die("mount points configured, but 'rootfs' not set - aborting");
  for (const [key, value] of disks) {
    const mount = parseMountPoint(key, value);
    if (mount.kind !== 'volume') {
      if (key === 'rootfs') die(`unable to use '${mount.volume}' as rootfs`);
      continue;
    }
    checkStorage(call, newDiskOf(mount.volume)?.storage ?? mount.volume.slice(0, mount.volume.indexOf(':')));
  }
  if (disks.size > 0) return disks;
  checkStorage(call, storage);
  return undefined;
}

function checkStorage(call: Call, storage: string): void {
  const { pve } = call;
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  // Activating one that is disabled or not for this node refuses it, before anything else is looked at.
  if (!pve.storage.isEnabled(storage)) pve.storage.activate(storage);
  if (!pve.storage.hasContent(storage, 'rootdir')) {
    paramError({ storage: `storage '${storage}' does not support container directories` });
  }
  pve.access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
  pve.storage.activate(storage);
}

/** PVE: AbstractConfig create_and_lock_config. */
async function reserve(pve: FakePve, vmid: number, existed: boolean, restore: boolean): Promise<void> {
  const store = storeOf(pve);
  try {
    await pve.tasks.withGuestLock(vmid, RESERVE_TIMEOUT_SECONDS, async () => {
      const taken = store.files.has(vmid);
      if (taken && !existed) die(`CT ${vmid} already exists on node '${store.node}'`);
      const config = taken ? store.load(vmid).config : emptyConfig();
      checkLock(config);
      config.active.set('lock', 'create');
      store.write(vmid, config);
    });
  } catch (error) {
    die(`unable to ${restore ? 'restore' : 'create'} CT ${vmid} - ${perlText(error)}`);
  }
}

/** Each line a key type and a well-formed blob that names the same type. */
function areSshKeys(keys: string): boolean {
  const lines = decodeURIComponent(keys)
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
  return lines.length > 0 && lines.every(isSshKey);
}

function isSshKey(line: string): boolean {
  const [type = '', encoded = ''] = line.trim().split(/\s+/);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded) || encoded.length % 4 !== 0) return false;
  const blob = Buffer.from(encoded, 'base64');
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length;) {
    if (at + 4 > blob.length) return false;
    const length = blob.readUInt32BE(at);
    if (at + 4 + length > blob.length) return false;
    fields.push(blob.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return fields.length > 1 && fields[0]?.toString() === type;
}
