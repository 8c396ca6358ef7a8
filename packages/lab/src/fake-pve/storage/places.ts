// Where a storage lies, and whether it can be used. PVE: Storage.pm storage_check_enabled, activate_storage.
import { die } from '../core.ts';
import { expectedMountPoint, option, type Definition } from './definitions.ts';
import type { Device, Hardware } from './hardware.ts';
import type { StorageType } from './types.ts';

/** Directory on the disk where a storage keeps its things. */
export interface Location {
  readonly device: Device;
  /** Path for the disk port. */
  readonly base: string;
}

/** Ids of devices hold slashes and colons; one path segment of the disk port does not. */
const segment = (deviceId: string) => `/${encodeURIComponent(deviceId)}`;

const need = (definition: Definition, name: string) => option(definition, name) ?? '';

const deviceIds = {
  dir: () => undefined,
  btrfs: () => undefined,
  nfs: (one: Definition) => `nfs:${need(one, 'server')}:${need(one, 'export')}`,
  cifs: (one: Definition) => `cifs:${need(one, 'server')}/${need(one, 'share')}`,
  pbs: (one: Definition) => `pbs:${need(one, 'server')}/${need(one, 'datastore')}`,
  lvmthin: (one: Definition) => `lvm:${need(one, 'vgname')}/${need(one, 'thinpool')}`,
  zfspool: (one: Definition) => `zfs:${need(one, 'pool')}`,
} satisfies Record<StorageType, (definition: Definition) => string | undefined>;

/** Path of the storage as the node shows it in logs and attributes. */
export function shownPath(definition: Definition): string {
  const paths = {
    dir: () => need(definition, 'path'),
    btrfs: () => need(definition, 'path'),
    nfs: () => option(definition, 'path') ?? `/mnt/pve/${definition.storage}`,
    cifs: () => option(definition, 'path') ?? `/mnt/pve/${definition.storage}`,
    pbs: () => definition.storage,
    lvmthin: () => `/dev/${need(definition, 'vgname')}`,
    zfspool: () => option(definition, 'mountpoint') ?? `/${need(definition, 'pool')}`,
  } satisfies Record<StorageType, () => string>;
  return paths[definition.type]().replace(/(.)\/+$/, '$1');
}

/** Undefined when the device behind it does not exist or does not answer. */
export function locate(definition: Definition, hardware: Hardware): Location | undefined {
  const id = deviceIds[definition.type](definition);
  if (id === undefined) {
    const place = hardware.place(shownPath(definition));
    return place.device.online ? { device: place.device, base: segment(place.device.id) + place.path } : undefined;
  }
  const device = hardware.reachable(id);
  const inside = option(definition, 'subdir') ?? `/${option(definition, 'namespace') ?? ''}`;
  return device && { device, base: (segment(id) + inside).replace(/\/+$/, '') };
}

/** Throws when the storage is not known, disabled or not for this node, in the words of Proxmox. */
export function checkEnabled(definition: Definition, node: string): void {
  if (option(definition, 'disable') === '1') die(`storage '${definition.storage}' is disabled`);
  if (!servesNode(definition, node)) die(`storage '${definition.storage}' is not available on node '${node}'`);
}

export function servesNode(definition: Definition, node: string): boolean {
  const nodes = option(definition, 'nodes');
  return nodes === undefined || nodes.split(/[,;\s]+/).includes(node);
}

/** Throws when the backend cannot be used. */
export function activatePlugin(definition: Definition, hardware: Hardware): void {
  const { storage } = definition;
  const directory = () => {
    const point = expectedMountPoint(definition);
    if (point !== undefined && !hardware.isMountPoint(point)) {
      die(
        `unable to activate storage '${storage}' - directory is expected to be a mount point but is not mounted: '${point}'`,
      );
    }
  };
  const answers = () => {
    if (locate(definition, hardware) === undefined) die(`storage '${storage}' is not online`);
  };
  const checks = {
    dir: directory,
    btrfs: () => {
      directory();
      const path = shownPath(definition);
      if (hardware.place(path).device.filesystem !== 'btrfs') die(`'${path}' is not a btrfs file system`);
    },
    nfs: answers,
    cifs: answers,
    pbs: () => {
      if (locate(definition, hardware) !== undefined) return;
      const host = `${need(definition, 'server')}:${option(definition, 'port') ?? '8007'}`;
      die(`${storage}: error fetching datastores - 500 Can't connect to ${host} (Connection refused)`);
    },
    lvmthin: () => {
      if (locate(definition, hardware) !== undefined) return;
      die(`no such logical volume ${need(definition, 'vgname')}/${need(definition, 'thinpool')}`);
    },
    zfspool: () => {
      if (locate(definition, hardware) !== undefined) return;
      const pool = need(definition, 'pool').split('/')[0] ?? '';
      // Without any pool the node has no ZFS tools, as the recorded one had not.
      const why = hardware.hasKind('zfs')
        ? `cannot import '${pool}': no such pool available`
        : `open3: exec of zpool import -d /dev/disk/by-id/ -o cachefile=none ${pool} failed: No such file or directory at /usr/share/perl5/PVE/Cmd.pm line 174.`;
      die(`could not activate storage '${storage}', zfs error: ${why}\n\n`);
    },
  } satisfies Record<StorageType, () => void>;
  checks[definition.type]();
}
