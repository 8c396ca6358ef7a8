/**
 * Finding out what became of a call, shared by the sagas: own tasks in the task list, a guest that is provably ours,
 * and config writes whose answer was lost.
 */
import type { Reason, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { TaskEnd, TaskRow } from '../ports/proxmox.ts';
import type { Acting } from './needs.ts';
import { changesNothing, harmlessWrite, viewOf } from './pve-config.ts';
import type { GuestView, RawChange } from './pve-config.ts';
import { reason } from '@felhom/protocol';

export type Marker = Pick<GuestRecord, 'uid' | 'incarnation' | 'marker'>;

/** UPID:node:pid:pstart:starttime:type:id:user: */
export function upidParts(upid: string): { readonly type: string; readonly id: string; readonly user: string } {
  const [, , , , , type = '', id = '', user = ''] = upid.split(':');
  return { type, id, user };
}

/** Tasks of one kind on one VMID that our own token started, newest first. */
export async function ownTasks(
  ctx: Pick<Acting, 'needs'>,
  filter: { readonly vmid: Vmid; readonly type: string; readonly sinceSeconds: number },
  signal: AbortSignal,
): Promise<Outcome<readonly TaskRow[]>> {
  const rows = await ctx.needs.tasks.find(filter, signal);
  if (rows.is !== 'done') return rows;
  const own = rows.value.filter((row) => {
    const parts = upidParts(row.upid);
    return parts.type === filter.type && parts.id === String(filter.vmid) && parts.user === ctx.needs.tokenId;
  });
  return done(own.toSorted((a, b) => b.startTime - a.startTime));
}

/** Waits with progress for people. Never settles a task as failed because nobody could be asked. */
export async function waitFor(ctx: Acting, upid: Upid, what: string, signal: AbortSignal): Promise<Outcome<TaskEnd>> {
  ctx.progress({ text: what });
  const ended = await ctx.needs.tasks.wait(
    upid,
    {
      onProgress: (line, fraction) =>
        ctx.progress({ text: `${what}: ${line}`, ...(fraction === undefined ? {} : { fraction }) }),
      onStall: () => ctx.progress({ text: `${what}: no progress for a while` }),
    },
    signal,
  );
  return ended.is === 'refused' ? unknown(ended.why) : ended;
}

/** Done when no task of ours of this kind works on the VMID any more; how it ended, the world shows. */
export async function whenIdle(
  ctx: Acting,
  filter: { readonly vmid: Vmid; readonly type: string; readonly sinceSeconds: number },
  signal: AbortSignal,
): Promise<Outcome<void>> {
  const tasks = await ownTasks(ctx, filter, signal);
  if (tasks.is !== 'done') return tasks;
  for (const { upid, endTime } of tasks.value) {
    if (endTime !== undefined) continue;
    ctx.recordHandle(upid);
    const ended = await waitFor(ctx, upid, `waiting for an earlier ${filter.type} of ${filter.vmid}`, signal);
    if (ended.is !== 'done') return ended;
  }
  return done(undefined);
}

/** A guest that shows our marker. Absent, forbidden and foreign are refusals with their own codes. */
export async function readOwn(
  ctx: Pick<Acting, 'needs'>,
  vmid: Vmid,
  marker: Marker,
  signal: AbortSignal,
  options: { readonly markerMayBeMissing?: true; readonly nextMarker?: Marker } = {},
): Promise<Outcome<GuestView>> {
  const read = await ctx.needs.reader.config(vmid, { current: false }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is === 'absent')
    return refused(reason('pve.guest-absent', `cannot work on guest ${vmid}: Proxmox has no config for it`));
  if (read.value.is === 'forbidden')
    return refused(
      reason('pve.forbidden', `cannot work on guest ${vmid}: the token may not read it; run felhom-agent doctor`),
    );
  const view = viewOf(read.value.config);
  const missing = view.marker === undefined && options.markerMayBeMissing === true;
  const own = [marker, ...(options.nextMarker === undefined ? [] : [options.nextMarker])].map(markerLine);
  if (!missing && (view.marker === undefined || !own.includes(markerLine(view.marker))))
    return refused(
      reason('guest.not-ours', `cannot work on guest ${vmid}: it does not carry the marker of ${marker.uid}`),
    );
  return done(view);
}

/**
 * For what was read after a call left. That we may not look, or that nobody answers, proves nothing about the call; only
 * what the guest itself shows does.
 */
export function afterCall<T>(answer: Outcome<T>): Outcome<T> {
  if (answer.is !== 'refused') return answer;
  const { code } = answer.why;
  return code.startsWith('guest.') || code === 'pve.guest-absent' ? answer : unknown(answer.why);
}

/** With the runner's back-off about half an hour: a node that reboots or a dead NFS must not park a saga. */
export const patientAttempts = 16;

const patienceTries = 8;
const patienceMs = 5_000;

/** Repeats what was proven not to have happened and may work later, e.g. while somebody's backup holds the guest. */
export async function patiently<T>(
  ctx: Acting,
  what: string,
  signal: AbortSignal,
  attempt: () => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  for (let tries = 1; ; tries++) {
    const outcome = await attempt();
    if (outcome.is !== 'refused' || outcome.why.retry !== 'later' || tries >= patienceTries) return outcome;
    ctx.progress({ text: `${what}: waiting, ${outcome.why.text}` });
    await ctx.clock.sleep(patienceMs, signal);
  }
}

const digestTries = 3;

export interface ConfigWrite {
  readonly vmid: Vmid;
  readonly marker: Marker;
  readonly what: string;
  /** The raw writes that are still missing on this view; empty means that it is done. */
  readonly missing: (view: GuestView) => RawChange;
  readonly markerMayBeMissing?: true;
  /** Where the write is that of the marker: the guest is ours by either. */
  readonly nextMarker?: Marker;
}

/**
 * A digest-guarded PUT with read-back. The digest makes repeating it sound: a late landing of the first try loses
 * against the second, or the second finds that nothing is missing any more.
 */
export function writeConfig(ctx: Acting, write: ConfigWrite, signal: AbortSignal): Promise<Outcome<GuestView>> {
  let written = false;
  return patiently(ctx, write.what, signal, async () => {
    for (let tries = 1; ; tries++) {
      const view = await readOwn(ctx, write.vmid, write.marker, signal, optionsOf(write));
      if (view.is !== 'done') return written ? afterCall(view) : view;
      const change = write.missing(view.value);
      if (changesNothing(change)) return view;
      if (tries > digestTries)
        return refused(
          notTaken(write, 'somebody else keeps changing it at the same time, or Proxmox drops the change'),
        );
      const put = await ctx.needs.writer.configure(write.vmid, { ...change, digest: view.value.digest }, signal);
      if (put.is === 'unknown') return put;
      if (put.is === 'done') written = true;
      else {
        const now = await readOwn(ctx, write.vmid, write.marker, signal, optionsOf(write));
        if (now.is !== 'done') return written ? afterCall(now) : now;
        if (now.value.digest === view.value.digest) return put;
      }
    }
  });
}

/** What became of a config write: satisfied, or to be done again. Never writes. */
export async function probeConfig(ctx: Acting, write: ConfigWrite, signal: AbortSignal): Promise<Probed<GuestView>> {
  const view = afterCall(await readOwn(ctx, write.vmid, write.marker, signal, optionsOf(write)));
  if (view.is !== 'done') return view;
  return changesNothing(write.missing(view.value)) ? view : { is: 'never-happened' };
}

const optionsOf = (write: ConfigWrite): { markerMayBeMissing?: true; nextMarker?: Marker } => ({
  ...(write.markerMayBeMissing === true ? { markerMayBeMissing: true } : {}),
  ...(write.nextMarker === undefined ? {} : { nextMarker: write.nextMarker }),
});

const notTaken = (write: ConfigWrite, why: string): Reason =>
  reason('guest.change-failed', `cannot change ${write.what} of guest ${write.vmid}: ${why}`);

const barrierTries = 6;
const barrierMs = 3_000;

/**
 * The config flock as completion signal of a synchronous call whose answer was lost [R32]: a write that changes
 * nothing is admitted only when nobody holds the flock, so afterwards the lost call has ended, one way or the other.
 */
export async function barrier(
  ctx: Acting,
  vmid: Vmid,
  marker: Marker,
  signal: AbortSignal,
): Promise<Outcome<GuestView>> {
  let last = reason('guest.unsettled', `cannot tell what became of the last change of guest ${vmid}: it is still busy`);
  for (let tries = 0; tries < barrierTries; tries++) {
    if (tries > 0) await ctx.clock.sleep(barrierMs, signal);
    const view = afterCall(await readOwn(ctx, vmid, marker, signal));
    if (view.is !== 'done') return view;
    const put = await ctx.needs.writer.configure(
      vmid,
      { ...harmlessWrite(view.value), digest: view.value.digest },
      signal,
    );
    if (put.is === 'done') return afterCall(await readOwn(ctx, vmid, marker, signal));
    last = put.why;
  }
  return unknown(last);
}

/** Volumes that appeared since the journaled listing and that the config does not know. */
export function orphansOf(
  listed: readonly VolumeId[],
  before: readonly VolumeId[],
  view: Pick<GuestView, 'disks' | 'unused'>,
): readonly VolumeId[] {
  const known = new Set<VolumeId>([...before, ...view.unused, ...view.disks.map((disk) => disk.volid)]);
  return listed.filter((volid) => !known.has(volid));
}
