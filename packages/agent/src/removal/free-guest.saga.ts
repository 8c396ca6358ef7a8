/**
 * The end of a signed removal: the guest and exactly the volumes that were signed for are destroyed.
 *
 *   prove      reads everything that has to be true; refused here, nothing was touched
 *   unprotect  the quarantine's protection off; put back where it goes no further
 *   destroy    reads everything again, mints the warrant from that, DELETE. From its intent on only forward is left:
 *              a destroy that stops half-way has freed volumes already, and is repeated or waits for a person
 *   pool       the VMID back into the pool, with the right to see its backups, which went with the guest [R5]
 *   forget     off the registry
 *
 * What became of it the world shows: the VMID is free and root's listing shows no volume. Never a task's own word
 * [R48]. `destroy-unreferenced-disks` is never asked for: what nothing refers to was signed for by nobody.
 */
import { reason, volumeId } from '@felhom/protocol';
import type { Upid, Vmid, VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { ifStillOurs } from '../guests/at-rest.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import {
  afterCall,
  ownTasks,
  patientAttempts,
  probeConfig,
  readOwn,
  waitFor,
  whenIdle,
  writeConfig,
} from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { proveRemovable } from './proof.ts';

const params = z.strictObject({
  guest: guestRef,
  lossSet: z.array(volumeId).max(1024),
  jobId: z.string().min(1).max(80),
});

export interface FreeGuestParams {
  readonly guest: GuestRef;
  /** Exactly the volumes that were signed for. */
  readonly lossSet: readonly VolumeId[];
  /** For people who read the journal: on whose order. */
  readonly jobId: string;
}

export interface FreeGuestState {
  /** Claims the VMID for as long as the saga is open: a late DELETE must not meet another guest there. */
  readonly vmid: Vmid;
  readonly wasProtected: boolean;
  /** The node's clock in seconds before the first DELETE. */
  readonly since: number;
}

type Context = StepContext<FreeGuestParams, FreeGuestState, GuestNeeds>;
type Partly = Partial<FreeGuestState>;

export const freeGuest: SagaDefinition<FreeGuestParams, FreeGuestState, GuestNeeds> = {
  name: 'free-guest',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'prove', readOnly: true, run: prove },
    { name: 'unprotect', run: unprotect, probe: probeUnprotect, undo: protectAgain },
    { name: 'destroy', pivot: 'at-intent', intend: noteBegin, run: destroy, probe: probeDestroy, barrier: shutOut },
    { name: 'pool', run: ensurePool, probe: probePool },
    { name: 'forget', readOnly: true, run: forget },
  ],
};

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  if (found.value.servedAt !== undefined && !view.value.protection)
    return refused(
      reason(
        'job.changed',
        `cannot destroy guest ${found.value.name} (${found.value.vmid}): it is not in quarantine (not protected)`,
      ),
    );
  const proof = await proveRemovable(ctx, found.value, ctx.params.lossSet, signal);
  return proof.is === 'done' ? done({ vmid: found.value.vmid, wasProtected: view.value.protection }) : proof;
}

const protection = (known: GuestRecord, wanted: boolean): ConfigWrite => ({
  vmid: known.vmid,
  marker: known,
  what: 'protection',
  missing: (view) => ({ set: view.protection === wanted ? {} : { protection: wanted ? '1' : '0' }, delete: [] }),
});

async function unprotect(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const written = await writeConfig(ctx, protection(found.value, false), signal);
  return written.is === 'done' ? done({}) : written;
}

async function probeUnprotect(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, protection(found.value, false), signal);
  return probed.is === 'done' ? done({}) : probed;
}

function protectAgain(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  if (ctx.state.wasProtected !== true) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async (known) => {
    const back = await writeConfig(ctx, protection(known, true), signal);
    if (back.is !== 'done') return back;
    return keepRecord(ctx, known.uid, (guest) => ({ ...guest, configDigest: back.value.digest }));
  });
}

async function noteBegin(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const time = await ctx.needs.node.time(signal);
  // To the second: a task of an earlier, failed try must not be taken for this one's.
  return time.is === 'done' ? done({ since: Math.floor(time.value) }) : time;
}

type Standing =
  | { readonly is: 'gone' }
  /** Volumes freed, config a locked rest: the worker was killed in its last moment. */
  | { readonly is: 'stub' }
  | { readonly is: 'there' };

async function destroy(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const standing = await standingOf(ctx, found.value, signal);
  if (standing.is !== 'done') return standing;
  if (standing.value.is === 'gone') return done({});
  if (standing.value.is === 'stub') return clearStub(ctx, found.value, signal);
  // Behind a barrier it is protected again.
  const open = await writeConfig(ctx, protection(found.value, false), signal);
  if (open.is !== 'done') return open;
  const warrant = await proveRemovable(ctx, found.value, ctx.params.lossSet, signal);
  if (warrant.is !== 'done') return warrant;
  ctx.progress({ text: `destroying guest ${ctx.params.guest.name} (${found.value.vmid})` });
  const posted = await ctx.needs.destroyer.destroy(warrant.value, signal);
  if (posted.is === 'refused' && posted.why.code === 'pve.guest-absent') return outcomeOf(ctx, found.value, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  return outcomeOf(ctx, found.value, signal, posted.value);
}

async function probeDestroy(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return unknown(found.why);
  const standing = await standingOf(ctx, found.value, signal);
  if (standing.is !== 'done') return afterCall(standing);
  if (standing.value.is === 'gone') return done({});
  if (standing.value.is === 'stub') return refused(stubLeft(found.value));
  const tasks = await ownDestroys(ctx, found.value.vmid, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  const [newest] = tasks.value;
  // That task has ended, or whoever looked above would still wait for it: nothing of it can land any more.
  return newest === undefined ? { is: 'never-happened' } : outcomeOf(ctx, found.value, signal, newest.upid);
}

/** A DELETE that lands after this fails, because the guest is protected; until it can have, nothing is concluded [R31]. */
async function shutOut(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const closed = await writeConfig(ctx, protection(found.value, true), signal);
  // Gone meanwhile: the probe behind this barrier says so.
  if (closed.is === 'refused' && closed.why.code === 'pve.guest-absent') return done(undefined);
  if (closed.is !== 'done') return closed;
  await ctx.clock.sleep(lateLandingMs, signal);
  return done(undefined);
}

/** pveproxy gives up on a request after 30 s; afterwards its worker no longer begins. */
const lateLandingMs = 35_000;

const ownDestroys = (ctx: Context, vmid: Vmid, signal: AbortSignal) =>
  ownTasks(ctx, { vmid, type: 'vzdestroy', sinceSeconds: ctx.state.since ?? 0 }, signal);

/** How it stands once no destroy of ours works on it any more. */
async function standingOf(ctx: Context, known: GuestRecord, signal: AbortSignal): Promise<Outcome<Standing>> {
  const { vmid } = known;
  const idle = await whenIdle(ctx, { vmid, type: 'vzdestroy', sinceSeconds: ctx.state.since ?? 0 }, signal);
  if (idle.is !== 'done') return idle;
  const free = await ctx.needs.reader.isVmidFree(vmid, signal);
  if (free.is !== 'done') return free;
  if (free.value) {
    const left = await ctx.needs.helper.volumesOf(vmid, signal);
    if (left.is !== 'done') return left;
    return left.value.length === 0 ? done({ is: 'gone' }) : refused(volumesLeft(known, left.value));
  }
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is === 'forbidden') {
    // The worker took the pool membership before it was killed; with it back the rest can be read.
    const pooled = await ctx.needs.helper.poolEnsure(`${ctx.sagaId}.destroy.see.${vmid}`, vmid, signal);
    if (pooled.is !== 'done') return pooled;
    const again = await ctx.needs.reader.config(vmid, { current: true }, signal);
    if (again.is !== 'done') return again;
    return again.value.is === 'present' && again.value.config.lock === 'destroyed'
      ? done({ is: 'stub' })
      : unknown(reason('gate.not-seen', `cannot tell how guest ${known.name} (${vmid}) stands: it may not be read`));
  }
  if (read.value.is === 'present' && read.value.config.lock === 'destroyed') return done({ is: 'stub' });
  return done({ is: 'there' });
}

async function outcomeOf(
  ctx: Context,
  known: GuestRecord,
  signal: AbortSignal,
  upid?: string,
): Promise<Outcome<Partly>> {
  const what = `destroying guest ${known.name} (${known.vmid})`;
  const ended = upid === undefined ? undefined : await waitFor(ctx, upid as Upid, what, signal);
  if (ended !== undefined && ended.is !== 'done') return ended;
  const standing = await standingOf(ctx, known, signal);
  if (standing.is !== 'done') return afterCall(standing);
  if (standing.value.is === 'gone') return done({});
  if (standing.value.is === 'stub') return clearStub(ctx, known, signal);
  if (ended?.value.verdict.is === 'lost')
    return unknown(reason('guest.unsettled', `cannot tell whether ${what} goes on: Proxmox forgot ${upid}`));
  const listed = await ctx.needs.helper.volumesOf(known.vmid, signal);
  const left = listed.is === 'done' ? `volumes left: ${listed.value.join(', ') || 'none'}` : listed.why.text;
  const verdict = ended?.value.verdict;
  const because = verdict?.is === 'failed' ? verdict.exitStatus : `the task ended as ${verdict?.is ?? 'unknown'}`;
  return refused(
    reason(
      'guest.half-removed',
      `cannot finish ${what}: ${because}; ${left}`,
      ended?.value.logTail.slice(-6).join('\n'),
    ),
  );
}

/** Its volumes are gone; root takes away the locked rest of the config, which no token can. */
async function clearStub(ctx: Context, known: GuestRecord, signal: AbortSignal): Promise<Outcome<Partly>> {
  const reaped = await ctx.needs.helper.reapStub(`${ctx.sagaId}.destroy.reap.${known.vmid}`, known.vmid, [], signal);
  if (reaped.is !== 'done') return reaped;
  const standing = await standingOf(ctx, known, signal);
  if (standing.is !== 'done') return standing;
  return standing.value.is === 'gone' ? done({}) : refused(stubLeft(known));
}

const volumesLeft = (known: GuestRecord, left: readonly VolumeId[]) =>
  reason(
    'guest.half-removed',
    `cannot finish destroying guest ${known.name} (${known.vmid}): its config is gone and volumes are left: ${left.join(', ')}; free them by hand`,
  );

const stubLeft = (known: GuestRecord) =>
  reason(
    'guest.half-removed',
    `cannot finish destroying guest ${known.name} (${known.vmid}): a locked rest of its config is left, its volumes are gone; as root: pct unlock ${known.vmid} && pct destroy ${known.vmid}`,
  );

const poolOperation = (ctx: Context): string => `${ctx.sagaId}.pool.${ctx.state.vmid ?? ''}`;

async function probePool(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const receipt = await ctx.needs.helper.show(poolOperation(ctx), signal);
  if (receipt.is !== 'done') return unknown(receipt.why);
  return receipt.value === undefined ? { is: 'never-happened' } : done({});
}

async function ensurePool(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { vmid } = ctx.state;
  if (vmid === undefined) throw new Error('cannot put a VMID back into the pool: the journal holds none');
  const pooled = await ctx.needs.helper.poolEnsure(poolOperation(ctx), vmid, signal);
  return pooled.is === 'done' ? done({}) : pooled;
}

async function forget(ctx: Context): Promise<Outcome<Partly>> {
  ctx.needs.registry.remove(ctx.params.guest.uid);
  return done({});
}
