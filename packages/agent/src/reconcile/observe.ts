/**
 * One snapshot of the host. A constant number of list calls whatever the number of guests, and config reads only where
 * something may have changed: the list row, a task, our own record, plus a few in rotation, because a person's PUT
 * shows in no list and makes no task. Storages are not looked at: Proxmox wakes every one of them for a list, and a dead
 * NFS server would hold up the pass.
 */
import type { Reason, Upid, Vmid } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { viewOf } from '../guests/index.ts';
import type { InFlight, SeenConfig } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { GuestReader, GuestRow, NodeFacts, PendingChange, PveTasks, TaskRow } from '../ports/proxmox.ts';

export interface ObserveNeeds {
  readonly reader: Pick<GuestReader, 'list' | 'config' | 'pending'>;
  readonly tasks: Pick<PveTasks, 'find'>;
  readonly node: Pick<NodeFacts, 'time'>;
  /** `user@realm!token` of our own tasks. */
  readonly tokenId: string;
}

export interface Observation {
  /** The list of guests could not be had: nothing else may be concluded. */
  readonly problem: Reason | undefined;
  readonly rows: ReadonlyMap<Vmid, GuestRow>;
  /** Ours, and strangers in our ranges. */
  readonly seen: ReadonlyMap<Vmid, SeenConfig>;
  /** Config keys whose change waits for the guest's next restart: a config read shows them as if they held already. */
  readonly pending: ReadonlyMap<Vmid, readonly string[]>;
  /** UPIDs of creates, restores and destroys by others on VMIDs of ours, since the guest was made. */
  readonly foreignTasks: ReadonlyMap<Vmid, readonly Upid[]>;
  /** Wall time in milliseconds of a stop by somebody else that was the last power task of a guest. */
  readonly personStops: ReadonlyMap<Vmid, number>;
}

/** What is carried from pass to pass: nothing is true because it stands here, it only saves reads. */
export interface ObserverMemory {
  readonly configs: ReadonlyMap<Vmid, Remembered>;
  readonly foreignTasks: ReadonlyMap<Vmid, readonly Upid[]>;
  /** The node's clock at the last pass, seconds. */
  readonly nodeSeconds: number | undefined;
  /** Where the rotation goes on. */
  readonly cursor: number;
}

interface Remembered {
  readonly seen: SeenConfig;
  /** Config keys whose change waits for the guest's next restart. */
  readonly pending: readonly string[];
  readonly fingerprint: string;
  readonly uptimeSeconds: number;
  readonly recordDigest: string | undefined;
  readonly readAtSeconds: number;
}

export const emptyMemory: ObserverMemory = {
  configs: new Map(),
  foreignTasks: new Map(),
  nodeSeconds: undefined,
  cursor: 0,
};

/** Configs read in rotation per pass: a silent edit is noticed within guests / this many passes. */
const rotationPerPass = 2;
/** Concurrent config reads; pveproxy has few workers. */
const readsAtOnce = 6;
/** As long as a person's stop counts. */
const taskWindowSeconds = 600;
/** How far back the first pass looks for what others did while the agent was away. */
const firstWindowSeconds = 86_400;

const takeovers = new Set(['vzcreate', 'vzrestore', 'vzdestroy']);
const powerTasks = new Set(['vzstart', 'vzstop', 'vzshutdown', 'vzreboot']);

export interface ObserveInput {
  readonly registry: readonly GuestRecord[];
  readonly policy: Pick<HostPolicy, 'vmids'>;
  readonly inFlight: InFlight;
  readonly memory: ObserverMemory;
}

export async function observe(
  needs: ObserveNeeds,
  input: ObserveInput,
  signal: AbortSignal,
): Promise<{ readonly observation: Observation; readonly memory: ObserverMemory }> {
  const { memory } = input;
  const asked = memory.nodeSeconds ?? (await nodeSeconds(needs, signal));
  const since =
    asked === undefined
      ? undefined
      : asked - (memory.nodeSeconds === undefined ? firstWindowSeconds : taskWindowSeconds);
  const [list, tasks, time] = await Promise.all([
    needs.reader.list(signal),
    needs.tasks.find(since === undefined ? {} : { sinceSeconds: since }, signal),
    nodeSeconds(needs, signal),
  ]);
  if (list.is !== 'done') return { observation: blind(list.why), memory };
  // Without the tasks nobody can tell whether a VMID changed hands in between.
  if (tasks.is !== 'done') return { observation: blind(tasks.why), memory };
  const now = time ?? asked ?? 0;
  const rows = new Map(list.value.map((row) => [row.vmid, row]));
  const records = new Map(input.registry.map((record) => [record.vmid, record]));
  const interesting = [...new Set([...records.keys(), ...strangersIn(rows, records, input)])].toSorted((a, b) => a - b);
  const touched = touchedSince(tasks.value);
  const due = interesting.filter((vmid) => isDue(vmid, rows.get(vmid), records.get(vmid), memory, touched));
  const rotation = rotate(interesting, new Set(due), memory.cursor);
  const configs = new Map<Vmid, Remembered>();
  for (const vmid of interesting) {
    const known = memory.configs.get(vmid);
    if (known !== undefined) configs.set(vmid, known);
  }
  const toRead = [...due, ...rotation.vmids];
  for (let at = 0; at < toRead.length; at += readsAtOnce) {
    const batch = toRead.slice(at, at + readsAtOnce);
    const read = await Promise.all(
      batch.map((vmid) => readGuest(needs, vmid, rows.get(vmid), configs.get(vmid), signal)),
    );
    for (const [i, vmid] of batch.entries()) {
      const row = rows.get(vmid);
      configs.set(vmid, {
        ...(read[i] ?? { seen: { is: 'unreadable', why: 'it was not read' }, pending: [] }),
        fingerprint: fingerprintOf(row),
        uptimeSeconds: row?.uptimeSeconds ?? 0,
        recordDigest: records.get(vmid)?.configDigest,
        readAtSeconds: now,
      });
    }
  }
  const foreignTasks = takeoversOf(tasks.value, records, memory, needs.tokenId);
  return {
    observation: {
      problem: undefined,
      rows,
      seen: new Map([...configs].map(([vmid, remembered]) => [vmid, remembered.seen])),
      pending: new Map([...configs].map(([vmid, remembered]) => [vmid, remembered.pending])),
      foreignTasks,
      personStops: stopsByPeople(tasks.value, needs.tokenId),
    },
    memory: { configs: rememberUptimes(configs, rows), foreignTasks, nodeSeconds: now, cursor: rotation.cursor },
  };
}

async function nodeSeconds(needs: ObserveNeeds, signal: AbortSignal): Promise<number | undefined> {
  const time = await needs.node.time(signal);
  return time.is === 'done' ? time.value : undefined;
}

const blind = (problem: Reason): Observation => ({
  problem,
  rows: new Map(),
  seen: new Map(),
  pending: new Map(),
  foreignTasks: new Map(),
  personStops: new Map(),
});

/** What waits for a restart can have changed only where the config did, or where the guest went down in between. */
async function readGuest(
  needs: ObserveNeeds,
  vmid: Vmid,
  row: GuestRow | undefined,
  known: Remembered | undefined,
  signal: AbortSignal,
): Promise<Pick<Remembered, 'seen' | 'pending'>> {
  const seen = await readConfig(needs, vmid, signal);
  if (seen.is !== 'present' || row?.status !== 'running') return { seen, pending: [] };
  const unchanged =
    known?.seen.is === 'present' &&
    known.pending.length === 0 &&
    known.seen.view.digest === seen.view.digest &&
    known.uptimeSeconds > 0 &&
    known.uptimeSeconds <= row.uptimeSeconds;
  if (unchanged) return { seen, pending: [] };
  const changes = await needs.reader.pending(vmid, signal);
  if (changes.is !== 'done') return { seen, pending: known?.pending ?? [] };
  return { seen, pending: changes.value.filter(waits).map((change) => change.key) };
}

/** PVE: `GET …/pending` lists every key; only these wait. */
const waits = (change: PendingChange): boolean => change.pending !== undefined || change.delete;

async function readConfig(needs: ObserveNeeds, vmid: Vmid, signal: AbortSignal): Promise<SeenConfig> {
  const read = await needs.reader.config(vmid, { current: false }, signal);
  if (read.is !== 'done') return { is: 'unreadable', why: read.why.text };
  return read.value.is === 'present' ? { is: 'present', view: viewOf(read.value.config) } : read.value;
}

function strangersIn(
  rows: ReadonlyMap<Vmid, GuestRow>,
  records: ReadonlyMap<Vmid, GuestRecord>,
  { policy, inFlight }: Pick<ObserveInput, 'policy' | 'inFlight'>,
): Vmid[] {
  const ranges = Object.values(policy.vmids);
  return [...rows.keys()].filter(
    (vmid) =>
      !records.has(vmid) && !inFlight.vmids.has(vmid) && ranges.some((range) => vmid >= range.from && vmid <= range.to),
  );
}

/** VMID → the latest second in which a task worked on it; a running one counts as for ever. */
function touchedSince(tasks: readonly TaskRow[]): ReadonlyMap<number, number> {
  const touched = new Map<number, number>();
  for (const task of tasks)
    // A reassign is listed as `101-mp0>102-mp0`: both guests are touched.
    for (const id of task.id.match(/\d+/g) ?? []) {
      const until = task.endTime ?? Number.POSITIVE_INFINITY;
      touched.set(Number(id), Math.max(touched.get(Number(id)) ?? 0, until));
    }
  return touched;
}

function isDue(
  vmid: Vmid,
  row: GuestRow | undefined,
  record: GuestRecord | undefined,
  memory: ObserverMemory,
  touched: ReadonlyMap<number, number>,
): boolean {
  const known = memory.configs.get(vmid);
  if (known === undefined || known.seen.is !== 'present') return true;
  if (known.fingerprint !== fingerprintOf(row) || known.uptimeSeconds > (row?.uptimeSeconds ?? 0)) return true;
  if (known.recordDigest !== record?.configDigest) return true;
  return (touched.get(vmid) ?? 0) >= known.readAtSeconds;
}

function fingerprintOf(row: GuestRow | undefined): string {
  if (row === undefined) return 'not listed';
  return JSON.stringify([row.status, row.lock, row.name, row.tags, row.cpus, row.maxMemBytes, row.maxDiskBytes]);
}

/** The next few that are not read anyway; goes round for ever. */
function rotate(
  vmids: readonly Vmid[],
  due: ReadonlySet<Vmid>,
  cursor: number,
): { readonly vmids: readonly Vmid[]; readonly cursor: number } {
  const chosen: Vmid[] = [];
  let at = vmids.length === 0 ? 0 : cursor % vmids.length;
  for (let looked = 0; looked < vmids.length && chosen.length < rotationPerPass; looked++) {
    const vmid = vmids[at];
    if (vmid !== undefined && !due.has(vmid)) chosen.push(vmid);
    at = (at + 1) % vmids.length;
  }
  return { vmids: chosen, cursor: at };
}

/** Uptimes grow while nothing is read; a smaller one later means a restart in between. */
function rememberUptimes(
  configs: ReadonlyMap<Vmid, Remembered>,
  rows: ReadonlyMap<Vmid, GuestRow>,
): ReadonlyMap<Vmid, Remembered> {
  return new Map(
    [...configs].map(([vmid, known]) => [vmid, { ...known, uptimeSeconds: rows.get(vmid)?.uptimeSeconds ?? 0 }]),
  );
}

/** Remembered until the guest is made anew: the task list forgets, a takeover does not become undone by that. */
function takeoversOf(
  tasks: readonly TaskRow[],
  records: ReadonlyMap<Vmid, GuestRecord>,
  memory: ObserverMemory,
  tokenId: string,
): ReadonlyMap<Vmid, readonly Upid[]> {
  const found = new Map<Vmid, readonly Upid[]>();
  for (const [vmid, record] of records) {
    const fresh = tasks.filter(
      (task) =>
        takeovers.has(task.type) &&
        task.id === String(vmid) &&
        !isOwn(task, tokenId) &&
        task.startTime * 1000 > record.createdAt,
    );
    const upids = [...new Set([...(memory.foreignTasks.get(vmid) ?? []), ...fresh.map((task) => task.upid)])];
    if (upids.length > 0) found.set(vmid, upids);
  }
  return found;
}

const isOwn = (task: TaskRow, tokenId: string): boolean => task.upid.split(':')[7] === tokenId;

function stopsByPeople(tasks: readonly TaskRow[], tokenId: string): ReadonlyMap<Vmid, number> {
  const last = new Map<string, TaskRow>();
  for (const task of tasks)
    if (powerTasks.has(task.type) && task.startTime >= (last.get(task.id)?.startTime ?? 0)) last.set(task.id, task);
  const stops = new Map<Vmid, number>();
  for (const [id, task] of last)
    if (task.type !== 'vzstart' && task.type !== 'vzreboot' && !isOwn(task, tokenId))
      stops.set(Number(id) as Vmid, (task.endTime ?? task.startTime) * 1000);
  return stops;
}
