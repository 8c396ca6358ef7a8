// DELETE /nodes/{node}/lxc/{vmid}. PVE: API2/LXC.pm destroy_vm, LXC.pm destroy_lxc_container.
import type { Call, FakePve, GuestConfig, Task } from '../core.ts';
import { die, perlText } from '../core.ts';
import { emptyConfig, mountKeysOf, unusedKeysOf } from './config-file.ts';
import { freeOwned, freeVolume } from './free-volume.ts';
import { gap, withLock } from './guest-lock.ts';
import { parseMountPoint } from './property-string.ts';
import { takeDown } from './power.ts';
import { checkLock, checkProtection, flag, storeOf, vmidOf } from './store.ts';

export function destroy(call: Call): string {
  const { pve } = call;
  const vmid = vmidOf(call);
  const store = storeOf(pve);
  const force = flag(call, 'force');
  const purge = flag(call, 'purge');
  const unreferenced = flag(call, 'destroy-unreferenced-disks');
  const running = `unable to destroy CT ${vmid} - container is running`;
  const check = (): GuestConfig => {
    const { config } = store.load(vmid);
    checkProtection(config, `can't remove CT ${vmid}`);
    checkLock(config);
    return config;
  };
  check();
  if (!force && store.isRunning(vmid)) die(running);
  return pve.tasks.fork(call.who, 'vzdestroy', `${vmid}`, (task) =>
    withLock(pve, vmid, async () => {
      const config = check();
      if (store.isRunning(vmid)) {
        if (!force) die(running);
        task.log(`forced to stop CT ${vmid} before destroying!`);
        await takeDown(pve, vmid, (ms) => task.work(ms));
      }
      await freeEverythingOf(pve, task, vmid, config);
      if (unreferenced) {
        for (const { volid } of pve.storage.volumesOf(vmid)) {
          await task.io(() => freeVolume(pve, volid)).catch((error: unknown) => task.log(perlText(error)));
        }
      }
      const stub = emptyConfig();
      stub.active.set('lock', 'destroyed');
      store.write(vmid, stub);
      pve.access.forgetGuest(vmid);
      store.firewalls.delete(vmid);
      if (purge) task.log(`purging CT ${vmid} from related configurations..`);
      await gap(task);
      store.remove(vmid);
    }),
  );
}

/**
 * Frees the volumes that the config names, mount points first, then unused ones; those of other guests stay. An
 * unreachable storage ends it half-way: what is freed is gone, the config stays.
 */
export async function freeEverythingOf(pve: FakePve, task: Task, vmid: number, config: GuestConfig): Promise<void> {
  for (const volid of volumesNamedIn(config)) {
    await task.io(() => freeOwned(pve, vmid, volid));
    await gap(task);
  }
}

function volumesNamedIn(config: GuestConfig): Set<string> {
  const volumes = new Set<string>();
  for (const section of [config.active, config.pending, ...config.snapshots.values()]) {
    for (const key of mountKeysOf(section)) volumes.add(parseMountPoint(key, section.get(key)).volume);
    for (const key of unusedKeysOf(section)) volumes.add(section.get(key) ?? '');
  }
  // What is only ordered (`store:8` in the pending section) does not exist yet.
  return new Set([...volumes].filter((volid) => !/^[^:]+:\d+(\.\d+)?$/.test(volid)));
}
