/**
 * What a host tells of itself, behind ports. Looking is cheap and changes nothing; every part is `undefined` where the
 * host does not tell it, which is never the same as zero.
 */
import type { Outcome } from '../kernel/saga.ts';

/** Read from the kernel's own files, so it costs no process. Bytes, unless a name says otherwise. */
export interface HostSample {
  readonly uptimeSeconds: number | undefined;
  /** Ticks of all processors since boot; a share is the difference of two samples. */
  readonly cpu: { readonly busy: number; readonly total: number; readonly processors: number } | undefined;
  readonly load1: number | undefined;
  /** What could be given to others at once counts as free, the cache of ZFS with it. */
  readonly memory: Use | undefined;
  /** Of the file system that `/` is on; what is kept for root counts as used. */
  readonly rootDisk: Use | undefined;
  /** Percent of the last minute in which something waited (`some avg60`); absent where the kernel has no PSI. */
  readonly pressure: { readonly cpu: number; readonly memory: number; readonly io: number } | undefined;
  /** Degrees Celsius of the hottest sensor. */
  readonly hottestC: number | undefined;
}

export interface Use {
  readonly usedBytes: number;
  readonly totalBytes: number;
}

/** One unit as `systemctl show` tells it. */
export interface UnitState {
  readonly unit: string;
  /** `not-found`: this host has none. */
  readonly load: string;
  /** `active`, `activating`, `reloading`, `deactivating`, `inactive`, `failed`. */
  readonly active: string;
  /** `enabled`, `static`, `disabled` …; empty for a unit without a file. */
  readonly file: string;
  /** By systemd itself, since the unit was last started by somebody. */
  readonly restarts: number;
  /** How it ended last: `success`, `exit-code`, `oom-kill` … */
  readonly result: string;
  /** Something waits to be done with it; of `shutdown.target`: the host goes down. */
  readonly job: boolean;
}

export interface HostFacts {
  sample(signal: AbortSignal): Promise<HostSample>;
  units(names: readonly string[], signal: AbortSignal): Promise<Outcome<readonly UnitState[]>>;
  /** Whether the kernel holds its clock for synchronised (`NTPSynchronized`), whichever daemon sees to it. */
  clockSynchronised(signal: AbortSignal): Promise<Outcome<boolean>>;
  /** `IPAddressAllow` of a unit beside the addresses of this host. */
  fence(unit: string, signal: AbortSignal): Promise<Outcome<Fence>>;
  /** What waits for a restart of the host: a newer kernel, or what a package asked for. `undefined`: nothing. */
  rebootPending(signal: AbortSignal): Promise<Outcome<string | undefined>>;
}

/** What a unit may reach by address, and what this host is reached at. */
export interface Fence {
  /** Networks, CIDR. */
  readonly allowed: readonly string[];
  /** Addresses of this host, loopback left out. */
  readonly own: readonly string[];
}

/** One row of `GET /nodes/{n}/disks/list`; what Proxmox does not know it calls `unknown`. */
export interface DiskRow {
  /** As the kernel names it now, e.g. `sda`. */
  readonly device: string;
  readonly model: string;
  readonly serial: string;
  readonly health: 'passed' | 'failed' | 'unknown';
  /** Percent of an SSD's life that is used up. */
  readonly wornPercent: number | undefined;
}

/** A pool that guests' volumes lie on; parts that nobody tells are absent. */
export type PoolRow =
  | {
      readonly is: 'zfs';
      readonly name: string;
      /** `ONLINE`, `DEGRADED`, `FAULTED`, `SUSPENDED` … as ZFS says. */
      readonly health: string;
      readonly usedPercent?: number | undefined;
      /** What `zpool status` says of lost data: `No known data errors` where there are none. */
      readonly errors?: string | undefined;
    }
  | {
      readonly is: 'lvm-thin';
      /** `<volume group>/<pool>`. */
      readonly name: string;
      readonly usedPercent: number;
      readonly metadataPercent: number;
    };

export interface NodePools {
  /** None where there is none. Details need Sys.Audit on `/`; without it only what the kernel tells anybody is told. */
  pools(signal: AbortSignal): Promise<readonly PoolRow[]>;
}

/** Asks every disk with smartctl, which may wake one that sleeps: a few times per day, not more. */
export interface NodeDisks {
  /** Needs Sys.Audit on the node. */
  disks(signal: AbortSignal): Promise<Outcome<readonly DiskRow[]>>;
}

/** When what the agent logs in with ends; absent: never, or nobody tells it. Seconds since the epoch. */
export interface TokenLife {
  /** Whether Proxmox told it at all: a token with few rights may not see it. */
  readonly told: boolean;
  readonly endsAtSeconds: number | undefined;
}

export interface NodeLogin {
  tokenLife(signal: AbortSignal): Promise<Outcome<TokenLife>>;
}
