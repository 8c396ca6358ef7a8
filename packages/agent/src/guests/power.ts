/** Starting a guest and knowing that it stays up; bringing one down, gently or as an undo of its start. */
import type { Upid, Vmid } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { Acting } from './needs.ts';
import { reason } from '@felhom/protocol';
import { afterCall, ownTasks, patiently, readOwn, waitFor, whenIdle } from './settle.ts';
import type { Marker } from './settle.ts';

export function powerOn(ctx: Acting, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>> {
  return patiently(ctx, 'start', signal, async () => {
    const posted = await ctx.needs.writer.start(vmid, signal);
    if (posted.is !== 'done') return posted;
    if (posted.value === undefined) return done(undefined);
    ctx.recordHandle(posted.value);
    return settleStart(ctx, vmid, posted.value, signal);
  });
}

/** The state decides, not the task: a start may end with warnings, or its worker may die after the guest is up. */
async function settleStart(ctx: Acting, vmid: Vmid, upid: Upid, signal: AbortSignal): Promise<Outcome<void>> {
  const ended = await waitFor(ctx, upid, `starting guest ${vmid}`, signal);
  if (ended.is !== 'done') return ended;
  const status = await ctx.needs.reader.status(vmid, signal);
  if (status.is !== 'done') return unknown(status.why);
  if (status.value.status === 'running') return done(undefined);
  const { verdict, logTail } = ended.value;
  // Forgotten is not ended: its worker may still be about to start the guest.
  if (verdict.is === 'lost')
    return unknown(reason('guest.unsettled', `cannot tell whether guest ${vmid} starts: Proxmox forgot ${upid}`));
  if (verdict.is === 'ok' || verdict.is === 'warnings')
    return refused(
      reason('guest.did-not-stay-up', `cannot start guest ${vmid}: it started and went down at once`, logEnd(logTail)),
    );
  return refused(
    reason(
      'guest.did-not-start',
      `cannot start guest ${vmid}: ${verdict.is === 'failed' ? verdict.exitStatus : `the task ended as ${verdict.is}`}`,
      logEnd(logTail),
    ),
  );
}

const logEnd = (lines: readonly string[]): string => lines.slice(-8).join('\n');

export async function probePowerOn(
  ctx: Acting,
  vmid: Vmid,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Probed<void>> {
  const tasks = await ownTasks(ctx, { vmid, type: 'vzstart', sinceSeconds }, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  const running = tasks.value.find((task) => task.endTime === undefined);
  if (running !== undefined) {
    ctx.recordHandle(running.upid);
    return settleStart(ctx, vmid, running.upid, signal);
  }
  const status = await ctx.needs.reader.status(vmid, signal);
  if (status.is !== 'done') return unknown(status.why);
  return status.value.status === 'running' ? done(undefined) : { is: 'never-happened' };
}

/** For the undo of a start only, on a guest that has never served: nobody's work is in it yet. */
export async function powerOff(
  ctx: Acting,
  vmid: Vmid,
  marker: Marker,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const own = await readOwn(ctx, vmid, marker, signal);
  if (own.is === 'refused' && afterCall(own).is === 'refused') return done(undefined);
  if (own.is !== 'done') return own;
  // The start itself, or a stop of an earlier try, perhaps of a process that is gone: what still works on the guest
  // would change what is seen here after it was looked at.
  for (const type of ['vzstart', 'vzstop']) {
    const idle = await whenIdle(ctx, { vmid, type, sinceSeconds }, signal);
    if (idle.is !== 'done') return idle;
  }
  const running = await ctx.needs.reader.status(vmid, signal);
  if (running.is !== 'done') return running;
  if (running.value.status === 'stopped') return done(undefined);
  const posted = await ctx.needs.writer.stop(vmid, signal);
  if (posted.is !== 'done') return posted;
  if (posted.value !== undefined) {
    ctx.recordHandle(posted.value);
    const ended = await waitFor(ctx, posted.value, `stopping guest ${vmid}`, signal);
    if (ended.is !== 'done') return ended;
  }
  const after = await ctx.needs.reader.status(vmid, signal);
  if (after.is !== 'done') return after;
  if (after.value.status === 'stopped') return done(undefined);
  return unknown(reason('guest.undo-incomplete', `cannot stop guest ${vmid}: it still runs`));
}

/** Seconds that a guest has to end its own services; afterwards Proxmox stops it. */
const shutdownSeconds = 120;

/**
 * Down for certain: its services are asked to end, after two minutes it is stopped, and once more where even that task
 * failed. Refused only where it was seen to run still and nothing works on it any more.
 */
export function bringDown(ctx: Acting, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>> {
  return patiently(ctx, 'shutdown', signal, async () => {
    const before = await ctx.needs.reader.status(vmid, signal);
    if (before.is !== 'done') return before;
    if (before.value.status === 'stopped') return done(undefined);
    let tail = '';
    for (const gentle of [true, false]) {
      const posted = gentle
        ? await ctx.needs.writer.shutdown(vmid, { timeoutSeconds: shutdownSeconds, force: true }, signal)
        : await ctx.needs.writer.stop(vmid, signal);
      if (posted.is !== 'done') return posted;
      if (posted.value === undefined) return done(undefined);
      ctx.recordHandle(posted.value);
      const ended = await waitFor(ctx, posted.value, `bringing guest ${vmid} down`, signal);
      if (ended.is !== 'done') return ended;
      if (ended.value.verdict.is === 'lost')
        return unknown(
          reason('guest.unsettled', `cannot tell whether guest ${vmid} goes down: Proxmox forgot ${posted.value}`),
        );
      tail = logEnd(ended.value.logTail);
      const now = await ctx.needs.reader.status(vmid, signal);
      if (now.is !== 'done') return unknown(now.why);
      if (now.value.status === 'stopped') return done(undefined);
    }
    return refused(reason('guest.did-not-stop', `cannot bring guest ${vmid} down: it still runs`, tail));
  });
}

/** Waits for what of ours is about to bring it down, then looks. */
export async function probeDown(
  ctx: Acting,
  vmid: Vmid,
  sinceSeconds: number,
  signal: AbortSignal,
): Promise<Probed<void>> {
  for (const type of ['vzshutdown', 'vzstop']) {
    const idle = await whenIdle(ctx, { vmid, type, sinceSeconds }, signal);
    if (idle.is !== 'done') return unknown(idle.why);
  }
  const status = await ctx.needs.reader.status(vmid, signal);
  if (status.is !== 'done') return unknown(status.why);
  return status.value.status === 'stopped' ? done(undefined) : { is: 'never-happened' };
}

const pollMs = 250;
/** Two looks at a growing uptime with it running in between: it passed its first moments. */
const growthNeeded = 2;
const pollsAtMost = 480;

/** Bounded watch of the first moments; reads only. */
export async function stayUp(ctx: Acting, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>> {
  let [grown, last] = [0, -1];
  for (let polls = 0; polls < pollsAtMost; polls++) {
    if (polls > 0) await ctx.clock.sleep(pollMs, signal);
    const status = afterCall(await ctx.needs.reader.status(vmid, signal));
    if (status.is === 'unknown') continue;
    if (status.is === 'refused') return status;
    if (status.value.status !== 'running')
      return refused(
        reason(
          'guest.did-not-stay-up',
          `cannot bring up guest ${vmid}: it went down again within moments of its start`,
        ),
      );
    if (status.value.uptimeSeconds > last) grown++;
    last = status.value.uptimeSeconds;
    if (grown >= growthNeeded && last > 0) return done(undefined);
  }
  return unknown(reason('guest.unsettled', `cannot tell whether guest ${vmid} stays up: its uptime does not grow`));
}
