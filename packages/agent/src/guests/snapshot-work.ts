/**
 * One snapshot of one guest: found, taken, dropped, and cleared where a killed worker left it unfinished. Proxmox accepts
 * every call; what became of it the list of snapshots shows, and nothing else is believed.
 */
import { reason } from '@felhom/protocol';
import type { Vmid } from '@felhom/protocol';
import { patiently, waitFor, whenIdle } from './settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { SnapshotRow, TaskEnd } from '../ports/proxmox.ts';
import type { Snapping } from './needs.ts';

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
export const lateLandingMs = 35_000;

export interface SnapshotPlace {
  readonly vmid: Vmid;
  readonly name: string;
  /** The node's clock in seconds before the first call. */
  readonly since: number;
}

export type FoundSnapshot =
  | { readonly is: 'absent' }
  | { readonly is: 'whole'; readonly takenAtMs: number }
  /** Begun, or being dropped, by a worker that may be dead. */
  | { readonly is: 'unfinished' };

/** How it stands once no snapshot task of ours works on the guest any more. Reads only. */
export async function findSnapshot(
  ctx: Snapping,
  { vmid, name, since }: SnapshotPlace,
  signal: AbortSignal,
): Promise<Outcome<FoundSnapshot>> {
  for (const type of ['vzsnapshot', 'vzdelsnapshot']) {
    const idle = await whenIdle(ctx, { vmid, type, sinceSeconds: since }, signal);
    if (idle.is !== 'done') return unknown(idle.why);
  }
  const rows = await ctx.needs.snapshots.list(vmid, signal);
  if (rows.is !== 'done') return unknown(rows.why);
  return done(foundIn(rows.value, name));
}

export function foundIn(rows: readonly SnapshotRow[], name: string): FoundSnapshot {
  const row = rows.find((one) => one.name === name);
  if (row === undefined) return { is: 'absent' };
  if (row.state !== undefined || row.takenAt === undefined) return { is: 'unfinished' };
  return { is: 'whole', takenAtMs: row.takenAt * 1000 };
}

/**
 * Takes it, unless it is there already. A call of an earlier try that lands late makes the same one, because both give
 * it the same name and Proxmox takes a name once.
 */
export async function takeSnapshot(
  ctx: Snapping,
  place: SnapshotPlace,
  description: string,
  signal: AbortSignal,
): Promise<Outcome<{ readonly takenAtMs: number }>> {
  const before = await findSnapshot(ctx, place, signal);
  if (before.is !== 'done') return before;
  if (before.value.is === 'whole') return done(before.value);
  if (before.value.is === 'unfinished') {
    const cleared = await clearUnfinished(ctx, place, signal);
    if (cleared.is !== 'done') return cleared;
  }
  const posted = await ctx.needs.snapshots.take(place.vmid, place.name, description, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  const ended = await waitFor(ctx, posted.value, `taking snapshot ${place.name} of guest ${place.vmid}`, signal);
  if (ended.is !== 'done') return ended;
  const after = await findSnapshot(ctx, place, signal);
  if (after.is !== 'done') return after;
  if (after.value.is === 'whole') return done(after.value);
  const what = `cannot take a snapshot of guest ${place.vmid}`;
  if (ended.value.verdict.is === 'lost') return unknown(reason('guest.unsettled', `${what}: Proxmox forgot its task`));
  if (after.value.is === 'unfinished') {
    const cleared = await clearUnfinished(ctx, place, signal);
    if (cleared.is !== 'done') return cleared;
  }
  return refused(reason('checkpoint.failed', `${what}: ${endOf(ended.value)}`, tailOf(ended.value)));
}

/** Gone for certain, and nothing of it left. One that is not there is done. */
export function dropSnapshot(ctx: Snapping, place: SnapshotPlace, signal: AbortSignal): Promise<Outcome<void>> {
  const { vmid, name } = place;
  return patiently(ctx, `dropping snapshot ${name}`, signal, async () => {
    const before = await findSnapshot(ctx, place, signal);
    if (before.is !== 'done') return before;
    if (before.value.is === 'absent') return done(undefined);
    if (before.value.is === 'unfinished') return clearUnfinished(ctx, place, signal);
    const ended = await drop(ctx, place, { force: false }, signal);
    if (ended.is !== 'done') return ended;
    const after = await findSnapshot(ctx, place, signal);
    if (after.is !== 'done') return after;
    if (after.value.is === 'absent') return done(undefined);
    if (after.value.is === 'unfinished') return clearUnfinished(ctx, place, signal);
    const what = `cannot drop snapshot ${name} of guest ${vmid}`;
    return ended.value.verdict.is === 'lost'
      ? unknown(reason('guest.unsettled', `${what}: Proxmox forgot its task`))
      : refused(reason('checkpoint.failed', `${what}: ${endOf(ended.value)}`, tailOf(ended.value)));
  });
}

/** The locks that a killed worker of a snapshot leaves; the API clears none of them. */
const ownLocks: ReadonlySet<string | undefined> = new Set(['snapshot', 'snapshot-delete']);

/** Unlocks the guest by root's helper, which proves for itself that nothing works on it [R19], and drops the rest by force. */
async function clearUnfinished(ctx: Snapping, place: SnapshotPlace, signal: AbortSignal): Promise<Outcome<void>> {
  const { vmid, name } = place;
  const left = (because: string) =>
    unknown(reason('checkpoint.left', `cannot clear the unfinished snapshot ${name} of guest ${vmid}: ${because}`));
  const unlocked = await unlockAfter(ctx, vmid, ownLocks, name, signal);
  if (unlocked.is !== 'done') return left(unlocked.why.text);
  const dropped = await drop(ctx, place, { force: true }, signal);
  if (dropped.is !== 'done') return dropped.is === 'refused' ? left(dropped.why.text) : dropped;
  const now = await findSnapshot(ctx, place, signal);
  if (now.is !== 'done') return now;
  return now.value.is === 'absent' ? done(undefined) : left(endOf(dropped.value));
}

/** Clears a lock of these kinds; another one, or none, is left as it is. */
export async function unlockAfter(
  ctx: Snapping,
  vmid: Vmid,
  locks: ReadonlySet<string | undefined>,
  what: string,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present' || !locks.has(read.value.config.lock)) return done(undefined);
  // Under a name of its own each time: a receipt of an earlier one says nothing about this lock.
  return ctx.needs.helper.unlock(`${ctx.sagaId}.${what}.unlock.${Math.trunc(ctx.clock.now())}`, vmid, signal);
}

async function drop(
  ctx: Snapping,
  { vmid, name }: SnapshotPlace,
  options: { readonly force: boolean },
  signal: AbortSignal,
): Promise<Outcome<TaskEnd>> {
  const posted = await ctx.needs.snapshots.drop(vmid, name, options, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  return waitFor(ctx, posted.value, `dropping snapshot ${name} of guest ${vmid}`, signal);
}

export const endOf = ({ verdict }: TaskEnd): string =>
  verdict.is === 'failed' ? verdict.exitStatus : `its task ended as ${verdict.is}`;

export const tailOf = ({ logTail }: TaskEnd): string => logTail.slice(-8).join('\n');
