// POST move_volume in its two meanings: to another storage (copy), or to another guest (rename).
// PVE: API2/LXC.pm move_volume.
import type { Call, FakePve, GuestConfig } from '../core.ts';
import { die, paramError, perlText } from '../core.ts';
import { addUnused, applyToStopped, hotplug, updateLxcConfig } from './apply-changes.ts';
import { gap, withLock } from './guest-lock.ts';
import { parseMountPoint, printMountPoint } from './property-string.ts';
import { stageChanges } from './stage-changes.ts';
import { assertUnmodified, checkLock, flag, isTemplate, number, storeOf, text, vmidOf } from './store.ts';

export function moveVolume(call: Call): Promise<string> | string {
  const storage = text(call, 'storage');
  const target = number(call, 'target-vmid');
  if (storage !== undefined && target !== undefined) {
    const why = "either set 'storage' or 'target-vmid', but not both";
    paramError({ storage: why, 'target-vmid': why });
  }
  if (target !== undefined) return reassign(call, target);
  if (storage !== undefined) return moveToStorage(call, storage);
  const why = "both 'storage' and 'target-vmid' missing, either needs to be set";
  return paramError({ storage: why, 'target-vmid': why });
}

// ------------------------------------------------------------------------------------------------ to another guest

interface Reassignment {
  readonly from: number;
  readonly to: number;
  readonly key: string;
  readonly targetKey: string;
  readonly digest: string | undefined;
  readonly targetDigest: string | undefined;
}

interface Checked {
  readonly source: GuestConfig;
  readonly target: GuestConfig;
  readonly volid: string;
}

const isUnused = (key: string): boolean => key.startsWith('unused');

function reassign(call: Call, to: number): string {
  const { pve, who } = call;
  const from = vmidOf(call);
  const key = text(call, 'volume') ?? '';
  const move: Reassignment = {
    from,
    to,
    key,
    targetKey: text(call, 'target-volume') ?? key,
    digest: text(call, 'digest'),
    targetDigest: text(call, 'target-digest'),
  };
  if (!pve.access.isRoot(who)) pve.access.check(who, `/vms/${to}`, ['VM.Config.Disk']);
  if (from === to) {
    paramError({ 'target-vmid': 'must be different than source VMID to move disk to another container' });
  }
  const { volid } = checkReassignment(pve, move);
  pve.access.check(who, `/storage/${volid.slice(0, volid.indexOf(':'))}`, ['Datastore.AllocateSpace']);
  return pve.tasks.fork(who, 'move_volume', `${from}-${key}>${to}-${move.targetKey}`, (task) =>
    withLock(pve, from, () =>
      withLock(pve, to, async () => {
        const { source, target } = checkReassignment(pve, move);
        task.log(`moving volume '${key}' from container '${from}' to '${to}'`);
        await gap(task);
        const renamed = await task.io(() => pve.storage.rename(volid, to));
        const value = source.active.get(key) ?? '';
        source.active.delete(key);
        task.log(`removing volume '${key}' from container '${from}' config`);
        await gap(task);
        // Written before the target is asked: when that refuses, neither config names the volume any more.
        storeOf(pve).write(from, source);
        await gap(task);
        await attach(pve, (line) => task.warn(line), move, target, { value, volid: renamed.volid });
        task.log(`target container '${to}' updated with '${move.targetKey}'`);
      }),
    ),
  );
}

function checkReassignment(pve: FakePve, move: Reassignment): Checked {
  const store = storeOf(pve);
  if (move.key === 'rootfs' || move.targetKey === 'rootfs') die("Cannot move to/from 'rootfs'");
  if (isUnused(move.key) && !isUnused(move.targetKey)) die('Moving an unused volume to a used one is not possible');
  for (const vmid of [move.from, move.to]) if (!store.files.has(vmid)) die(`could not find CT ${vmid}`);
  const { config: source, digest } = store.load(move.from);
  const { config: target, digest: targetDigest } = store.load(move.to);
  checkLock(source);
  checkLock(target);
  if (isTemplate(source) || isTemplate(target)) die("Can't move volumes from or to template CT");
  prefixed(move.from, () => assertUnmodified(move.digest, digest));
  prefixed(move.to, () => assertUnmodified(move.targetDigest, targetDigest));
  const value = source.active.get(move.key);
  if (value === undefined) die(`volume '${move.key}' for container '${move.from}' does not exist`);
  if (target.active.has(move.targetKey)) {
    die(`Target volume key '${move.targetKey}' is already in use for container '${move.to}'`);
  }
  const mount = isUnused(move.key) ? undefined : parseMountPoint(move.key, value);
  const volid = mount?.volume ?? value;
  if (isInSnapshot(source, volid)) die('Cannot move volume used by a snapshot to another container');
  if (mount !== undefined && mount.kind !== 'volume') {
    die('Cannot move a bindmount or device mount to another container');
  }
  if (!pve.storage.hasFeature(volid, 'rename', false)) {
    die('Storage does not support moving of this disk to another container');
  }
  if (store.isRunning(move.from) && !isUnused(move.key)) {
    die('Cannot move in-use volume while the source CT is running - detach or shutdown first');
  }
  return { source, target, volid };
}

function prefixed(vmid: number, check: () => void): void {
  try {
    check();
  } catch (error) {
    die(`Container ${vmid}: ${perlText(error)}`);
  }
}

function isInSnapshot(config: GuestConfig, volid: string): boolean {
  return [...config.snapshots.values()].some((section) =>
    [...section.values()].some((value) => value.split(',')[0] === volid),
  );
}

async function attach(
  pve: FakePve,
  warn: (line: string) => void,
  move: Reassignment,
  target: GuestConfig,
  volume: { value: string; volid: string },
): Promise<void> {
  const store = storeOf(pve);
  if (isUnused(move.targetKey)) {
    target.active.set(move.targetKey, volume.volid);
    store.write(move.to, target);
    return;
  }
  const printed = printMountPoint(parseMountPoint(move.key, volume.value), { volume: volume.volid });
  const touched = stageChanges(pve, move.to, target, {
    set: new Map([[move.targetKey, printed]]),
    remove: [],
    revert: [],
  });
  const errors = store.isRunning(move.to)
    ? await hotplug(pve, move.to, target, touched)
    : await applyToStopped(pve, move.to, target, touched);
  for (const text of Object.values(errors)) warn(text.trimEnd());
  store.write(move.to, target);
  updateLxcConfig(pve, target);
}

// ---------------------------------------------------------------------------------------------- to another storage

function moveToStorage(call: Call, storage: string): Promise<string> {
  const { pve, who } = call;
  const store = storeOf(pve);
  const vmid = vmidOf(call);
  const key = text(call, 'volume') ?? '';
  const removeSource = flag(call, 'delete');
  pve.access.check(who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  if (!pve.storage.hasContent(storage, 'rootdir')) {
    paramError({ storage: `storage '${storage}' does not support container directories` });
  }
  return withLock(pve, vmid, async () => {
    const { config, digest } = store.load(vmid);
    checkLock(config);
    if (store.isRunning(vmid)) die('cannot move volumes of a running container');
    const mount = isUnused(key)
      ? parseMountPoint('rootfs', config.active.get(key))
      : parseMountPoint(key, config.active.get(key));
    if (removeSource && isInSnapshot(config, mount.volume)) {
      die("you can't move a volume with snapshots and delete the source");
    }
    assertUnmodified(text(call, 'digest'), digest);
    store.setLock(vmid, 'disk');
    return pve.tasks.fork(who, 'move_volume', `${vmid}`, async (task) => {
      try {
        pve.storage.activate(mount.volume.slice(0, mount.volume.indexOf(':')));
        const copy = await pve.storage.copy(task, mount.volume, storage, vmid);
        await task.work(pve.pace.restoreMs);
        await withLock(pve, vmid, async () => {
          const latest = store.load(vmid).config;
          latest.active.set(key, isUnused(key) ? copy.volid : printMountPoint(mount, { volume: copy.volid }));
          if (!removeSource) addUnused(latest, mount.volume);
          store.write(vmid, latest);
        });
        if (removeSource) await task.io(() => pve.storage.free(mount.volume));
      } finally {
        store.setLock(vmid, undefined);
      }
    });
  });
}
