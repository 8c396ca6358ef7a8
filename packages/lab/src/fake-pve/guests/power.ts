// Starting and stopping containers. PVE: LXC.pm vm_start, vm_stop; API2/LXC/Status.pm.
import type { Call, FakePve, Identity, Task } from '../core.ts';
import { die, paramError } from '../core.ts';
import { applyPendingAtBoundary, updateLxcConfig } from './apply-changes.ts';
import { mountKeysOf } from './config-file.ts';
import { LOCK_TIMEOUT_SECONDS, withLock } from './guest-lock.ts';
import { isTrue, parseMountPoint } from './property-string.ts';
import { checkLock, flag, isTemplate, number, storeOf, vmidOf } from './store.ts';

const DEFAULT_SHUTDOWN_SECONDS = 60;

/** Where the work of an operation takes its time: a task, or the caller's own clock. */
type Work = (ms: number) => Promise<void>;

/** Starts the container; throws what a vzstart task reports. The caller holds the config flock. */
export async function bringUp(pve: FakePve, vmid: number, work: Work, log: (line: string) => void): Promise<void> {
  const store = storeOf(pve);
  await applyPendingAtBoundary(pve, vmid);
  const { config } = store.load(vmid);
  updateLxcConfig(pve, config);
  activateVolumes(pve, config.active);
  await work(pve.pace.startMs);
  const quotaRefused =
    isTrue(config.active.get('unprivileged')) &&
    mountKeysOf(config.active).some((key) => isTrue(parseMountPoint(key, config.active.get(key)).options.get('quota')));
  if (quotaRefused || store.initOf(vmid, config) === 'cannot-be-executed') {
    log('sync_wait: 34 An error occurred in another process (expected sequence number 7)');
    log(`__lxc_start: 2107 Failed to spawn container "${vmid}"`);
    die(`startup for container '${vmid}' failed`);
  }
  store.running.set(vmid, { pid: 1000 + pve.random.int(30_000), since: pve.clock.now() });
  await store.tellPower({ vmid, is: 'up' });
}

/** Every storage first, then every volume. PVE: Storage.pm activate_volumes. */
function activateVolumes(pve: FakePve, section: ReadonlyMap<string, string>): void {
  const volumes = mountKeysOf(section)
    .map((key) => parseMountPoint(key, section.get(key)))
    .filter((mount) => mount.kind === 'volume')
    .map((mount) => mount.volume);
  for (const storage of new Set(volumes.map((volid) => volid.slice(0, volid.indexOf(':'))))) {
    if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
    pve.storage.activate(storage);
  }
  for (const volid of volumes) if (pve.storage.volume(volid) === undefined) die(`volume '${volid}' does not exist`);
}

/** A hard stop. */
export async function takeDown(pve: FakePve, vmid: number, work: Work): Promise<void> {
  await work(pve.pace.stopMs);
  const store = storeOf(pve);
  if (store.running.delete(vmid)) await store.tellPower({ vmid, is: 'down' });
  await applyPendingAtBoundary(pve, vmid);
}

interface Shutdown {
  readonly timeoutSeconds: number;
  readonly force: boolean;
}

/** Asks init to halt; one that does not listen costs the whole timeout. */
async function shutDown(pve: FakePve, task: Task, vmid: number, how: Shutdown): Promise<void> {
  const store = storeOf(pve);
  if (store.initOf(vmid, store.load(vmid).config) === 'ignores-halt') {
    await task.work(how.timeoutSeconds * 1000);
    if (!how.force) {
      task.log(`command 'lxc-stop -n ${vmid} --nokill --timeout ${how.timeoutSeconds}' failed: exit code 1`);
      die('container did not stop');
    }
  }
  await takeDown(pve, vmid, (ms) => task.work(ms));
}

/** `mounted` is the one lock that does not keep a guest from starting and stopping. */
function checkPowerLock(pve: FakePve, vmid: number, skip: boolean): void {
  const { config } = storeOf(pve).load(vmid);
  if (!skip && config.active.get('lock') !== 'mounted') checkLock(config);
}

function skipsLock(call: Call): boolean {
  if (!flag(call, 'skiplock')) return false;
  if (!call.pve.access.isRoot(call.who)) paramError({ skiplock: 'Only root may use this option.' });
  return true;
}

function requireRunning(call: Call, kind: 'CT' | 'VM'): void {
  const vmid = vmidOf(call);
  if (!storeOf(call.pve).isRunning(vmid)) die(`${kind} ${vmid} not running`);
}

export function start(call: Call): string {
  const skip = skipsLock(call);
  const vmid = vmidOf(call);
  if (storeOf(call.pve).isRunning(vmid)) die(`CT ${vmid} already running`);
  return forkStart(call.pve, call.who, vmid, skip);
}

/** Also what `start=1` of a restore or rollback does after its own task succeeded: nobody waits for this one. */
export function forkStart(pve: FakePve, who: Identity, vmid: number, skipLock = false): string {
  return pve.tasks.fork(who, 'vzstart', `${vmid}`, (task) =>
    withLock(pve, vmid, async () => {
      const store = storeOf(pve);
      const { config } = store.load(vmid);
      if (isTemplate(config)) die("you can't start a CT if it's a template");
      checkPowerLock(pve, vmid, skipLock);
      if (store.isRunning(vmid)) {
        // lxc-start over a running container: its monitor socket never answers.
        await task.work(LOCK_TIMEOUT_SECONDS * 1000);
        task.log('problem with monitor socket, but continuing anyway: got timeout');
        task.log('');
        return;
      }
      await bringUp(
        pve,
        vmid,
        (ms) => task.work(ms),
        (line) => task.log(line),
      );
    }),
  );
}

export function stop(call: Call): string {
  const { pve } = call;
  const skip = skipsLock(call);
  requireRunning(call, 'CT');
  const vmid = vmidOf(call);
  const overrule = flag(call, 'overrule-shutdown');
  return pve.tasks.fork(call.who, 'vzstop', `${vmid}`, async (task) => {
    if (overrule) {
      for (const other of pve.tasks.running()) {
        if (other.type === 'vzshutdown' && other.id === `${vmid}`) pve.tasks.kill(other.upid);
      }
    }
    await withLock(pve, vmid, async () => {
      checkPowerLock(pve, vmid, skip);
      await takeDown(pve, vmid, (ms) => task.work(ms));
    });
  });
}

export function shutdown(call: Call): string {
  const { pve } = call;
  requireRunning(call, 'CT');
  const vmid = vmidOf(call);
  const how = { timeoutSeconds: number(call, 'timeout') ?? DEFAULT_SHUTDOWN_SECONDS, force: flag(call, 'forceStop') };
  return pve.tasks.fork(call.who, 'vzshutdown', `${vmid}`, (task) =>
    withLock(pve, vmid, async () => {
      checkPowerLock(pve, vmid, false);
      await shutDown(pve, task, vmid, how);
    }),
  );
}

export function reboot(call: Call): string {
  const { pve } = call;
  requireRunning(call, 'VM');
  const vmid = vmidOf(call);
  const how = { timeoutSeconds: number(call, 'timeout') ?? DEFAULT_SHUTDOWN_SECONDS, force: false };
  return pve.tasks.fork(call.who, 'vzreboot', `${vmid}`, (task) =>
    withLock(pve, vmid, async () => {
      checkPowerLock(pve, vmid, false);
      await shutDown(pve, task, vmid, how);
      await bringUp(
        pve,
        vmid,
        (ms) => task.work(ms),
        (line) => task.log(line),
      );
    }),
  );
}

/** Checkpointing a container is experimental in Proxmox and fails on ordinary guests, as it does here. */
export function suspend(call: Call): string {
  requireRunning(call, 'CT');
  const vmid = vmidOf(call);
  return call.pve.tasks.fork(call.who, 'vzsuspend', `${vmid}`, async (task) => {
    await task.work(call.pve.pace.stopMs);
    die(`command 'lxc-checkpoint -n ${vmid} -s -D /var/lib/vz/dump' failed: exit code 1`);
  });
}

export function resume(call: Call): string {
  const vmid = vmidOf(call);
  if (storeOf(call.pve).isRunning(vmid)) die(`CT ${vmid} already running`);
  return call.pve.tasks.fork(call.who, 'vzresume', `${vmid}`, async (task) => {
    await task.work(call.pve.pace.startMs);
    die(`command 'lxc-checkpoint -n ${vmid} -r --foreground -D /var/lib/vz/dump' failed: exit code 1`);
  });
}
