// Clones and templates. PVE: API2/LXC.pm clone_vm, template.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { die, perlText } from '../core.ts';
import { cloneConfig, mountKeysOf, netKeysOf } from './config-file.ts';
import { gap, withLock } from './guest-lock.ts';
import { checkBridge, denied } from './permissions.ts';
import { normaliseNetwork, parseMountPoint, printMountPoint } from './property-string.ts';
import { isCapable } from './snapshots.ts';
import { checkLock, flag, isTemplate, number, storeOf, text, vmidOf } from './store.ts';

/** Not carried over into the copy. */
const LEFT_BEHIND = /^(lock|parent|snaptime|snapstate|template|unused\d+)$/;

/** The source is locked with `disk` for the time of the copy, so two clones of one guest exclude each other. */
export function clone(call: Call): Promise<string> {
  const { pve, who } = call;
  const store = storeOf(pve);
  const source = vmidOf(call);
  const target = number(call, 'newid') ?? 0;
  const pool = text(call, 'pool');
  if (pool !== undefined && !pve.access.poolExists(pool)) denied(`pool '${pool}' does not exist`);
  pve.access.checkGuest(who, target, pool, ['VM.Allocate']);
  const storage = text(call, 'storage');
  if (storage !== undefined) requireStorage(pve, storage);
  return withLock(pve, source, async () => {
    if (store.files.has(target)) die(`CT ${target} already exists on node '${store.node}'`);
    const { config } = store.load(source);
    checkLock(config);
    const full = text(call, 'full') === undefined ? !isTemplate(config) : flag(call, 'full');
    if (!full && storage !== undefined) die("parameter 'storage' not allowed for linked clones");
    const snapname = text(call, 'snapname');
    const section = snapname === undefined ? config.active : config.snapshots.get(snapname);
    if (section === undefined) die(`snapshot '${snapname}' does not exist`);
    for (const key of mountKeysOf(section)) checkCloneable(call, section, key, { full, storage, source });
    for (const key of netKeysOf(section)) checkBridge(pve, who, section.get(key) ?? '');
    const copy = newConfig(call, config, section);
    store.setLock(source, 'disk');
    store.files.set(target, 'lock: create\n');
    return pve.tasks.fork(who, 'vzclone', `${source}`, async (task) => {
      const made: string[] = [];
      try {
        for (const key of mountKeysOf(section)) {
          const mount = parseMountPoint(key, section.get(key));
          const home = storage ?? mount.volume.slice(0, mount.volume.indexOf(':'));
          task.log(`create ${full ? 'full' : 'linked'} clone of mountpoint ${key} (${mount.volume})`);
          await gap(task);
          const volume = await pve.storage.copy(task, mount.volume, home, target);
          made.push(volume.volid);
          copy.active.set(key, printMountPoint(mount, { volume: volume.volid }));
        }
        await task.work(pve.pace.restoreMs);
        store.write(target, copy);
        await gap(task);
        if (pool !== undefined) pve.access.addGuestToPool(target, pool);
      } catch (error) {
        for (const volid of made) await pve.storage.free(volid).catch((why: unknown) => task.log(perlText(why)));
        store.remove(target);
        throw new Error(`clone failed: ${perlText(error)}`, { cause: error });
      } finally {
        store.setLock(source, undefined);
      }
    });
  });
}

function requireStorage(pve: FakePve, storage: string): void {
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  // Activating one that is disabled or not for this node says so.
  if (!pve.storage.isEnabled(storage)) pve.storage.activate(storage);
}

interface CloneWay {
  readonly full: boolean;
  readonly storage: string | undefined;
  readonly source: number;
}

function checkCloneable(call: Call, section: ReadonlyMap<string, string>, key: string, way: CloneWay): void {
  const { pve } = call;
  const mount = parseMountPoint(key, section.get(key));
  // The word is Proxmox's own.
  if (mount.kind !== 'volume') die(`unable to clone mountpint '${key}' (type ${mount.kind})`);
  const home = way.storage ?? mount.volume.slice(0, mount.volume.indexOf(':'));
  requireStorage(pve, home);
  pve.access.check(call.who, `/storage/${home}`, ['Datastore.AllocateSpace']);
  const isRunning = storeOf(pve).isRunning(way.source);
  const snapname = text(call, 'snapname');
  if (way.full) {
    if (isRunning && snapname === undefined) die('Cannot do full clones on a running container without snapshots');
    return;
  }
  // Linked: on a snapshot, or on the base images that only a template has.
  const isBase = snapname !== undefined || isTemplate(storeOf(pve).load(way.source).config);
  if (!isBase || !pve.storage.hasFeature(mount.volume, 'clone', isRunning)) {
    die(`Linked clone feature for '${mount.volume}' is not available`);
  }
}

/** Everything is copied unchecked, features, devices and hook script included; only the MACs are new. */
function newConfig(call: Call, source: GuestConfig, section: ReadonlyMap<string, string>): GuestConfig {
  const copy = cloneConfig(source);
  copy.active.clear();
  for (const [key, value] of section) if (!key.startsWith('lxc.')) copy.active.set(key, value);
  copy.pending.clear();
  copy.pendingDelete.clear();
  copy.snapshots.clear();
  for (const key of copy.active.keys()) if (LEFT_BEHIND.test(key)) copy.active.delete(key);
  for (const key of netKeysOf(copy.active)) {
    copy.active.set(key, normaliseNetwork(copy.active.get(key) ?? '', call.pve.random, { freshMac: true }));
  }
  for (const name of ['hostname', 'description']) {
    const value = text(call, name);
    if (value !== undefined && value !== '') copy.active.set(name, value);
  }
  return copy;
}

/** Their images are files without base images of their own. */
const FILE_STORAGES: ReadonlySet<string> = new Set(['dir', 'nfs', 'cifs']);

/** Answers null although a worker runs. */
export function makeTemplate(call: Call): Promise<null> {
  const { pve } = call;
  const store = storeOf(pve);
  const vmid = vmidOf(call);
  return withLock(pve, vmid, async () => {
    const { config } = store.load(vmid);
    checkLock(config);
    checkTemplateable(pve, vmid, config);
    pve.tasks.fork(call.who, 'vztemplate', `${vmid}`, async (task) => {
      await task.work(pve.pace.allocateMs);
      await withLock(pve, vmid, async () => {
        const latest = store.load(vmid).config;
        latest.active.set('template', '1');
        store.write(vmid, latest);
      });
    });
    return null;
  });
}

function checkTemplateable(pve: FakePve, vmid: number, config: GuestConfig): void {
  if (config.snapshots.size > 0) die(`unable to create template, because CT contains snapshots`);
  if (isTemplate(config)) die(`you can't convert a template to a template`);
  if (storeOf(pve).isRunning(vmid)) die(`you can't convert a CT to template if the CT is running`);
  for (const key of mountKeysOf(config.active)) {
    const { volume } = parseMountPoint(key, config.active.get(key));
    const storage = volume.slice(0, volume.indexOf(':'));
    if (pve.storage.exists(storage) && FILE_STORAGES.has(pve.storage.type(storage))) {
      die(`Directory storage '${storage}' does not support container templates!`);
    }
  }
  if (!isCapable(pve, config.active, 'template', false)) die('template feature is not available');
}
