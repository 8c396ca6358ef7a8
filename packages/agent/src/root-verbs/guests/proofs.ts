/**
 * What has to be proven before root touches a guest for an agent that may have been taken over, from root-only facts
 * [R19]. A proof that is missing is a reason not to; nothing here changes anything.
 */
import type { Vmid } from '@felhom/protocol';
import type { HostPolicy } from '../../host-policy.ts';
import type { HostCommand } from '../../ports/host-command.ts';
import { configOf, isConfigHeld, lockOf } from './node-guests.ts';
import type { GuestConfig, NodePlaces } from './node-guests.ts';
import { endOf, isAlive, isOf, lastWordAt, tasksIn } from './node-tasks.ts';
import type { NodeTask } from './node-tasks.ts';

/** Programs of the host, each with exact arguments. */
export interface GuestTools {
  readonly perl: HostCommand;
  readonly pct: HostCommand;
  readonly pvesm: HostCommand;
  readonly pvesh: HostCommand;
  /** Root's unit has no mount namespace of its own, so this is the host's. */
  readonly umount: HostCommand;
  readonly losetup: HostCommand;
}

export interface GuestFacts {
  readonly places: NodePlaces;
  readonly policy: HostPolicy;
}

/** `refused`: a proof is missing. `busy`: it may be there later. */
export type Missing = { readonly is: 'refused' | 'busy'; readonly why: string };

export const isIn = (range: { readonly from: Vmid; readonly to: Vmid }, vmid: Vmid): boolean =>
  vmid >= range.from && vmid <= range.to;

/** The VMID is one that root set aside for the agent. */
export function outOfRange({ vmids }: HostPolicy, vmid: Vmid): Missing | undefined {
  if (isIn(vmids.guests, vmid) || isIn(vmids.scratch, vmid)) return undefined;
  return { is: 'refused', why: 'its VMID is in no range of /etc/felhom/policy.yaml' };
}

/** No worker on it lives, and nobody holds its config. */
export function atWork({ places }: GuestFacts, tasks: readonly NodeTask[], vmid: Vmid): Missing | undefined {
  const living = tasks.find((task) => isOf(task, vmid) && isAlive(task, places.proc));
  if (living !== undefined) return { is: 'busy', why: `its worker still runs: ${living.upid}` };
  if (isConfigHeld(places, vmid)) return { is: 'busy', why: 'a process holds the lock of its config' };
  return undefined;
}

/** Of these tasks the newest is the agent's, and it ended without having come to its end. */
export function notOursAndDead(
  { places, policy }: GuestFacts,
  newest: NodeTask | undefined,
  what: string,
): Missing | undefined {
  if (newest === undefined) return { is: 'refused', why: `the node remembers no ${what}` };
  if (newest.user !== policy.token)
    return { is: 'refused', why: `its newest ${what} is not the agent's: ${newest.upid}` };
  if (isAlive(newest, places.proc)) return { is: 'busy', why: `its ${what} still runs: ${newest.upid}` };
  if (endOf(newest) === 'well') return { is: 'refused', why: `its newest ${what} ended well: ${newest.upid}` };
  return undefined;
}

const creating: ReadonlySet<string> = new Set(['vzcreate', 'vzrestore']);

export const newestCreation = (tasks: readonly NodeTask[], vmid: Vmid): NodeTask | undefined =>
  tasks.find(({ type, id }) => creating.has(type) && id === String(vmid));

/**
 * Proxmox writes the stub before it starts the worker, and the worker writes the whole just before it ends. A config that is
 * newer than the worker's last word belongs to something else, a clone perhaps, whose task does not name what it makes.
 */
export function isNewerThan(config: GuestConfig, task: NodeTask): boolean {
  return config.writtenAt > Math.max(task.startedAt, lastWordAt(task)) + 60;
}

/** Which tasks set a lock. PVE: LXC/Config.pm and the callers of set_lock and lock_config. */
const settersOf: Readonly<Record<string, (task: NodeTask, vmid: Vmid) => boolean>> = {
  create: ({ type, id }, vmid) => creating.has(type) && id === String(vmid),
  // A backup of several guests names none.
  backup: ({ type, id }, vmid) => type === 'vzdump' && (id === String(vmid) || id === ''),
  snapshot: ({ type, id }, vmid) => type === 'vzsnapshot' && id === String(vmid),
  'snapshot-delete': ({ type, id }, vmid) => type === 'vzdelsnapshot' && id === String(vmid),
  rollback: ({ type, id }, vmid) => type === 'vzrollback' && id === String(vmid),
  disk: (task, vmid) => ['move_volume', 'vzclone'].includes(task.type) && isOf(task, vmid),
};

export type UnlockProof = { readonly is: 'no-lock' } | { readonly is: 'proven'; readonly lock: string } | Missing;

/** That a lock is one of the kinds that can be cleared, that a worker of ours left it, and that this one is dead. */
export function proveUnlock(facts: GuestFacts, vmid: Vmid): UnlockProof {
  const { places, policy } = facts;
  const missing = outOfRange(policy, vmid);
  if (missing !== undefined) return missing;
  const config = configOf(places, policy.node, vmid);
  const lock = config === undefined ? undefined : lockOf(config);
  if (config === undefined || lock === undefined) return { is: 'no-lock' };
  const isSetter = Object.hasOwn(settersOf, lock) ? settersOf[lock] : undefined;
  if (isSetter === undefined) return { is: 'refused', why: `lock ${lock} is not cleared without reaping` };
  const tasks = tasksIn(places.tasks);
  const newest = tasks.find((task) => isSetter(task, vmid));
  const notDead = notOursAndDead(facts, newest, `task that sets lock ${lock}`) ?? atWork(facts, tasks, vmid);
  if (notDead !== undefined) return notDead;
  if (lock === 'create' && newest !== undefined && isNewerThan(config, newest))
    return { is: 'refused', why: 'its config was written after the last word of its create task' };
  return { is: 'proven', lock };
}
