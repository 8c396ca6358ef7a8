/**
 * What a killed vzdump worker leaves at a guest: the lock `backup`, and in snapshot mode the snapshot `vzdump`. No API
 * call clears the lock; root's helper does, after proving for itself that its owner is dead [R19].
 */
import { reason } from '@felhom/protocol';
import type { Vmid } from '@felhom/protocol';
import type { Acting } from '../guests/needs.ts';
import { waitFor } from '../guests/settle.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { Snapshots } from '../ports/proxmox.ts';

type Releasing = Acting & { readonly needs: { readonly snapshots: Snapshots } };

export interface Left {
  /** `snapshot-delete`: our own dropping of the snapshot died too, as when the node restarts. */
  readonly lock: 'backup' | 'snapshot-delete' | undefined;
  readonly snapshot: boolean;
}

/** Reads only. A guest that is gone has nothing left. */
export async function findLeft(ctx: Pick<Releasing, 'needs'>, vmid: Vmid, signal: AbortSignal): Promise<Outcome<Left>> {
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present') return done({ lock: undefined, snapshot: false });
  const rows = await ctx.needs.snapshots.list(vmid, signal);
  if (rows.is !== 'done') return rows;
  const snapshot = rows.value.some((row) => row.name === 'vzdump');
  const { lock } = read.value.config;
  return done({ lock: lock === 'backup' || (lock === 'snapshot-delete' && snapshot) ? lock : undefined, snapshot });
}

/**
 * Clears it, once no vzdump works on the guest any more: somebody else's, which may hold the same lock by right, is
 * waited for. Looks before each touch, so twice is the same as once. `operation`: unique per call site and saga.
 */
export async function clearLeft(
  ctx: Releasing,
  vmid: Vmid,
  operation: string,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const idle = await whenNobodyDumps(ctx, vmid, signal);
  if (idle.is !== 'done') return idle;
  const left = await findLeft(ctx, vmid, signal);
  if (left.is !== 'done') return unknown(left.why);
  if (left.value.lock !== undefined) {
    // Each look that finds one asks anew: the receipt of the first must not pass for a second.
    const unlocked = await ctx.needs.helper.unlock(`${operation}.${Math.trunc(ctx.clock.now())}`, vmid, signal);
    if (unlocked.is !== 'done')
      return unknown(
        reason(
          'backup.lock-left',
          `cannot clear the lock that a dead backup left at guest ${vmid}: ${unlocked.why.text}. The guest may also be frozen: see whether its apps answer, else stop and start it`,
        ),
      );
  }
  if (left.value.snapshot) {
    const dropped = await ctx.needs.snapshots.drop(vmid, 'vzdump', { force: true }, signal);
    if (dropped.is !== 'done') return unknown(dropped.why);
    ctx.recordHandle(dropped.value);
    const ended = await waitFor(ctx, dropped.value, `dropping the snapshot that a dead backup left at ${vmid}`, signal);
    if (ended.is !== 'done') return ended;
  }
  const now = await findLeft(ctx, vmid, signal);
  if (now.is !== 'done') return unknown(now.why);
  if (now.value.lock === undefined && !now.value.snapshot) return done(undefined);
  return unknown(
    reason('backup.lock-left', `cannot clear what a dead backup left at guest ${vmid}: it is still there`),
  );
}

/** A job over several guests has no VMID in its task id, so it may be at this one too. */
async function whenNobodyDumps(ctx: Releasing, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>> {
  const tasks = await ctx.needs.tasks.find({ type: 'vzdump' }, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  for (const { upid, id, endTime } of tasks.value) {
    if (endTime !== undefined || (id !== '' && id !== String(vmid))) continue;
    const ended = await waitFor(ctx, upid, `waiting for a backup that may hold guest ${vmid}`, signal);
    if (ended.is !== 'done') return ended;
  }
  return done(undefined);
}
