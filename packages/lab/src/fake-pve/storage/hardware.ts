// The devices that storages lie on, and which of them are there at the moment.
//
// A `dir` storage belongs to whatever is mounted at its path. When the disk is gone and `is_mountpoint` is not set,
// Proxmox happily creates the directory on the root disk, and so does this: the path then resolves to the root device.

export interface Device {
  /** `root`, a label for a local disk, or `nfs:{server}:{export}`, `cifs:{server}/{share}`,
   * `pbs:{server}/{datastore}`, `lvm:{vg}/{thinpool}`, `zfs:{pool}`. */
  readonly id: string;
  readonly filesystem: 'ext4' | 'btrfs' | 'other';
  /** What `df` shows as total. */
  capacityBytes: number;
  /** Bytes taken by things that are not ours. */
  otherBytes: number;
  /** Network targets and pools that do not answer; local disks go by being unmounted. */
  online: boolean;
}

export type NewDevice = Pick<Device, 'id' | 'capacityBytes'> & Partial<Omit<Device, 'id' | 'capacityBytes'>>;

/** Where a path lies: the device and the path on it, `` or `/dir/…`. */
export interface Place {
  readonly device: Device;
  readonly path: string;
}

export const rootDeviceId = 'root';

export class Hardware {
  readonly #devices = new Map<string, Device>();
  /** Mount point → device id. */
  readonly #mounts = new Map<string, string>();

  constructor(rootCapacityBytes: number) {
    this.add({ id: rootDeviceId, capacityBytes: rootCapacityBytes });
    this.#mounts.set('/', rootDeviceId);
  }

  /** Adds or replaces a device. */
  add(device: NewDevice): Device {
    const added: Device = { filesystem: 'ext4', otherBytes: 0, online: true, ...device };
    this.#devices.set(device.id, added);
    return added;
  }

  device(id: string): Device | undefined {
    return this.#devices.get(id);
  }

  /** The device, when it exists and answers. */
  reachable(id: string): Device | undefined {
    const device = this.#devices.get(id);
    return device?.online === true ? device : undefined;
  }

  /** True when any device of a kind (`zfs`, `pbs`, …) exists: without one its tools are not installed. */
  hasKind(kind: string): boolean {
    return [...this.#devices.keys()].some((id) => id.startsWith(`${kind}:`));
  }

  /** Ids of the answering devices that start so, e.g. `nfs:10.0.0.5:`. */
  idsOf(prefix: string): readonly string[] {
    return [...this.#devices.values()].filter(({ id, online }) => online && id.startsWith(prefix)).map(({ id }) => id);
  }

  mount(path: string, deviceId: string): void {
    if (!this.#devices.has(deviceId)) throw new Error(`cannot mount ${deviceId} at ${path}: there is no such device`);
    this.#mounts.set(path, deviceId);
  }

  /** As when a USB disk is pulled and the mount goes with it. */
  unmount(path: string): void {
    if (path === '/') throw new Error('cannot unmount /: it is the root disk');
    this.#mounts.delete(path);
  }

  isMountPoint(path: string): boolean {
    return this.#mounts.has(trimmed(path));
  }

  /** The device below a path of the node. */
  place(path: string): Place {
    const wanted = trimmed(path);
    const under = (point: string) => point === '/' || wanted === point || wanted.startsWith(`${point}/`);
    const point = [...this.#mounts.keys()].filter(under).sort((a, b) => b.length - a.length)[0] ?? '/';
    const device = this.#devices.get(this.#mounts.get(point) ?? rootDeviceId);
    if (device === undefined) throw new Error(`cannot resolve ${path}: no device is mounted at ${point}`);
    return { device, path: point === '/' ? wanted.replace(/\/$/, '') : wanted.slice(point.length) };
  }
}

const trimmed = (path: string) => (path === '/' ? path : path.replace(/\/+$/, ''));
