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
    readonly ownBackup?:
      { readonly is: 'controller'; readonly target: string } | { readonly is: 'none'; readonly acknowledged: true };
  }[];
  readonly networks: readonly { readonly name: string; readonly bridge: string; readonly ipv4: 'dhcp' }[];
  readonly tags?: readonly string[];
  readonly power?: 'running' | 'stopped';
  readonly controller?: { readonly role: string; readonly config?: Readonly<Record<string, string>> };
  readonly backup?: { readonly tiers?: readonly string[]; readonly appConsistent?: boolean };
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

/** The same with a controller in it, and somebody has decided about its bulk. */
export function livingGuest(name: string, extra: Partial<LabGuest> = {}): LabGuest {
  const plain = labGuest(name);
  const volumes = plain.volumes.map((volume) =>
    volume.backup ? volume : { ...volume, ownBackup: { is: 'none', acknowledged: true } as const },
  );
  return { ...plain, volumes, controller: { role: 'controller' }, ...extra };
}

export interface LabTier {
  readonly name: string;
  readonly target: string;
  readonly schedule: string;
  readonly keep: { readonly days: number; readonly weeks: number };
  readonly restoreTestEveryDays?: number;
}

/** Due once an hour, the first time within seconds: right away for whoever is watching. `now` is wall time. */
export function dueNow(name: string, target: string, now: number): LabTier {
  const [, minutes, seconds] = new Date(now + 1_000).toISOString().slice(11, 19).split(':');
  return { name, target, schedule: `*-*-* *:${minutes}:${seconds} UTC`, keep: { days: 7, weeks: 4 } };
}
