/**
 * What the agent needs of Proxmox VE, as small ports named by need. One adapter (`adapters/pve-http`) serves them all.
 *
 * Every answer is an `Outcome`: `refused` is proven (the world is as before), `unknown` is everything else (5xx, 596,
 * a dropped connection). A write that starts a task answers with its UPID, which is acceptance and not success.
 */
import type { Outcome } from '../kernel/saga.ts';
import type { StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import type { DeleteBackupWarrant, DestroyGuestWarrant, RollbackWarrant } from '../authority/warrant.ts';

/** One row of `GET /nodes/{n}/lxc`. Numbers normalised; `mem`, `uptime` may be stale by 10 s. */
export interface GuestRow {
  readonly vmid: Vmid;
  readonly name: string;
  readonly status: 'running' | 'stopped' | 'unknown';
  readonly lock: string | undefined;
  readonly tags: readonly string[];
  readonly cpus: number;
  readonly maxMemBytes: number;
  readonly maxDiskBytes: number;
  readonly uptimeSeconds: number;
}

/** A guest's config: raw values as strings whatever JSON type Proxmox chose; `digest` and `lock` taken out. */
export interface GuestConfigView {
  readonly digest: string;
  readonly lock: string | undefined;
  readonly values: Readonly<Record<string, string>>;
}

/** Absent, forbidden and unreadable are three answers: a missing ACL must never look like a missing guest. */
export type GuestConfigRead =
  | { readonly is: 'present'; readonly config: GuestConfigView }
  | { readonly is: 'absent' }
  | { readonly is: 'forbidden' };

export interface GuestReader {
  list(signal: AbortSignal): Promise<Outcome<readonly GuestRow[]>>;
  /** `current: true` reads the active values, without pending changes merged in. */
  config(vmid: Vmid, options: { readonly current: boolean }, signal: AbortSignal): Promise<Outcome<GuestConfigRead>>;
  pending(vmid: Vmid, signal: AbortSignal): Promise<Outcome<readonly PendingChange[]>>;
  status(vmid: Vmid, signal: AbortSignal): Promise<Outcome<GuestStatus>>;
  /** `GET /cluster/nextid?vmid=`: whether no guest of any kind has this id; needs no privilege. Not a reservation. */
  isVmidFree(vmid: Vmid, signal: AbortSignal): Promise<Outcome<boolean>>;
}

export interface PendingChange {
  readonly key: string;
  readonly value: string | undefined;
  readonly pending: string | undefined;
  readonly delete: boolean;
}

export interface GuestStatus {
  readonly status: 'running' | 'stopped';
  readonly lock: string | undefined;
  readonly uptimeSeconds: number;
  readonly maxDiskBytes: number;
}

export interface RestoreCall {
  readonly vmid: Vmid;
  readonly archive: VolumeId;
  readonly pool: string;
  readonly storage: StorageId;
  /** Raw config keys passed in the call (hostname, netN, onboot, cores, memory, swap, description, rootfs, mpN, env …). */
  readonly values: Readonly<Record<string, string>>;
}

export interface GuestWriter {
  /** POST /nodes/{n}/lxc with restore=1. Never force, unique, features or start. */
  restore(call: RestoreCall, signal: AbortSignal): Promise<Outcome<Upid>>;
  /** PUT config, guarded by `digest` where given. Synchronous; a 596 is settled by the caller through the flock [R32]. */
  configure(
    vmid: Vmid,
    change: {
      readonly set?: Readonly<Record<string, string>>;
      readonly delete?: readonly string[];
      readonly digest?: string;
    },
    signal: AbortSignal,
  ): Promise<Outcome<void>>;
  /** PUT resize to an absolute size. "already at specified size" is done without a task: `undefined`. */
  resize(vmid: Vmid, disk: string, sizeGiB: number, signal: AbortSignal): Promise<Outcome<Upid | undefined>>;
  /** `undefined`: it already was in that state. */
  start(vmid: Vmid, signal: AbortSignal): Promise<Outcome<Upid | undefined>>;
  shutdown(
    vmid: Vmid,
    options: { readonly timeoutSeconds: number; readonly force: boolean },
    signal: AbortSignal,
  ): Promise<Outcome<Upid | undefined>>;
  stop(vmid: Vmid, signal: AbortSignal): Promise<Outcome<Upid | undefined>>;
}

/** Irreversible, so it takes a warrant that only the gate mints; the adapter checks that the warrant names this guest. */
export interface GuestDestroyer {
  /** DELETE /nodes/{n}/lxc/{v}?purge=1, with destroy-unreferenced-disks only where the warrant says so [R2]. */
  destroy(warrant: DestroyGuestWarrant, signal: AbortSignal): Promise<Outcome<Upid>>;
}

export type TaskVerdict =
  | { readonly is: 'ok' }
  /** Neither success nor failure: the step's own post-condition decides [R48]. */
  | { readonly is: 'warnings'; readonly count: number }
  | { readonly is: 'failed'; readonly exitStatus: string }
  /** `unexpected status`: killed worker, power loss. Reconcile from the world. */
  | { readonly is: 'died' }
  /** Proxmox no longer knows the UPID. Reconcile from the world. */
  | { readonly is: 'lost' };

export interface TaskEnd {
  readonly verdict: TaskVerdict;
  /** Last lines of the log, for people. */
  readonly logTail: readonly string[];
}

export interface TaskRow {
  readonly upid: Upid;
  readonly type: string;
  readonly id: string;
  readonly user: string;
  readonly startTime: number;
  readonly endTime: number | undefined;
  readonly status: string | undefined;
}

export interface PveTasks {
  /**
   * Polls until the task ended, fast at first. `unknown` when Proxmox cannot be reached for longer than the adapter's
   * patience; aborting stops the waiting, never the task.
   */
  wait(
    upid: Upid,
    options: {
      readonly onProgress?: (line: string, fraction: number | undefined) => void;
      readonly stallMs?: number;
      readonly onStall?: () => void;
    },
    signal: AbortSignal,
  ): Promise<Outcome<TaskEnd>>;
  status(
    upid: Upid,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly is: 'running' } | { readonly is: 'ended'; readonly end: TaskEnd }>>;
  /**
   * source=all, so running tasks are included, unless `only` asks for those that run or those that ended badly. `since`
   * in seconds of the node's clock, of the start.
   */
  find(
    filter: {
      readonly vmid?: Vmid;
      readonly type?: string;
      readonly sinceSeconds?: number;
      readonly only?: 'running' | 'failed';
    },
    signal: AbortSignal,
  ): Promise<Outcome<readonly TaskRow[]>>;
  /** Asks the worker to stop. It may be too late: read the verdict, not the intention. */
  abort(upid: Upid, signal: AbortSignal): Promise<Outcome<void>>;
}

export interface StorageRow {
  readonly storage: StorageId;
  readonly type: string;
  readonly content: readonly string[];
  readonly active: boolean;
  readonly enabled: boolean;
  readonly totalBytes: number;
  readonly availableBytes: number;
}

export interface StoreItem {
  readonly volid: VolumeId;
  readonly content: string;
  readonly vmid: number | undefined;
  readonly sizeBytes: number;
  readonly ctime: number | undefined;
  /** First line of them: lists show no more. */
  readonly notes: string | undefined;
  readonly protected: boolean;
  /** Fingerprint of the key that a backup on PBS is encrypted with, as far as the list tells. */
  readonly encrypted?: string;
  /** What the last verification by PBS itself found; it says nothing about whether a key opens it. */
  readonly verified?: 'ok' | 'failed';
}

export interface Stores {
  list(signal: AbortSignal): Promise<Outcome<readonly StorageRow[]>>;
  /** An empty list may mean a missing ACL: never conclude absence from it alone. */
  contents(
    storage: StorageId,
    filter: { readonly content?: string; readonly vmid?: Vmid },
    signal: AbortSignal,
  ): Promise<Outcome<readonly StoreItem[]>>;
  /** The archived `pct.conf`, as text. A preview only: an archive can be made to lie [R7]. */
  extractConfig(archive: VolumeId, signal: AbortSignal): Promise<Outcome<string>>;
}

/** One definition of `storage.cfg`. Secrets are never in it. */
export interface StorageEntry {
  readonly storage: StorageId;
  /** As text, `type` among them. */
  readonly options: ReadonlyMap<string, string>;
}

export interface StorageEntries {
  /** GET /storage: those that the token may see; touches no storage. */
  entries(signal: AbortSignal): Promise<Outcome<readonly StorageEntry[]>>;
}

export interface NodeFacts {
  /** `GET /version`; answers any authenticated caller. */
  version(signal: AbortSignal): Promise<Outcome<{ readonly version: string; readonly release: string }>>;
  /** Effective privileges of the token, path → privileges. */
  permissions(signal: AbortSignal): Promise<Outcome<ReadonlyMap<string, ReadonlySet<string>>>>;
  /** Node clock in seconds since the epoch: task start times and archive names are in it. */
  time(signal: AbortSignal): Promise<Outcome<number>>;
}

/** Versions of single Debian packages; apart from `NodeFacts` because only the self-check needs them. */
export interface NodePackages {
  /** `GET /nodes/{n}/apt/versions` (Sys.Audit on the node): package → installed version. */
  packages(signal: AbortSignal): Promise<Outcome<ReadonlyMap<string, string>>>;
}

export interface BackupCall {
  readonly vmid: Vmid;
  readonly storage: StorageId;
  readonly mode: 'snapshot' | 'stop';
  /** One line; carries the hash of the uid and the operation's nonce and nothing else [R41]. */
  readonly notes: string;
}

/** Taking backups. Everything that has a default which bites is sent: zstd, `remove=0`, no mail. */
export interface BackupWriter {
  /** POST vzdump. `undefined` where Proxmox answers "OK" without a task: the guest is not on this node, nothing was done. */
  backup(call: BackupCall, signal: AbortSignal): Promise<Outcome<Upid | undefined>>;
  /** The same token can clear it again: it guards against accidents and prune, not against a thief. */
  protect(archive: VolumeId, on: boolean, signal: AbortSignal): Promise<Outcome<void>>;
}

export interface BackupRemover {
  /** DELETE of one archive. Done when it is accepted; `undefined`: it was gone already. */
  remove(warrant: DeleteBackupWarrant, signal: AbortSignal): Promise<Outcome<Upid | undefined>>;
}

export interface SnapshotRow {
  readonly name: string;
  readonly description: string;
  /** Seconds since the epoch; absent for the pseudo entry `current`, which is left out. */
  readonly takenAt: number | undefined;
  readonly parent: string | undefined;
  /** `prepare` or `delete`: unfinished. Known from the config's section. */
  readonly state: string | undefined;
}

export interface Snapshots {
  list(vmid: Vmid, signal: AbortSignal): Promise<Outcome<readonly SnapshotRow[]>>;
  /** GET feature=snapshot: whether every volume can. */
  possible(vmid: Vmid, signal: AbortSignal): Promise<Outcome<boolean>>;
  /** The guest's config as a rollback would put it back, raw: it says which volumes the snapshot holds. */
  config(vmid: Vmid, name: string, signal: AbortSignal): Promise<Outcome<GuestConfigView['values']>>;
  take(vmid: Vmid, name: string, description: string, signal: AbortSignal): Promise<Outcome<Upid>>;
  drop(vmid: Vmid, name: string, options: { readonly force: boolean }, signal: AbortSignal): Promise<Outcome<Upid>>;
  /** Reverts every volume of the snapshot, bulk too; stops the guest hard first. */
  rollback(warrant: RollbackWarrant, signal: AbortSignal): Promise<Outcome<Upid>>;
}

export interface VolumeMover {
  /**
   * POST move_volume with target-vmid: renames the volume to the other guest. Not atomic [R3]: renamed, taken out of the
   * source's config, put into the target's, in this order. Its task has the id `<vmid>-<key>><target>-<targetKey>`.
   */
  reassign(
    from: { readonly vmid: Vmid; readonly key: string },
    to: { readonly vmid: Vmid; readonly key: string },
    signal: AbortSignal,
  ): Promise<Outcome<Upid>>;
}
