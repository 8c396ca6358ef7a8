// Snapshots: creation, removal and rollback as workers, the list and the stored config as plain reads.
// PVE: API2/LXC/Snapshot.pm, AbstractConfig.pm snapshot_create, snapshot_delete, snapshot_rollback.
import type { Call, FakePve, GuestConfig, Task } from '../core.ts';
import { die, perlText } from '../core.ts';
import { addUnused } from './apply-changes.ts';
import { cloneConfig, mountKeysOf, sectionForApi } from './config-file.ts';
import { gap, withLock } from './guest-lock.ts';
import { forkStart, takeDown } from './power.ts';
import { parseMountPoint } from './property-string.ts';
import { checkLock, flag, isTemplate, storeOf, text, vmidOf } from './store.ts';

type Section = Map<string, string>;

/** Not copied between the current config and a snapshot, in either direction. */
const STAYS = /^(snapstate|snaptime|lock|description|unused\d+)$/;

function snapshotName(call: Call): string {
  return text(call, 'snapname') ?? '';
}

function snapshotOf(config: GuestConfig, name: string): Section {
  const section = config.snapshots.get(name);
  if (section === undefined) die(`snapshot '${name}' does not exist`);
  return section;
}

// --------------------------------------------------------------------------------------------------------- reads

export function listSnapshots(call: Call): unknown {
  const store = storeOf(call.pve);
  const vmid = vmidOf(call);
  const { config, digest } = store.load(vmid);
  const rows: Record<string, unknown>[] = [...config.snapshots].map(([name, section]) => ({
    name,
    snaptime: Number(section.get('snaptime') ?? 0),
    description: section.get('description') ?? '',
    ...pick(section, 'parent'),
    ...pick(section, 'snapstate'),
  }));
  const running = store.isRunning(vmid) ? 1 : 0;
  return [
    ...rows,
    { name: 'current', description: 'You are here!', digest, running, ...pick(config.active, 'parent') },
  ];
}

function pick(section: ReadonlyMap<string, string>, key: string): Record<string, string> {
  const value = section.get(key);
  return value === undefined ? {} : { [key]: value };
}

export function snapshotConfig(call: Call): unknown {
  return sectionForApi(snapshotOf(storeOf(call.pve).load(vmidOf(call)).config, snapshotName(call)));
}

export async function putSnapshotConfig(call: Call): Promise<null> {
  const vmid = vmidOf(call);
  const description = text(call, 'description');
  if (description === undefined) return null;
  await withLock(call.pve, vmid, async () => {
    const store = storeOf(call.pve);
    const { config } = store.load(vmid);
    checkLock(config);
    snapshotOf(config, snapshotName(call)).set('description', description);
    store.write(vmid, config);
  });
  return null;
}

/** Whether a snapshot, clone or copy of every volume of the guest is possible. */
export function hasFeature(call: Call): unknown {
  const { config } = storeOf(call.pve).load(vmidOf(call));
  const snapshot = text(call, 'snapname');
  const section = snapshot === undefined ? config.active : snapshotOf(config, snapshot);
  const running = storeOf(call.pve).isRunning(vmidOf(call));
  return { hasFeature: isCapable(call.pve, section, text(call, 'feature') ?? '', running) ? 1 : 0 };
}

/** Bind and device mounts are capable of nothing. PVE: LXC/Config.pm has_feature. */
export function isCapable(
  pve: FakePve,
  section: ReadonlyMap<string, string>,
  feature: string,
  running: boolean,
): boolean {
  return mountKeysOf(section).every((key) => {
    const mount = parseMountPoint(key, section.get(key));
    return mount.kind === 'volume' && pve.storage.hasFeature(mount.volume, feature, running);
  });
}

function volumesOf(section: ReadonlyMap<string, string>): string[] {
  return mountKeysOf(section)
    .map((key) => parseMountPoint(key, section.get(key)))
    .filter((mount) => mount.kind === 'volume')
    .map((mount) => mount.volume);
}

// -------------------------------------------------------------------------------------------------------- workers

export function createSnapshot(call: Call): string {
  const { pve } = call;
  const name = snapshotName(call);
  if (name === 'current' || name === 'vzdump') die(`unable to use snapshot name '${name}' (reserved name)`);
  const vmid = vmidOf(call);
  const comment = text(call, 'description');
  return pve.tasks.fork(call.who, 'vzsnapshot', `${vmid}`, async (task) => {
    await withLock(pve, vmid, async () => prepareSnapshot(pve, vmid, name, comment));
    const { config } = storeOf(pve).load(vmid);
    try {
      for (const volid of volumesOf(snapshotOf(config, name))) {
        await task.io(() => pve.storage.snapshot(volid, name));
        await gap(task);
      }
    } catch (error) {
      task.log('snapshot create failed: starting cleanup');
      await removeSnapshot(pve, task, vmid, name, true);
      throw error;
    }
    await withLock(pve, vmid, async () => commitSnapshot(pve, vmid, name));
  });
}

function prepareSnapshot(pve: FakePve, vmid: number, name: string, comment: string | undefined): void {
  const store = storeOf(pve);
  const { config } = store.load(vmid);
  if (isTemplate(config)) die("you can't take a snapshot if it's a template");
  checkLock(config);
  if (config.snapshots.has(name)) die(`snapshot name '${name}' already used`);
  for (const volid of volumesOf(config.active)) pve.storage.activate(volid.slice(0, volid.indexOf(':')));
  if (!isCapable(pve, config.active, 'snapshot', store.isRunning(vmid))) die('snapshot feature is not available');
  const section: Section = new Map([...config.active].filter(([key]) => !STAYS.test(key)));
  for (const [key, value] of config.raw) section.set(key, value);
  section.set('snapstate', 'prepare');
  section.set('snaptime', `${Math.floor(pve.clock.now() / 1000)}`);
  if (comment !== undefined && comment !== '') section.set('description', comment);
  config.active.set('lock', 'snapshot');
  config.snapshots.set(name, section);
  store.write(vmid, config);
}

function commitSnapshot(pve: FakePve, vmid: number, name: string): void {
  const store = storeOf(pve);
  const { config } = store.load(vmid);
  if (config.active.get('lock') !== 'snapshot') die('missing snapshot lock');
  snapshotOf(config, name).delete('snapstate');
  config.active.delete('lock');
  config.active.set('parent', name);
  store.write(vmid, config);
}

export function deleteSnapshot(call: Call): string {
  const { pve } = call;
  const vmid = vmidOf(call);
  const force = flag(call, 'force');
  return pve.tasks.fork(call.who, 'vzdelsnapshot', `${vmid}`, async (task) => {
    await withLock(pve, vmid, async () => {
      const { config } = storeOf(pve).load(vmid);
      snapshotOf(config, snapshotName(call));
      checkLock(config);
    });
    await removeSnapshot(pve, task, vmid, snapshotName(call), force);
  });
}

/** The parent pointers of everything that stood on this snapshot move to its own parent. */
async function removeSnapshot(pve: FakePve, task: Task, vmid: number, name: string, force: boolean): Promise<void> {
  const store = storeOf(pve);
  const section = await withLock(pve, vmid, async () => {
    const { config } = store.load(vmid);
    const doomed = snapshotOf(config, name);
    config.active.set('lock', 'snapshot-delete');
    doomed.set('snapstate', 'delete');
    const parent = doomed.get('parent');
    for (const other of [config.active, ...config.snapshots.values()]) {
      if (other.get('parent') !== name) continue;
      if (parent === undefined) other.delete('parent');
      else other.set('parent', parent);
    }
    store.write(vmid, config);
    return doomed;
  });
  for (const volid of volumesOf(section)) {
    try {
      await task.io(() => pve.storage.deleteSnapshot(volid, name));
      await gap(task);
    } catch (error) {
      if (!force) throw error;
      task.log(perlText(error));
    }
  }
  await withLock(pve, vmid, async () => {
    const { config } = store.load(vmid);
    config.snapshots.delete(name);
    config.active.delete('lock');
    const used = new Set([config.active, ...config.snapshots.values()].flatMap(volumesOf));
    for (const volid of volumesOf(section)) if (!used.has(volid)) addUnused(config, volid);
    store.write(vmid, config);
  });
}

export function rollbackSnapshot(call: Call): string {
  const { pve } = call;
  const vmid = vmidOf(call);
  const name = snapshotName(call);
  return pve.tasks.fork(call.who, 'vzrollback', `${vmid}`, async (task) => {
    const store = storeOf(pve);
    const volumes = await withLock(pve, vmid, async () => {
      const { config } = store.load(vmid);
      if (isTemplate(config)) die("you can't rollback if vm is a template");
      const section = snapshotOf(config, name);
      const state = section.get('snapstate');
      if (state !== undefined) die(`unable to rollback to incomplete snapshot (snapstate = ${state})`);
      checkLock(config);
      if (store.isRunning(vmid)) await takeDown(pve, vmid, (ms) => task.work(ms));
      store.setLock(vmid, 'rollback');
      return volumesOf(section);
    });
    for (const volid of volumes) {
      await task.io(() => pve.storage.rollback(volid, name));
      await gap(task);
    }
    await withLock(pve, vmid, async () => {
      store.write(vmid, rolledBack(store.load(vmid).config, name));
    });
    if (flag(call, 'start')) forkStart(pve, call.who, vmid);
  });
}

/** The snapshot's config; description and unused volumes stay, later volumes become unused, what was pending is gone. */
export function rolledBack(current: GuestConfig, name: string): GuestConfig {
  const next = cloneConfig(current);
  const section = snapshotOf(current, name);
  next.active.clear();
  next.pending.clear();
  next.pendingDelete.clear();
  next.raw.length = 0;
  for (const [key, value] of current.active) if (/^(description|unused\d+)$/.test(key)) next.active.set(key, value);
  for (const [key, value] of section) {
    if (key.startsWith('lxc.')) next.raw.push([key, value]);
    else if (!STAYS.test(key)) next.active.set(key, value);
  }
  next.active.set('parent', name);
  const kept = new Set(volumesOf(section));
  for (const [key, value] of next.active) if (/^unused\d+$/.test(key) && kept.has(value)) next.active.delete(key);
  for (const volid of volumesOf(current.active)) if (!kept.has(volid)) addUnused(next, volid);
  return next;
}
