/** Desired guests as the lab writes them. */
export interface LabGuest {
  readonly name: string;
  readonly golden: string;
  readonly hostname: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly rootfs: { readonly storage: string; readonly sizeGiB: number };
  readonly volumes: readonly {
    readonly name: string;
    readonly path: string;
    readonly storage: string;
    readonly sizeGiB: number;
    readonly backup: boolean;
  }[];
  readonly networks: readonly { readonly name: string; readonly bridge: string; readonly ipv4: 'dhcp' }[];
  readonly tags?: readonly string[];
  readonly power?: 'running' | 'stopped';
}

/** A guest with one volume that is backed up and one bulk volume that is not. */
export function labGuest(name: string, extra: Partial<LabGuest> = {}): LabGuest {
  return {
    name,
    golden: 'debian-13',
    hostname: name,
    cores: 1,
    memoryMiB: 512,
    rootfs: { storage: 'guests', sizeGiB: 2 },
    volumes: [
      { name: 'data', path: '/srv/data', storage: 'guests', sizeGiB: 1, backup: true },
      { name: 'photos', path: '/srv/photos', storage: 'bulk', sizeGiB: 4, backup: false },
    ],
    networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
    ...extra,
  };
}
