/** Growing a disk to an absolute size: repeatable, never undone, and done when the config says so. */
import type { Upid, Vmid } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { Acting } from './needs.ts';
import { reason } from '@felhom/protocol';
import { afterCall, ownTasks, patiently, readOwn, waitFor } from './settle.ts';
import type { Marker } from './settle.ts';
import type { GuestView } from './pve-config.ts';

export interface Growth {
  readonly vmid: Vmid;
  readonly marker: Marker;
  /** `rootfs`, `mp0` … */
  readonly key: string;
  readonly toGiB: number;
}

/** Larger than asked for counts as done: what is there already is never shrunk. */
const isGrown = (view: GuestView, growth: Growth): boolean =>
  (view.disks.find((disk) => disk.key === growth.key)?.sizeGiB ?? 0) >= growth.toGiB;

export function growDisk(ctx: Acting, growth: Growth, signal: AbortSignal): Promise<Outcome<GuestView>> {
  return patiently(ctx, `size of ${growth.key}`, signal, async () => {
    const view = await readOwn(ctx, growth.vmid, growth.marker, signal);
    if (view.is !== 'done' || isGrown(view.value, growth)) return view;
    const posted = await ctx.needs.writer.resize(growth.vmid, growth.key, growth.toGiB, signal);
    if (posted.is !== 'done') return posted;
    if (posted.value === undefined) return afterCall(await readOwn(ctx, growth.vmid, growth.marker, signal));
    ctx.recordHandle(posted.value);
    return settleGrowth(ctx, growth, posted.value, signal);
  });
}

async function settleGrowth(ctx: Acting, growth: Growth, upid: Upid, signal: AbortSignal): Promise<Outcome<GuestView>> {
  const ended = await waitFor(ctx, upid, `growing ${growth.key} of guest ${growth.vmid}`, signal);
  if (ended.is !== 'done') return ended;
  const view = afterCall(await readOwn(ctx, growth.vmid, growth.marker, signal));
  if (view.is !== 'done' || isGrown(view.value, growth)) return view;
  const { verdict, logTail } = ended.value;
  if (verdict.is === 'lost')
    return unknown(
      reason('guest.unsettled', `cannot tell whether guest ${growth.vmid} is still growing: Proxmox forgot ${upid}`),
    );
  return refused(
    reason(
      'guest.resize-failed',
      `cannot grow ${growth.key} of guest ${growth.vmid} to ${growth.toGiB} GiB: ${verdict.is === 'failed' ? verdict.exitStatus : `the task ended as ${verdict.is}`}`,
      logTail.slice(-6).join('\n'),
    ),
  );
}

export async function probeGrowth(
  ctx: Acting,
  growth: Growth,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Probed<GuestView>> {
  const view = afterCall(await readOwn(ctx, growth.vmid, growth.marker, signal));
  if (view.is !== 'done' || isGrown(view.value, growth)) return view;
  const tasks = await ownTasks(ctx, { vmid: growth.vmid, type: 'resize', sinceSeconds }, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  const [newest] = tasks.value;
  if (newest === undefined || newest.endTime !== undefined) return { is: 'never-happened' };
  ctx.recordHandle(newest.upid);
  const settled = await settleGrowth(ctx, growth, newest.upid, signal);
  return settled.is === 'done' ? done(settled.value) : settled;
}
