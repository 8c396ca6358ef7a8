/**
 * The call that cannot be taken back. Read from the guest itself: trace there = not rolled back; trace gone and no lock =
 * done; lock `rollback` = the worker died half-way, so it is unlocked and the same rollback is repeated, which Proxmox
 * allows as often as needed [R33].
 */
import { reason } from '@felhom/protocol';
import type { Vmid } from '@felhom/protocol';
import { viewOf } from '../guests/pve-config.ts';
import { recordOf } from '../guests/registered.ts';
import { barrier, waitFor, whenIdle } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import { findWay } from './roll-back-assess.ts';
import type { Partly, RollBackContext } from './roll-back.saga.ts';
import { traceStands } from './roll-back-trace.ts';
import { endOf, lateLandingMs, tailOf, unlockAfter } from '../guests/snapshot-work.ts';

type Standing = 'before' | 'partial' | 'after';

const rollbackLock: ReadonlySet<string | undefined> = new Set(['rollback']);

export async function runRollBack(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Partly>> {
  const before = await standingOf(ctx, signal);
  if (before.is !== 'done') return before;
  if (before.value === 'after') return done({});
  // Unlocked behind the barrier, where nothing can be at work on it any more.
  if (before.value === 'partial')
    return unknown(
      reason('checkpoint.rollback-failed', `cannot roll guest ${ctx.params.guest.name} back: one stands half-way`),
    );
  const way = await findWay(ctx, signal);
  if (way.is !== 'done') return way;
  const { guest, checkpoint } = ctx.params;
  const what = `rolling guest ${guest.name} back to ${checkpoint}`;
  ctx.progress({ text: what });
  const posted = await ctx.needs.snapshots.rollback(way.value.warrant, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  const ended = await waitFor(ctx, posted.value, what, signal);
  if (ended.is !== 'done') return ended;
  const after = await standingOf(ctx, signal);
  if (after.is !== 'done') return after;
  if (after.value === 'after') return done({});
  const failed = reason(
    'checkpoint.rollback-failed',
    `cannot roll guest ${guest.name} back to ${checkpoint}: ${endOf(ended.value)}`,
    tailOf(ended.value),
  );
  // Half-way is nothing that can be left so; neither is what may still go on.
  return after.value === 'partial' || ended.value.verdict.is === 'lost' ? unknown(failed) : refused(failed);
}

export async function probeRollBack(ctx: RollBackContext, signal: AbortSignal): Promise<Probed<Partly>> {
  const standing = await standingOf(ctx, signal);
  if (standing.is !== 'done') return standing;
  return standing.value === 'after' ? done({}) : { is: 'never-happened' };
}

/** Until no call of ours can land any more, and a write of the config is admitted [R31]. */
export async function barRollBack(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<void>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  ctx.progress({ text: 'waiting until no earlier rollback can land any more' });
  await ctx.clock.sleep(lateLandingMs, signal);
  const standing = await standingOf(ctx, signal);
  if (standing.is !== 'done') return standing;
  if (standing.value === 'partial') {
    const free = await unlockAfter(ctx, vmidOf(ctx), rollbackLock, 'barrier', signal);
    if (free.is !== 'done') return free;
  }
  const settled = await barrier(ctx, vmidOf(ctx), found.value, signal);
  return settled.is === 'done' ? done(undefined) : settled;
}

function vmidOf({ state }: RollBackContext): Vmid {
  if (state.vmid === undefined) throw new Error('cannot roll back: its journal holds no VMID');
  return state.vmid;
}

/** How it stands once no rollback of ours works on the guest any more. Reads only; what is not seen is not known. */
async function standingOf(ctx: RollBackContext, signal: AbortSignal): Promise<Outcome<Standing>> {
  const vmid = vmidOf(ctx);
  const idle = await whenIdle(ctx, { vmid, type: 'vzrollback', sinceSeconds: ctx.state.since ?? 0 }, signal);
  if (idle.is !== 'done') return unknown(idle.why);
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return unknown(read.why);
  const { guest, checkpoint } = ctx.params;
  const cannot = (because: string) =>
    unknown(reason('guest.unsettled', `cannot tell whether guest ${guest.name} is rolled back: ${because}`));
  if (read.value.is !== 'present') return cannot('it is not seen');
  const { config } = read.value;
  const view = viewOf(config);
  if (view.marker?.uid !== guest.uid) return cannot('what is there does not carry its marker');
  if (view.lock === 'rollback') return done('partial');
  if (traceStands(ctx.state, view)) return done('before');
  if (view.lock !== undefined) return cannot(`it is locked (${view.lock})`);
  // The config of a snapshot names it as its parent; another one was put back by somebody else.
  return config.values['parent'] === checkpoint ? done('after') : cannot('its config is that of another snapshot');
}
