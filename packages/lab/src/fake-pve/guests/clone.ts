// Clones and templates. PVE: API2/LXC.pm clone_vm, template.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { die, perlText } from '../core.ts';
import { cloneConfig, mountKeysOf, netKeysOf } from './config-file.ts';
import { gap, withLock } from './guest-lock.ts';
import { checkBridge, denied } from './permissions.ts';
import { normaliseNetwork, parseMountPoint, printMountPoint } from './property-string.ts';
import { isCapable } from './snapshots.ts';
import { checkLock, isTemplate, number, storeOf, text, vmidOf } from './store.ts';

/** Not carried over into the copy. */
const LEFT_BEHIND = /^(lock|parent|template|unused\d+)$/;

/** The source is locked with `disk` for the time of the copy, so two clones of one guest exclude each other. */
export function clone(call: Call): Promise<string> {
  const { pve, who } = call;
  const store = storeOf(pve);
  const source = vmidOf(call);
  const target = number(call, 'newid') ?? 0;
  const pool = text(call, 'pool');
  if (pool !== undefined && !pve.access.poolExists(pool)) denied(`pool '${pool}' does not exist`);
  pve.access.checkGuest(who, target, pool, ['VM.Allocate']);
  const { config: seen } = store.load(source);
  const storage = text(call, 'storage');
  if (isTemplate(seen) && storage !== undefined) die("parameter 'storage' not allowed for linked clones");
  return withLock(pve, source, async () => {
    const { config } = store.load(source);
    checkLock(config);
    if (store.isRunning(source)) die('Cannot do full clones on a running container without snapshots');
    if (store.files.has(target)) die(`CT ${target} already exists on node '${store.node}'`);
    for (const key of netKeysOf(config.active)) checkBridge(pve, who, config.active.get(key) ?? '');
    for (const key of mountKeysOf(config.active)) checkCloneable(call, config, key, storage);
    const copy = newConfig(call, config);
    store.setLock(source, 'disk');
    store.files.set(target, 'lock: create\n');
    return pve.tasks.fork(who, 'vzclone', `${source}`, async (task) => {
      const made: string[] = [];
      try {
        for (const key of mountKeysOf(config.active)) {
          const mount = parseMountPoint(key, config.active.get(key));
          const home = storage ?? mount.volume.slice(0, mount.volume.indexOf(':'));
          task.log(`create full clone of mountpoint ${key} (${mount.volume})`);
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

function checkCloneable(call: Call, config: GuestConfig, key: string, storage: string | undefined): void {
  const mount = parseMountPoint(key, config.active.get(key));
  if (mount.kind !== 'volume') die(`unable to clone mountpoint '${key}' (type ${mount.kind})`);
  const home = storage ?? mount.volume.slice(0, mount.volume.indexOf(':'));
  call.pve.access.check(call.who, `/storage/${home}`, ['Datastore.AllocateSpace']);
}

/** Everything is copied unchecked, features, devices and hook script included; only the MACs are new. */
function newConfig(call: Call, source: GuestConfig): GuestConfig {
  const copy = cloneConfig(source);
  copy.pending.clear();
  copy.pendingDelete.clear();
  copy.snapshots.clear();
  for (const key of copy.active.keys()) if (LEFT_BEHIND.test(key)) copy.active.delete(key);
  for (const key of netKeysOf(copy.active)) {
    copy.active.set(key, normaliseNetwork(copy.active.get(key) ?? '', call.pve.random, { freshMac: true }));
  }
  for (const name of ['hostname', 'description']) {
    const value = text(call, name);
    if (value !== undefined) copy.active.set(name, value);
  }
  return copy;
}

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
  if (!isCapable(pve, config.active, 'template', false)) die('template feature is not available');
}
