/**
 * Guests that are locked while nothing works on them [U5]: Proxmox takes a lock off at the end of a task, and a worker
 * that was killed never comes to its end. Pure.
 */
import type { Finding, Vmid } from '@felhom/protocol';
import type { GuestRow, TaskRow } from '../ports/proxmox.ts';
import type { Moment } from './latch.ts';

export interface StaleLock {
  readonly vmid: Vmid;
  readonly name: string;
  readonly lock: string;
  /** Monotonic, for how long nobody has been at it. */
  readonly since: number;
  /** Wall time of the same. */
  readonly seenAt: number;
}

export type LockMemory = ReadonlyMap<Vmid, StaleLock>;

export interface LockLook {
  readonly rows: readonly Pick<GuestRow, 'vmid' | 'name' | 'lock'>[];
  readonly running: readonly Pick<TaskRow, 'type' | 'id'>[];
  /** Guests that work of ours is on; it tells by itself how that ends. */
  readonly inHand: ReadonlySet<Vmid>;
}

/** Between two tasks of one job, and between a task and the list that shows what it left, a lock may stand alone. */
const staleMs = 2 * 60_000;
/** Somebody mounted it to look inside. */
const mountedMs = 60 * 60_000;

/** Whether it has stood long enough to be told. */
export const isStale = ({ lock, since }: StaleLock, { monotonicMs }: Moment): boolean =>
  monotonicMs - since >= (lock === 'mounted' ? mountedMs : staleMs);

export function watchLocks(look: LockLook, before: LockMemory, at: Moment): LockMemory {
  const alone = new Map<Vmid, StaleLock>();
  for (const { vmid, name, lock } of look.rows) {
    if (lock === undefined || look.inHand.has(vmid) || look.running.some((task) => mayHold(task, vmid))) continue;
    const known = before.get(vmid);
    const same = known !== undefined && known.lock === lock;
    alone.set(vmid, {
      vmid,
      name,
      lock,
      since: same ? known.since : at.monotonicMs,
      seenAt: same ? known.seenAt : at.now,
    });
  }
  return alone;
}

/** Ids name one guest, two (`100-mp0>101-mp0`), a volume (`101@store`), or none: then it may be any. PVE: UPID.pm. */
function mayHold({ type, id }: Pick<TaskRow, 'type' | 'id'>, vmid: Vmid): boolean {
  const named = id.match(/\d+/g);
  if (named?.includes(String(vmid)) === true) return true;
  return id === '' && ['vzdump', 'startall', 'stopall', 'suspendall', 'migrateall'].includes(type);
}

/** `last`: the newest task on the guest that ended, where there is one. */
export function findingOfLock(lock: StaleLock, last: TaskRow | undefined): Finding {
  const { vmid, name, lock: kind } = lock;
  const left =
    last === undefined
      ? ''
      : ` Its last task, ${last.type} by ${last.user}, ended with: ${oneLine(last.status ?? 'nothing')}.`;
  return {
    key: 'guest.lock-stale',
    severity: kind === 'mounted' || kind === 'fstrim' ? 'info' : 'warning',
    subject: name === '' ? String(vmid) : name,
    text: `CT ${vmid} is locked (${kind}) and nothing works on it: ${meaning[kind] ?? 'it cannot be changed'}.${left}`.slice(
      0,
      1000,
    ),
    advice: adviceOf(kind, vmid),
    since: lock.seenAt,
  };
}

/** What each lock leaves behind when its worker dies. PVE: LXC/Config.pm, and what was seen after killed workers. */
const meaning: Readonly<Record<string, string>> = {
  backup: 'a backup died; until the lock is gone it is neither started, changed nor backed up',
  create: 'its creation or restore died half-way; it is no whole guest',
  destroyed: 'its removal died half-way; what is left is a stub',
  disk: 'moving one of its disks died; the copy that was begun may be left over',
  fstrim: 'trimming its disks died',
  migrate: 'its migration died',
  mounted: 'somebody mounted its disks on the host',
  rollback: 'a rollback died half-way: its disks may be of two different times',
  snapshot: 'taking a snapshot died; the snapshot is not whole',
  'snapshot-delete': 'removing a snapshot died; the snapshot is half gone',
};

function adviceOf(kind: string, vmid: Vmid): Finding['advice'] {
  if (kind === 'mounted') return { text: 'When nobody needs it any more:', command: `pct unmount ${vmid}` };
  if (kind === 'create' || kind === 'destroyed')
    return { text: "If it is none of the agent's, unlock it and remove it as root.", command: `pct unlock ${vmid}` };
  if (kind === 'rollback')
    return { text: 'Unlock it and repeat the rollback before it is started.', command: `pct unlock ${vmid}` };
  if (kind === 'snapshot' || kind === 'snapshot-delete')
    return {
      text: 'Unlock it, then remove the snapshot: pct delsnapshot with --force.',
      command: `pct unlock ${vmid}`,
    };
  return { text: 'Once it is sure that nothing works on it, unlock it as root.', command: `pct unlock ${vmid}` };
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, 300);
