// The guests room as the other rooms of the node use it: reading guests, locking them for a backup, power, reboot.
import type { FakePve, GuestsRoom } from '../core.ts';
import { archivedText, mountKeysOf } from './config-file.ts';
import { bringUp, takeDown } from './power.ts';
import { parseMountPoint, parseProperties } from './property-string.ts';
import { rowOf } from './status.ts';
import type { GuestTraits, InnerGuests, PowerSource } from './store.ts';
import { GuestStore, isTemplate } from './store.ts';

/** A guest as people have it; `bench` in the recordings is different, see GuestTraits. */
export const ordinaryTraits: GuestTraits = { hotplug: 'works', addresses: 'configured' };
/** Guests as on the machine where the recordings were made. */
export const benchTraits: GuestTraits = { hotplug: 'fails-on-the-bench', addresses: 'none' };

/** `pve` may still be under construction: nothing of it but its name is used before the first call. */
export function createGuestsRoom(
  pve: FakePve,
  traits: GuestTraits = ordinaryTraits,
): GuestsRoom & InnerGuests & PowerSource {
  const store = new GuestStore(pve.name, { ...traits });
  const work = (ms: number): Promise<void> => pve.clock.sleep(ms);
  return {
    inside: store,
    ids: () => [...store.files.keys()].toSorted((left, right) => left - right),
    exists: (vmid) => store.files.has(vmid),
    config: (vmid) => store.load(vmid).config,
    isRunning: (vmid) => store.isRunning(vmid),
    row: (vmid) => rowOf(pve, vmid),
    setLock: (vmid, lock) => store.setLock(vmid, lock),
    setBackupSnapshot: (vmid, state) => setBackupSnapshot(pve, store, vmid, state),
    backupVolumes: (vmid) => backupVolumes(store, vmid),
    serialize: (vmid) => archivedText(store.load(vmid).config),
    firewall: (vmid) => store.firewalls.get(vmid),
    stop: (vmid) => takeDown(pve, vmid, work),
    start: (vmid) => bringUp(pve, vmid, work, () => undefined),
    reboot: () => reboot(pve, store),
    onPower: (listener) => {
      store.powerListeners.add(listener);
      return () => void store.powerListeners.delete(listener);
    },
  };
}

function setBackupSnapshot(
  pve: FakePve,
  store: GuestStore,
  vmid: number,
  state: 'prepare' | 'taken' | undefined,
): void {
  const { config } = store.load(vmid);
  if (state === undefined) config.snapshots.delete('vzdump');
  else
    config.snapshots.set(
      'vzdump',
      new Map([
        ...[...config.active].filter(([key]) => !/^(lock|description|unused\d+)$/.test(key)),
        ['description', 'vzdump backup snapshot'],
        ['snaptime', `${Math.floor(pve.clock.now() / 1000)}`],
        ...(state === 'prepare' ? [['snapstate', state] as const] : []),
      ]),
    );
  store.write(vmid, config);
}

/** `why` and `path` as vzdump logs them; rootfs is always in, another volume only with `backup=1`. */
function backupVolumes(store: GuestStore, vmid: number): ReturnType<GuestsRoom['backupVolumes']> {
  const { active } = store.load(vmid).config;
  const included = new Map<string, string>();
  const excluded: { path: string; why: string; key: string; kind: string }[] = [];
  for (const key of mountKeysOf(active)) {
    const mount = parseMountPoint(key, active.get(key));
    if (mount.kind === 'volume' && mount.backup) included.set(mount.path, mount.volume);
    else {
      const why = mount.kind === 'volume' ? 'disabled' : 'not a volume';
      excluded.push({ path: mount.path, why, key, kind: mount.kind });
    }
  }
  return { included, excluded };
}

/** A guest that does not come up by itself is simply down, as after a real boot. */
const ignored = (): undefined => undefined;

/**
 * Everything stops and nothing stays mounted; stale backup locks go, then onboot guests start in their startup order.
 * One that cannot start stays down.
 */
async function reboot(pve: FakePve, store: GuestStore): Promise<void> {
  const wereUp = [...store.running.keys()];
  store.running.clear();
  store.mounts.clear();
  for (const vmid of wereUp) await store.tellPower({ vmid, is: 'down' });
  const onboot: { vmid: number; order: number }[] = [];
  for (const vmid of [...store.files.keys()].toSorted((left, right) => left - right)) {
    const { active } = store.load(vmid).config;
    if (active.get('lock') === 'backup') store.setLock(vmid, undefined);
    const { config } = store.load(vmid);
    if (active.get('onboot') !== '1' || isTemplate(config) || config.active.has('lock')) continue;
    const order = parseProperties(active.get('startup') ?? '', 'order').get('order');
    onboot.push({ vmid, order: order === undefined ? Number.MAX_SAFE_INTEGER : Number(order) });
  }
  for (const { vmid } of onboot.toSorted((left, right) => left.order - right.order)) {
    await bringUp(pve, vmid, (ms) => pve.clock.sleep(ms), ignored).catch(ignored);
  }
}
