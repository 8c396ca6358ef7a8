// The seam between the rooms of the fake Proxmox VE node.
//
// The fake is one object graph without module state, so that a test can run several nodes side by side:
//   access/   identities, tokens, roles, ACLs, pools, permission checks
//   api/      routing, parameter validation against schema facts, error rendering, the HTTPS server
//   tasks/    workers: UPIDs, logs, exit status, kill and reboot
//   guests/   LXC config files and everything that changes them
//   storage/  storage definitions, volumes, archives, vzdump
//   faults/   failures on demand
// Rooms meet only through the interfaces below; `node.ts` is the composition root.
//
// Time, randomness and the disk are injected: over HTTPS with real files the fake serves people and end-to-end
// tests, in memory with a simulated clock it serves the crash matrix and the simulation.

/** Injected time. Wall time in milliseconds since the epoch. */
export interface FakeClock {
  now(): number;
  /**
   * Resolves after `ms`. Without a signal it rejects never; an aborted signal takes the timer away and rejects. A
   * simulated clock advances only when its owner says so.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Injected randomness (MAC addresses, pids, token secrets). */
export interface FakeRandom {
  /** Uniform integer in [0, below). */
  int(below: number): number;
}

/** An authenticated caller: `root@pam`, `user@pve` or `user@pve!token`. */
export interface Identity {
  readonly user: string;
  readonly token?: string;
  /** What tasks and logs show: user, or user!token. */
  readonly full: string;
}

/** One parsed API request, below `/api2/json`. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH';
  /** Path with percent-encoding still in place, e.g. `/nodes/pve1/storage/local/content/local%3Abackup%2Fx`. */
  readonly path: string;
  /** Body or query parameters as they came off the wire. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** What goes back on the wire. `reason` is the HTTP reason phrase, where Proxmox puts the first line of an error. */
export interface ApiResponse {
  readonly status: number;
  readonly reason: string;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection broke instead of an answer (a fault); status is 0 then. */
  readonly dropped?: true;
}

/** A call that passed authentication and schema validation, as handlers see it. */
export interface Call {
  readonly pve: FakePve;
  readonly who: Identity;
  /** Path variables and parameters together, normalised by the schema (numbers are numbers, booleans 0 or 1). */
  readonly params: Readonly<Record<string, unknown>>;
}

export type Handler = (call: Call) => unknown;

/** The declared permission of a method, checked before the handler; absent means any authenticated caller. */
export type Permission =
  | { readonly is: 'any-user' }
  | { readonly is: 'root-only' }
  /** Path template with `{var}` filled from the parameters; `any` = one of the privileges is enough. */
  | { readonly is: 'check'; readonly path: string; readonly privs: readonly string[]; readonly any?: boolean };

/**
 * A route is looked up by method and path template, and both must exist in the schema facts. The permission that
 * Proxmox declares for the method is checked from those facts before the handler runs, so `permission` may be left out;
 * where given it only documents, the facts decide.
 */
export interface Route {
  readonly method: ApiRequest['method'];
  /** `/nodes/{node}/lxc/{vmid}/config` */
  readonly path: string;
  readonly permission?: Permission;
  readonly handler: Handler;
}

/**
 * What a handler returns when the answer carries more than `data`: `total` of paged lists, or plain text in place of
 * JSON (log downloads).
 */
export class Answer {
  readonly data: unknown;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly text: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    data: unknown,
    extra: Readonly<Record<string, unknown>> = {},
    text?: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    this.data = data;
    this.extra = extra;
    this.text = text;
    this.headers = headers;
  }
}

/**
 * The one error type of handlers.
 * 500 + text is Perl's `die`; 400 + errors is `raise_param_exc`; 403 is `raise_perm_exc`.
 */
export class PveError extends Error {
  readonly status: number;
  readonly errors: Readonly<Record<string, string>> | undefined;
  constructor(status: number, message: string, errors?: Readonly<Record<string, string>>) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

/** A value as Perl puts it into a text: nothing is empty, numbers and words are themselves. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : JSON.stringify(value);
}

/**
 * An error as Perl prints it when it is caught and put into another text, as in `unable to restore CT 101 - 403
 * Permission check failed (/, Sys.Modify)`: PVE::Exception shows its code unless it is a plain `die`.
 */
export function perlText(error: unknown): string {
  if (!(error instanceof PveError)) return error instanceof Error ? error.message : String(error);
  const head = error.status === 500 ? error.message : `${error.status} ${error.message}`;
  if (error.errors === undefined) return head;
  return [head, ...Object.entries(error.errors).map(([key, text]) => `${key}: ${text}`)].join('\n');
}

/** Perl's `die "text\n"`: 500. */
export function die(message: string): never {
  throw new PveError(500, message);
}

/** `raise_param_exc`: 400 "Parameter verification failed." */
export function paramError(errors: Record<string, string>): never {
  throw new PveError(400, 'Parameter verification failed.', errors);
}

// ---------------------------------------------------------------------------------------------------- access

export interface AccessControl {
  /** Throws the 403 that Proxmox throws: `Permission check failed (path, Priv)`; with `any`, `A|B`. */
  check(who: Identity, path: string, privs: readonly string[], options?: { any?: boolean }): void;
  has(who: Identity, path: string, privs: readonly string[], options?: { any?: boolean }): boolean;
  /** Literal `root@pam` ticket, never a token of root. */
  isRoot(who: Identity): boolean;
  /** privilege → propagate flag (0 or 1) on one path. */
  privilegesOn(who: Identity, path: string): ReadonlyMap<string, 0 | 1>;
  /** Removal of a guest or a storage takes its ACL entries and pool membership with it. */
  forgetGuest(vmid: number): void;
  forgetStorage(storage: string): void;
  poolExists(pool: string): boolean;
  poolOfGuest(vmid: number): string | undefined;
  poolOfStorage(storage: string): string | undefined;
  /**
   * PVE: RPCEnvironment check_vm_perm. Passes when the privileges are held on `/pool/{pool}` (when a pool is named) or
   * on `/vms/{vmid}`; the 403 is the one of `/vms/{vmid}`.
   */
  checkGuest(
    who: Identity,
    vmid: number,
    pool: string | undefined,
    privs: readonly string[],
    options?: { any?: boolean },
  ): void;
  addGuestToPool(vmid: number, pool: string): void;
}

// ----------------------------------------------------------------------------------------------------- tasks

/**
 * A running worker. After `kill -9` every promise handed out here stays pending for ever, so neither the rest of the
 * body nor its `finally` blocks run: that is what a killed process looks like from the outside.
 */
export interface Task {
  readonly upid: string;
  readonly who: Identity;
  log(line: string): void;
  /** Logs `WARN: line` and makes the exit status `WARNINGS: n`. */
  warn(line: string): void;
  /** Time that the work takes. Rejects with `interrupted by signal` when the task is aborted. */
  work(ms: number): Promise<void>;
  /** Runs real asynchronous IO of the disk; same abort and kill behaviour as `work`. */
  io<T>(operation: () => Promise<T>): Promise<T>;
  readonly aborted: boolean;
}

export interface TaskEngine {
  /**
   * Forks a worker and returns its UPID at once; `body` runs afterwards. Throwing ends it with `TASK ERROR: message`.
   * `id` is the id field (vmid, `vmid@storage`, or empty).
   */
  fork(who: Identity, type: string, id: string, body: (task: Task) => Promise<void>): string;
  /** The process-held config flock `/run/lock/lxc/pve-config-{v}.lock`; released when the holder dies. */
  withGuestLock<T>(vmid: number, timeoutSeconds: number, body: () => Promise<T>): Promise<T>;
  /** SIGTERM: what the worker waits for rejects with `interrupted by signal`, once. */
  abort(upid: string): void;
  /** kill -9 of a worker: it ends as `unexpected status`, whatever it held on disk stays. */
  kill(upid: string): void;
  running(): readonly { readonly upid: string; readonly type: string; readonly id: string }[];
  /** Resolves when the task has ended (also when it was killed); at once for an unknown UPID. */
  settled(upid: string): Promise<void>;
}

// --------------------------------------------------------------------------------------------------- storage

export interface VolumeInfo {
  readonly volid: string;
  readonly storage: string;
  readonly vmid: number;
  readonly format: 'raw' | 'subvol';
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly ctime: number;
}

export interface ArchiveInfo {
  readonly volid: string;
  readonly storage: string;
  readonly vmid: number;
  readonly sizeBytes: number;
  readonly ctime: number;
  readonly format: string;
}

/** Storage as the guests room needs it. All methods throw `PveError` with Proxmox's own text. */
export interface StorageRoom {
  /** All defined storages, in the order of storage.cfg. */
  ids(): readonly string[];
  /** Row of `/cluster/resources` (id, storage, node, type, status, shared, content, plugintype, disk, maxdisk). */
  row(storage: string): Record<string, unknown>;
  /** Not disabled, and meant for this node. */
  isEnabled(storage: string): boolean;
  exists(storage: string): boolean;
  type(storage: string): string;
  hasContent(storage: string, content: string): boolean;
  /** Throws when the storage is disabled, unreachable or not mounted. */
  activate(storage: string): void;
  /** Allocates `vm-{vmid}-disk-N` (size > 0) or a plain directory `subvol-…` (size 0). Logs what real tools print. */
  allocate(task: Task | undefined, storage: string, vmid: number, sizeKiB: number): Promise<VolumeInfo>;
  free(volid: string): Promise<void>;
  volume(volid: string): VolumeInfo | undefined;
  volumesOf(vmid: number): readonly VolumeInfo[];
  resize(volid: string, sizeBytes: number): Promise<void>;
  rename(volid: string, targetVmid: number): Promise<VolumeInfo>;
  /** A new volume of `vmid` on `storage` with the content of `volid`: full clones and moves between storages. */
  copy(task: Task, volid: string, storage: string, vmid: number): Promise<VolumeInfo>;
  /** Host path of a volume or archive, as tools print it in task logs. */
  path(volid: string): string;
  /** Capability as in `pvesm`: snapshot, clone, copy, rename, template. */
  hasFeature(volid: string, feature: string, running: boolean): boolean;
  snapshot(volid: string, name: string): Promise<void>;
  deleteSnapshot(volid: string, name: string): Promise<void>;
  rollback(volid: string, name: string): Promise<void>;
  parse(
    volid: string,
  ): { storage: string; content: 'images' | 'backup' | 'vztmpl'; name: string; vmid?: number } | undefined;
  /**
   * Access rule of archives and volumes (`check_volume_access`); throws 403. `vmid`: the guest they are wanted for, whose
   * own archives and volumes need no further right.
   */
  checkAccess(who: Identity, volid: string, vmid?: number): void;
  archive(volid: string): ArchiveInfo | undefined;
  /** The first member named `./etc/vzdump/pct.conf`, as `extractconfig` reads it. */
  archivedConfig(volid: string): Promise<string>;
  /**
   * Unpacks an archive over the given mounts (mount path → volid, `/` first) and returns the config and firewall
   * file that lie in the tree afterwards. Of two members with one place in the tree the first stays, as with
   * `tar --skip-old-files`. Takes the time that a restore takes. Unless told that the guest is privileged, `./dev/*` is
   * left out and owners must fit into the user namespace.
   */
  unpack(
    task: Task,
    volid: string,
    mounts: ReadonlyMap<string, string>,
    options?: { readonly bwlimitKiB?: number; readonly unprivileged?: boolean },
  ): Promise<{ config: string; firewall?: string }>;
}

// ---------------------------------------------------------------------------------------------------- guests

/** A parsed `/etc/pve/lxc/{vmid}.conf`. Keys are raw config keys; values raw strings, as in the file. */
export interface GuestConfig {
  readonly active: Map<string, string>;
  readonly pending: Map<string, string>;
  readonly pendingDelete: Set<string>;
  readonly snapshots: Map<string, Map<string, string>>;
  /** Raw `lxc.*` lines. */
  readonly raw: [string, string][];
}

export interface GuestsRoom {
  ids(): readonly number[];
  exists(vmid: number): boolean;
  /** Throws `Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist`. */
  config(vmid: number): GuestConfig;
  isRunning(vmid: number): boolean;
  /** Rows of `GET /nodes/{n}/lxc` and `/cluster/resources`, unfiltered. */
  row(vmid: number): Record<string, unknown>;
  /** Sets or clears the `lock:` line; vzdump and snapshots use it. */
  setLock(vmid: number, lock: string | undefined): void;
  /**
   * The section `vzdump` of a backup in snapshot mode, which lists show like any snapshot: unfinished, taken, gone.
   * PVE: VZDump/LXC.pm snapshot.
   */
  setBackupSnapshot(vmid: number, state: 'prepare' | 'taken' | undefined): void;
  /** Mount path → volid of the volumes that vzdump would include. */
  backupVolumes(vmid: number): { included: Map<string, string>; excluded: { path: string; why: string }[] };
  /** Text of the active section, as vzdump stores it. */
  serialize(vmid: number): string;
  firewall(vmid: number): string | undefined;
  stop(vmid: number): Promise<void>;
  start(vmid: number): Promise<void>;
  /** Called when the node reboots: everything stops, backup locks go, onboot guests start. */
  reboot(): Promise<void>;
}

// ------------------------------------------------------------------------------------------------------ node

export interface FakePve {
  readonly name: string;
  readonly clock: FakeClock;
  readonly random: FakeRandom;
  readonly access: AccessControl;
  readonly tasks: TaskEngine;
  readonly storage: StorageRoom;
  readonly guests: GuestsRoom;
  /** Bridges that exist on the node. */
  readonly bridges: Set<string>;
  /** How long things take, in milliseconds; a scenario makes them slow, the simulation varies them. */
  readonly pace: Pace;
  /** Guests that pvestatd has looked at (it comes by every ten seconds); others are `unknown` in resource lists. */
  readonly seen: ReadonlySet<number>;
}

export interface Pace {
  restoreMs: number;
  startMs: number;
  stopMs: number;
  allocateMs: number;
  backupMs: number;
  /** How long a 401 is held back; Proxmox: 3000. */
  unauthorizedMs: number;
}
