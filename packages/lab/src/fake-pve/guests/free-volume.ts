// Removing a volume's data, and what keeps Proxmox from doing so.
import type { FakePve } from '../core.ts';
import { die } from '../core.ts';
import { storeOf } from './store.ts';

/** Where the volume is a device or dataset that the kernel does not let go while something is mounted from it. */
const BUSY: Readonly<Record<string, (name: string) => string>> = {
  lvmthin: (name) => `lvremove '${name}' error:   Logical volume ${name} contains a filesystem in use.`,
  lvm: (name) => `lvremove '${name}' error:   Logical volume ${name} contains a filesystem in use.`,
  zfspool: (name) => `zfs error: cannot destroy '${name}': dataset is busy`,
};

/** A tree that a killed worker left mounted holds its volumes until somebody unmounts it; plain files do not care. */
export async function freeVolume(pve: FakePve, volid: string): Promise<void> {
  const storage = volid.slice(0, volid.indexOf(':'));
  const busy = pve.storage.exists(storage) ? BUSY[pve.storage.type(storage)] : undefined;
  const mounted = [...storeOf(pve).mounts.values()].some((tree) => [...tree.values()].includes(volid));
  if (busy !== undefined && mounted) die(busy(volid.slice(storage.length + 1)));
  await pve.storage.free(volid);
}

/** A volume of another guest is only forgotten. PVE: LXC.pm delete_mountpoint_volume. */
export async function freeOwned(pve: FakePve, vmid: number, volid: string): Promise<void> {
  if (volid.startsWith('/')) return;
  const storage = volid.slice(0, volid.indexOf(':'));
  if (!pve.storage.exists(storage)) die(`storage '${storage}' does not exist`);
  if (pve.storage.parse(volid)?.vmid === vmid) await freeVolume(pve, volid);
}
