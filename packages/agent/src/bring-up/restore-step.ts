/**
 * The one restore of a saga, whatever it is for. Which guest is ours is never guessed: a finished one shows the marker that only this
 * saga's intent holds, an unfinished one is a bare locked stub and is ours only if our own task made it, at a VMID
 * that no other saga of ours aims at.
 */
import type { Reason, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { TaskEnd } from '../ports/proxmox.ts';
import { identityEnv } from './identity-policy.ts';
import { markerOf, want } from './restore-state.ts';
import type { FrontContext, RestoreFrontState, RestorePlan } from './restore-state.ts';
import { mintMarker, mintUid } from '../guests/mint.ts';
import { parseDisk, viewOf } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { restoreFailure } from './restore-failure.ts';
import { ownTasks, upidParts, waitFor } from '../guests/settle.ts';
import type { Marker } from '../guests/settle.ts';

/** VMIDs one saga may try; a lost race costs one. */
const candidatesPerSaga = 3;
/** Ids asked about before the range counts as used up. */
const askedAtMost = 60;

/** What a failed task or a refused call means for the saga. */
export type OnFailure = 'refuse' | 'value';

export async function intendRestore(
  ctx: FrontContext,
  plan: RestorePlan,
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  const { needs } = ctx;
  const uid = plan.uid ?? mintUid(ctx.random);
  const marker = { uid, incarnation: plan.incarnation, marker: mintMarker(ctx.random) };
  const chosen = await chooseVmids(ctx, plan, signal);
  if (chosen.is !== 'done') {
    needs.claims.release(ctx.sagaId);
    return chosen;
  }
  const time = await needs.node.time(signal);
  if (time.is !== 'done') {
    needs.claims.release(ctx.sagaId);
    return time;
  }
  const { words, archive, storage } = plan;
  const restoring = { words, archive, storage };
  return done({ ...marker, ...chosen.value, restoring, since: Math.floor(time.value) - 1, sent: sentBy(plan, marker) });
}

/** Always with an `env` of our own where the release takes one: an archived claim must never come back [R26]. */
function sentBy(plan: RestorePlan, marker: Marker): Readonly<Record<string, string>> {
  const values = plan.values(marker);
  const env = identityEnv(plan.scenario, plan.pveVersion);
  return env === undefined || Object.hasOwn(values, 'env') ? values : { ...values, env };
}

async function chooseVmids(
  ctx: FrontContext,
  plan: RestorePlan,
  signal: AbortSignal,
): Promise<Outcome<Pick<RestoreFrontState, 'candidates' | 'occupied'>>> {
  const { needs } = ctx;
  const { from, to } = needs.policy().vmids[plan.range];
  const rows = await needs.reader.list(signal);
  if (rows.is !== 'done') return rows;
  const taken = new Set<number>(rows.value.map((row) => row.vmid));
  const candidates: Vmid[] = [];
  const occupied: { vmid: Vmid; volumes: readonly VolumeId[] }[] = [];
  let asked = 0;
  for (let id: number = from; id <= to && candidates.length < candidatesPerSaga && asked < askedAtMost; id++) {
    const vmid = id as Vmid;
    if (taken.has(id) || needs.registry.byVmid(vmid) !== undefined) continue;
    if (!needs.claims.claim(vmid, ctx.sagaId)) continue;
    asked++;
    const free = await needs.reader.isVmidFree(vmid, signal);
    if (free.is !== 'done') return free;
    if (!free.value) continue;
    // The others are looked at when their turn comes: it is rare, and root's listing is the slowest question here.
    if (candidates.length === 0) {
      const volumes = await needs.helper.volumesOf(vmid, signal);
      if (volumes.is !== 'done') return volumes;
      if (volumes.value.length > 0) {
        occupied.push({ vmid, volumes: volumes.value });
        continue;
      }
    }
    candidates.push(vmid);
  }
  if (candidates.length > 0) return done({ candidates, occupied });
  const leftovers = occupied.map(({ vmid, volumes }) => `${vmid}: ${volumes.join(', ')}`).join('\n');
  return refused(
    reason(
      'guest.no-free-vmid',
      `cannot ${plan.words.goal}: no free VMID from ${from} to ${to}${occupied.length > 0 ? `; under ${occupied.length} of them volumes without a guest are left` : ''}`,
      leftovers,
    ),
  );
}

export async function runRestore(
  ctx: FrontContext,
  onFailure: OnFailure,
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  const { needs } = ctx;
  const { words, archive, storage } = want(ctx, 'restoring');
  const { pool } = needs.policy();
  for (const [at, vmid] of want(ctx, 'candidates').entries()) {
    if (at > 0) {
      const volumes = await needs.helper.volumesOf(vmid, signal);
      if (volumes.is !== 'done') return volumes;
      if (volumes.value.length > 0) {
        // Somebody's, or those of a late landing of our own call.
        const own = await adopted(ctx, vmid, onFailure, signal);
        if (own !== undefined) return own;
        continue;
      }
    }
    ctx.progress({ text: `restoring ${words.guest} as ${vmid}` });
    const posted = await needs.writer.restore({ vmid, archive, pool, storage, values: want(ctx, 'sent') }, signal);
    if (posted.is === 'unknown') return posted;
    if (posted.is === 'done') {
      ctx.recordHandle(posted.value);
      return settleRestore(ctx, vmid, posted.value, onFailure, signal);
    }
    // Refused, either because of what was asked, or because the VMID is taken: then perhaps by a late landing of our
    // own earlier call, which the task list shows.
    const free = await needs.reader.isVmidFree(vmid, signal);
    if (free.is !== 'done') return unknown(free.why);
    if (free.value) return posted.why.retry === 'later' ? posted : failed(posted.why, onFailure);
    const own = await adopted(ctx, vmid, onFailure, signal);
    if (own !== undefined) return own;
  }
  return refused(
    reason(
      'guest.vmid-taken',
      `cannot ${words.goal}: somebody else took VMID ${want(ctx, 'candidates').join(', ')} in between; the next pass takes another`,
    ),
  );
}

/** The outcome of a restore of ours that is already there, if there is one. */
async function adopted(
  ctx: FrontContext,
  vmid: Vmid,
  onFailure: OnFailure,
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>> | undefined> {
  const earlier = await ownRestores(ctx, vmid, signal);
  if (earlier.is !== 'done') return unknown(earlier.why);
  const [task] = earlier.value;
  if (task === undefined) return undefined;
  ctx.recordHandle(task);
  return settleRestore(ctx, vmid, task, onFailure, signal);
}

/** Adopts a task that this saga started; concludes `never-happened` only where nothing at any candidate is ours. */
export async function probeRestore(
  ctx: FrontContext,
  onFailure: OnFailure,
  signal: AbortSignal,
): Promise<Probed<Partial<RestoreFrontState>>> {
  if (ctx.handle !== undefined) {
    const vmid = Number(upidParts(ctx.handle).id) as Vmid;
    return settleRestore(ctx, vmid, ctx.handle as Upid, onFailure, signal);
  }
  for (const vmid of want(ctx, 'candidates')) {
    const tasks = await ownRestores(ctx, vmid, signal);
    if (tasks.is !== 'done') return unknown(tasks.why);
    const [task] = tasks.value;
    if (task !== undefined) {
      ctx.recordHandle(task);
      return settleRestore(ctx, vmid, task, onFailure, signal);
    }
    const found = await lookAt(ctx, vmid, signal);
    if (found.is !== 'done') return unknown(found.why);
    if (found.value.is === 'ours') return finished(ctx, vmid, found.value.view, []);
    if (found.value.is === 'stub')
      return unknown(
        reason(
          'guest.unsettled',
          `cannot tell whose guest ${vmid} is: it is being created and no task of ours is listed`,
        ),
      );
  }
  return { is: 'never-happened' };
}

async function ownRestores(ctx: FrontContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<readonly Upid[]>> {
  const filter = { vmid, type: 'vzrestore', sinceSeconds: want(ctx, 'since') };
  const rows = await ownTasks(ctx, filter, signal);
  return rows.is === 'done' ? done(rows.value.map((row) => row.upid)) : rows;
}

export type Sight =
  /** Nothing has this VMID. */
  | { readonly is: 'free' }
  /** Locked by a create and nothing else to see; whose it is, only tasks tell. */
  | { readonly is: 'stub' }
  /** Shows this saga's marker. `unfinished`: still locked by the create. */
  | { readonly is: 'ours'; readonly view: GuestView; readonly unfinished: boolean }
  /** Something has this VMID and may not be read: perhaps ours, fallen out of the pool. */
  | { readonly is: 'hidden' }
  | { readonly is: 'foreign' };

/** What stands at a VMID that this saga may have restored to. */
export async function lookAt(ctx: FrontContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<Sight>> {
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is === 'present') {
    const view = viewOf(read.value.config);
    if (view.marker !== undefined && markerLine(view.marker) === markerLine(markerOf(ctx)))
      return done({ is: 'ours', view, unfinished: view.lock === 'create' });
    // After somebody ran `pct unlock` on a stub its config is empty: still nothing but a stub.
    const bare = Object.keys(read.value.config.values).length === 0;
    return done({ is: bare ? 'stub' : 'foreign' });
  }
  const free = await ctx.needs.reader.isVmidFree(vmid, signal);
  if (free.is !== 'done') return free;
  if (free.value) return done({ is: 'free' });
  return done({ is: read.value.is === 'forbidden' ? 'hidden' : 'foreign' });
}

async function settleRestore(
  ctx: FrontContext,
  vmid: Vmid,
  upid: Upid,
  onFailure: OnFailure,
  signal: AbortSignal,
): Promise<Outcome<Partial<RestoreFrontState>>> {
  const { words } = want(ctx, 'restoring');
  const ended = await waitFor(ctx, upid, `restoring ${words.guest} as ${vmid}`, signal);
  if (ended.is !== 'done') return ended;
  const seen = await lookPastPool(ctx, vmid, signal);
  if (seen.is !== 'done') return unknown(seen.why);
  if (seen.value.is === 'ours' && !seen.value.unfinished)
    return finished(ctx, vmid, seen.value.view, warningsOf(ended.value));
  if (seen.value.is === 'hidden') return unknown(hiddenThere(vmid));
  const { verdict, logTail } = ended.value;
  if (verdict.is === 'lost' && seen.value.is === 'stub')
    return unknown(
      reason('guest.unsettled', `cannot tell whether the restore of guest ${vmid} still runs: Proxmox forgot ${upid}`),
    );
  if (verdict.is === 'failed') {
    const why = restoreFailure(words, verdict.exitStatus, logTail);
    // Somebody stopped it, which says nothing about the archive.
    return why.code === 'guest.restore-died' ? refused(why) : failed(why, onFailure);
  }
  return refused(
    reason(
      'guest.restore-died',
      `cannot ${words.goal}: its restore as ${vmid} ended without finishing (killed worker or node restart); what it left is removed`,
      logTail.slice(-8).join('\n'),
    ),
  );
}

/** Without a guest, either way: the undo clears what is left. */
const failed = (why: Reason, onFailure: OnFailure): Outcome<Partial<RestoreFrontState>> =>
  onFailure === 'value' ? done({ restoreFailure: why }) : refused(why);

export const hiddenThere = (vmid: Vmid): Reason =>
  reason(
    'pve.forbidden',
    `cannot tell whether guest ${vmid} is ours: the token may not read it; run felhom-agent doctor, its VMID may have left the pool`,
  );

/**
 * The pool membership comes last in a restore, after the unlocking. Killed in between, the guest is complete and
 * invisible, unless its VMID was a member before [R5]; putting it back is what a finished restore would have done.
 */
export async function lookPastPool(ctx: FrontContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<Sight>> {
  const seen = await lookAt(ctx, vmid, signal);
  if (seen.is !== 'done' || seen.value.is !== 'hidden') return seen;
  const ensured = await ctx.needs.helper.poolEnsure(`${ctx.sagaId}.restore.pool-seen.${vmid}`, vmid, signal);
  return ensured.is === 'unknown' ? ensured : lookAt(ctx, vmid, signal);
}

function finished(
  ctx: FrontContext,
  vmid: Vmid,
  view: GuestView,
  warnings: readonly string[],
): Outcome<Partial<RestoreFrontState>> {
  const volumes = view.disks.map((disk) => ({
    key: disk.key,
    name: disk.key,
    volid: disk.volid,
    sizeGiB: disk.sizeGiB ?? sizeAsked(want(ctx, 'sent')[disk.key]),
    ctime: undefined,
    carriedOver: false,
  }));
  return done({ vmid, warnings, volumes });
}

/** `local:8,mp=…` → 8 */
const sizeAsked = (value: string | undefined): number => Number(parseDisk('mp0', value ?? '').volid.split(':')[1] ?? 0);

/** WARNINGS decide nothing [R48]: the audit does. They are kept for people. */
function warningsOf(end: TaskEnd): readonly string[] {
  return end.verdict.is === 'warnings' ? end.logTail.filter((line) => /warn/i.test(line)).slice(-20) : [];
}
