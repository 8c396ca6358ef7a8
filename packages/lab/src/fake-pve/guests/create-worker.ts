// The vzcreate and vzrestore worker: allocate, destroy what is overwritten, mount, unpack, merge, write. Killed in
// between it leaves the `lock: create` stub, the volumes and the mounts; failing or aborted it cleans up after itself.
// PVE: API2/LXC.pm create_vm (worker part), LXC/Create.pm.
import type { Call, FakePve, GuestConfig, Identity, Task } from '../core.ts';
import { die, perlText } from '../core.ts';
import { emptyConfig, mountKeysOf, netKeysOf, parseConfig } from './config-file.ts';
import type { CreateOrder } from './create-request.ts';
import { prepareCreate } from './create-request.ts';
import { freeEverythingOf } from './destroy.ts';
import { gap, withLock } from './guest-lock.ts';
import { mergeArchive, mountsFromArchive } from './merge-archive.ts';
import { checkBridge } from './permissions.ts';
import { forkStart } from './power.ts';
import { gibToKiB, isTrue, newDiskOf, parseMountPoint, printMountPoint } from './property-string.ts';
import { storeOf } from './store.ts';

export async function createGuest(call: Call): Promise<string> {
  const order = await prepareCreate(call);
  const { pve, who } = call;
  const type = order.restore ? 'vzrestore' : 'vzcreate';
  return pve.tasks.fork(who, type, `${order.vmid}`, async (task) => {
    const progress = { overwritten: false };
    try {
      await withLock(pve, order.vmid, () => perform(pve, who, task, order, progress));
    } catch (error) {
      // The guest that was to be overwritten is still whole: it only gets its lock back.
      if (order.existed && !progress.overwritten) storeOf(pve).setLock(order.vmid, undefined);
      throw error;
    }
    if (order.start) forkStart(pve, who, order.vmid);
  });
}

/** What a worker has made so far, to be taken back when it fails. */
interface Made {
  readonly volumes: string[];
}

async function perform(
  pve: FakePve,
  who: Identity,
  task: Task,
  order: CreateOrder,
  progress: { overwritten: boolean },
): Promise<void> {
  const store = storeOf(pve);
  const made: Made = { volumes: [] };
  try {
    const config = await build(pve, who, task, order, made, progress);
    store.write(order.vmid, config);
  } catch (error) {
    for (const volid of made.volumes) await pve.storage.free(volid).catch((why: unknown) => task.log(perlText(why)));
    if (!order.existed || progress.overwritten) store.remove(order.vmid);
    die(`unable to ${order.restore ? 'restore' : 'create'} CT ${order.vmid} - ${perlText(error)}`);
  }
  await gap(task);
  if (order.pool !== undefined) pve.access.addGuestToPool(order.vmid, order.pool);
}

async function build(
  pve: FakePve,
  who: Identity,
  task: Task,
  order: CreateOrder,
  made: Made,
  progress: { overwritten: boolean },
): Promise<GuestConfig> {
  const store = storeOf(pve);
  const { vmid, config } = order;
  const isRoot = pve.access.isRoot(who);
  const old = store.load(vmid).config;
  let unprivileged = order.unprivileged;
  let archived: GuestConfig | undefined;
  if (order.restore) {
    if (store.isRunning(vmid)) die("can't overwrite running container");
    task.log(`recovering backed-up configuration from '${order.archive}'`);
    await gap(task);
    archived = parseConfig(await task.io(() => pve.storage.archivedConfig(order.archive)));
    for (const key of netKeysOf(archived.active)) {
      if (!config.active.has(key)) checkBridge(pve, who, archived.active.get(key) ?? '');
    }
    unprivileged ??= isTrue(archived.active.get('unprivileged'));
  }
  if (unprivileged === true) config.active.set('unprivileged', '1');
  else pve.access.check(who, '/', ['Sys.Modify']);

  const plan =
    order.mounts === undefined
      ? mountsFromArchive(archived ?? emptyConfig(), order.storage, isRoot)
      : explicitMounts(order.mounts);
  await allocate(pve, task, vmid, plan.now, config, made);
  if (order.existed) {
    // From here on the old guest is gone, data volumes without backup included.
    await freeEverythingOf(pve, task, vmid, old);
    const stub = emptyConfig();
    stub.active.set('lock', 'create');
    store.write(vmid, stub);
    progress.overwritten = true;
    await gap(task);
  }
  const tree = await unpack(pve, task, order, config, unprivileged === true);
  if (order.restore) {
    task.log('merging backed-up and given configuration..');
    await gap(task);
    finishRestore(pve, who, task, order, tree);
  } else {
    task.log('Detected container architecture: amd64');
    if (!config.active.has('arch')) config.active.set('arch', 'amd64');
    if (!config.active.has('ostype')) config.active.set('ostype', ostypeOf(order.archive));
  }
  for (const [key, value] of DEFAULTS(vmid)) if (!config.active.has(key)) config.active.set(key, value);
  for (const [key, value] of plan.later) config.active.set(key, value);
  if (archived !== undefined && isTrue(archived.active.get('template'))) config.active.set('template', '1');
  return config;
}

const DEFAULTS = (vmid: number): readonly (readonly [string, string])[] => [
  ['hostname', `CT${vmid}`],
  ['memory', '512'],
  ['swap', '512'],
];

function explicitMounts(mounts: ReadonlyMap<string, string>): { now: Map<string, string>; later: Map<string, string> } {
  const isVolume = ([key, value]: [string, string]): boolean => parseMountPoint(key, value).kind === 'volume';
  return {
    now: new Map([...mounts].filter(isVolume)),
    later: new Map([...mounts].filter((entry) => !isVolume(entry))),
  };
}

async function allocate(
  pve: FakePve,
  task: Task,
  vmid: number,
  mounts: ReadonlyMap<string, string>,
  config: GuestConfig,
  made: Made,
): Promise<void> {
  for (const key of mountKeysOf(mounts)) {
    const mount = parseMountPoint(key, mounts.get(key));
    const fresh = newDiskOf(mount.volume);
    if (fresh === undefined) {
      const existing = pve.storage.volume(mount.volume);
      if (existing === undefined) die(`volume '${mount.volume}' does not exist`);
      config.active.set(key, printMountPoint(mount, { sizeBytes: existing.sizeBytes }));
      continue;
    }
    const volume = await pve.storage.allocate(task, fresh.storage, vmid, gibToKiB(fresh.gib));
    made.volumes.push(volume.volid);
    config.active.set(key, printMountPoint(mount, { volume: volume.volid, sizeBytes: volume.sizeBytes }));
  }
}

/** Mounts the new volumes, unpacks over them and unmounts; a worker that is killed leaves them mounted. */
async function unpack(
  pve: FakePve,
  task: Task,
  order: CreateOrder,
  config: GuestConfig,
  unprivileged: boolean,
): Promise<{ config: string; firewall?: string }> {
  const store = storeOf(pve);
  const mounts = new Map(
    mountKeysOf(config.active).map((key) => {
      const mount = parseMountPoint(key, config.active.get(key));
      return [mount.path, mount.volume] as const;
    }),
  );
  store.mounts.set(order.vmid, mounts);
  try {
    await gap(task);
    if (order.restore) task.log(`restoring '${order.archive}' now..`);
    // Looking whether the template is an OCI image already notices that it is missing; the real failure follows.
    else if (pve.storage.archive(order.archive) === undefined) task.log(`volume '${order.archive}' does not exist`);
    const bwlimitKiB = order.bwlimit === undefined || order.bwlimit <= 0 ? {} : { bwlimitKiB: order.bwlimit };
    return await pve.storage.unpack(task, order.archive, mounts, { unprivileged, ...bwlimitKiB });
  } finally {
    store.mounts.delete(order.vmid);
  }
}

/**
 * What is merged is the config in the unpacked tree, where of two members of that name the first stays; it need not be
 * the one that the mounts were planned by.
 */
function finishRestore(
  pve: FakePve,
  who: Identity,
  task: Task,
  order: CreateOrder,
  tree: { config: string; firewall?: string },
): void {
  const notes = mergeArchive(order.config, parseConfig(tree.config), {
    restricted: !pve.access.isRoot(who),
    unique: order.unique,
    random: pve.random,
    checkBridge: (network) => checkBridge(pve, who, network),
  });
  for (const line of notes.log) task.log(line);
  const [first, ...rest] = notes.warning;
  if (first !== undefined) task.warn(first);
  for (const line of rest) task.log(line);
  if (tree.firewall !== undefined && !order.skipFirewall) storeOf(pve).firewalls.set(order.vmid, tree.firewall);
}

const OSTYPES = ['debian', 'devuan', 'ubuntu', 'centos', 'fedora', 'opensuse', 'archlinux', 'gentoo', 'nixos'];

/** By the name of the template; the lab's own base image is Alpine. */
function ostypeOf(template: string): string {
  return OSTYPES.find((name) => template.includes(name)) ?? 'alpine';
}
