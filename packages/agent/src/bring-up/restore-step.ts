/**
 * The restore of a bring-up. Which guest is ours is never guessed: a finished one shows the marker that only this
 * saga's intent holds, an unfinished one is a bare locked stub and is ours only if our own task made it, at a VMID
 * that no other saga of ours aims at.
 */
import type { Reason, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed } from '../kernel/saga.ts';
import type { TaskEnd } from '../ports/proxmox.ts';
import { markerOf, want } from './bring-up-state.ts';
import type { BringUpContext, BringUpState } from './bring-up-state.ts';
import { mintMarker, mintUid } from '../guests/mint.ts';
import { viewOf } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { reason } from '@felhom/protocol';
import { restoreFailure } from './restore-failure.ts';
import { restoreValues } from './restore-call.ts';
import { ownTasks, upidParts, waitFor } from '../guests/settle.ts';

/** VMIDs one saga may try; a lost race costs one. */
const candidatesPerSaga = 3;
/** Ids asked about before the range counts as used up. */
const askedAtMost = 60;

export async function intendRestore(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const { needs } = ctx;
  const { desired } = ctx.params;
  const marker = { uid: mintUid(ctx.random), incarnation: 1, marker: mintMarker(ctx.random) };
  const chosen = await chooseVmids(ctx, signal);
  if (chosen.is !== 'done') {
    needs.claims.release(ctx.sagaId);
    return chosen;
  }
  const time = await needs.node.time(signal);
  if (time.is !== 'done') {
    needs.claims.release(ctx.sagaId);
    return time;
  }
  const sent = restoreValues({
    desired,
    scenario: 'provision',
    marker,
    pveVersion: want(ctx, 'pveVersion'),
    archivedNetworks: want(ctx, 'archivedNetworks'),
  });
  return done({ ...marker, ...chosen.value, since: Math.floor(time.value) - 1, sent });
}

async function chooseVmids(
  ctx: BringUpContext,
  signal: AbortSignal,
): Promise<Outcome<Pick<BringUpState, 'candidates' | 'occupied'>>> {
  const { needs } = ctx;
  const { from, to } = needs.policy().vmids.guests;
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
      `cannot bring up guest ${ctx.params.desired.name}: no free VMID from ${from} to ${to}${occupied.length > 0 ? `; under ${occupied.length} of them volumes without a guest are left` : ''}`,
      leftovers,
    ),
  );
}

export async function runRestore(ctx: BringUpContext, signal: AbortSignal): Promise<Outcome<Partial<BringUpState>>> {
  const { needs } = ctx;
  const { desired } = ctx.params;
  const policy = needs.policy();
  for (const [at, vmid] of want(ctx, 'candidates').entries()) {
    if (at > 0) {
      const volumes = await needs.helper.volumesOf(vmid, signal);
      if (volumes.is !== 'done') return volumes;
      if (volumes.value.length > 0) {
        // Somebody's, or those of a late landing of our own call.
        const own = await adopted(ctx, vmid, signal);
        if (own !== undefined) return own;
        continue;
      }
    }
    ctx.progress({ text: `restoring golden ${desired.golden} as ${vmid}` });
    const posted = await needs.writer.restore(
      {
        vmid,
        archive: want(ctx, 'archive'),
        pool: policy.pool,
        storage: desired.rootfs.storage,
        values: want(ctx, 'sent'),
      },
      signal,
    );
    if (posted.is === 'unknown') return posted;
    if (posted.is === 'done') {
      ctx.recordHandle(posted.value);
      return settleRestore(ctx, vmid, posted.value, signal);
    }
    // Refused, either because of what was asked, or because the VMID is taken: then perhaps by a late landing of our
    // own earlier call, which the task list shows.
    const free = await needs.reader.isVmidFree(vmid, signal);
    if (free.is !== 'done') return unknown(free.why);
    if (free.value) return posted;
    const own = await adopted(ctx, vmid, signal);
    if (own !== undefined) return own;
  }
  return refused(
    reason(
      'guest.vmid-taken',
      `cannot bring up guest ${desired.name}: somebody else took VMID ${want(ctx, 'candidates').join(', ')} in between; the next pass takes another`,
    ),
  );
}

/** The outcome of a restore of ours that is already there, if there is one. */
async function adopted(
  ctx: BringUpContext,
  vmid: Vmid,
  signal: AbortSignal,
): Promise<Outcome<Partial<BringUpState>> | undefined> {
  const earlier = await ownRestores(ctx, vmid, signal);
  if (earlier.is !== 'done') return unknown(earlier.why);
  const [task] = earlier.value;
  if (task === undefined) return undefined;
  ctx.recordHandle(task);
  return settleRestore(ctx, vmid, task, signal);
}

/** Adopts a task that this saga started; concludes `never-happened` only where nothing at any candidate is ours. */
export async function probeRestore(ctx: BringUpContext, signal: AbortSignal): Promise<Probed<Partial<BringUpState>>> {
  if (ctx.handle !== undefined) {
    const vmid = Number(upidParts(ctx.handle).id) as Vmid;
    return settleRestore(ctx, vmid, ctx.handle as Upid, signal);
  }
  for (const vmid of want(ctx, 'candidates')) {
    const tasks = await ownRestores(ctx, vmid, signal);
    if (tasks.is !== 'done') return unknown(tasks.why);
    const [task] = tasks.value;
    if (task !== undefined) {
      ctx.recordHandle(task);
      return settleRestore(ctx, vmid, task, signal);
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

async function ownRestores(ctx: BringUpContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<readonly Upid[]>> {
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
export async function lookAt(ctx: BringUpContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<Sight>> {
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
  ctx: BringUpContext,
  vmid: Vmid,
  upid: Upid,
  signal: AbortSignal,
): Promise<Outcome<Partial<BringUpState>>> {
  const name = ctx.params.desired.name;
  const ended = await waitFor(ctx, upid, `restoring ${name} as ${vmid}`, signal);
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
  if (verdict.is === 'failed') return refused(restoreFailure(`guest ${name}`, verdict.exitStatus, logTail));
  return refused(
    reason(
      'guest.restore-died',
      `cannot bring up guest ${name}: its restore as ${vmid} ended without finishing (killed worker or node restart); what it left is removed`,
      logTail.slice(-8).join('\n'),
    ),
  );
}

export const hiddenThere = (vmid: Vmid): Reason =>
  reason(
    'pve.forbidden',
    `cannot tell whether guest ${vmid} is ours: the token may not read it; run felhom-agent doctor, its VMID may have left the pool`,
  );

/**
 * The pool membership comes last in a restore, after the unlocking. Killed in between, the guest is complete and
 * invisible, unless its VMID was a member before [R5]; putting it back is what a finished restore would have done.
 */
export async function lookPastPool(ctx: BringUpContext, vmid: Vmid, signal: AbortSignal): Promise<Outcome<Sight>> {
  const seen = await lookAt(ctx, vmid, signal);
  if (seen.is !== 'done' || seen.value.is !== 'hidden') return seen;
  const ensured = await ctx.needs.helper.poolEnsure(`${ctx.sagaId}.restore.pool-seen.${vmid}`, vmid, signal);
  return ensured.is === 'unknown' ? ensured : lookAt(ctx, vmid, signal);
}

function finished(
  ctx: BringUpContext,
  vmid: Vmid,
  view: GuestView,
  warnings: readonly string[],
): Outcome<Partial<BringUpState>> {
  const volumes = view.disks.map((disk) => ({
    key: disk.key,
    name: disk.key,
    volid: disk.volid,
    sizeGiB: disk.sizeGiB ?? ctx.params.desired.rootfs.sizeGiB,
    ctime: undefined,
    carriedOver: false,
  }));
  return done({ vmid, warnings, volumes });
}

/** WARNINGS decide nothing [R48]: the audit does. They are kept for people. */
function warningsOf(end: TaskEnd): readonly string[] {
  return end.verdict.is === 'warnings' ? end.logTail.filter((line) => /warn/i.test(line)).slice(-20) : [];
}
