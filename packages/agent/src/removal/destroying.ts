/**
 * Destroying one guest for good, as steps of whatever saga was allowed to: a signed removal, the end of an undo window.
 *
 *   destroy   reads everything again, mints the warrant from that, DELETE. From its intent on only forward is left: a
 *             destroy that stops half-way has freed volumes already, and is repeated or waits for a person
 *   pool      the VMID back into the pool, with the right to see its backups, which went with the guest [R5]
 *
 * What became of it the world shows: the VMID is free and root's listing shows no volume. Never a task's own word
 * [R48]. `destroy-unreferenced-disks` is never asked for: what nothing refers to was signed for by nobody.
 */
import { reason } from '@felhom/protocol';
import type { Upid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { Acting, GuestNeeds } from '../guests/needs.ts';
import { afterCall, ownTasks, waitFor, whenIdle, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, Step, StepContext } from '../kernel/saga.ts';
import { proveRemovable } from './proof.ts';

export interface DestroyState {
  /** Claims the VMID for as long as the saga is open: a late DELETE must not meet another guest there. */
  readonly vmid: Vmid;
  /** The node's clock in seconds before the first DELETE. */
  readonly since: number;
}

/** The guest as it is known, and exactly the volumes that may be freed. */
export interface DestroyOrder {
  readonly record: GuestRecord;
  readonly lossSet: readonly VolumeId[];
}

type Context = Acting & { readonly state: Readonly<Partial<DestroyState>> };

export function destroySteps<Params, State extends DestroyState, Needs extends GuestNeeds>(
  orderOf: (ctx: StepContext<Params, State, Needs>) => Outcome<DestroyOrder>,
): readonly [Step<Params, State, Needs>, Step<Params, State, Needs>] {
  type Ctx = StepContext<Params, State, Needs>;
  const nothing: Partial<State> = {};
  const ended = <T>(answer: Probed<T>): Probed<Partial<State>> => (answer.is === 'done' ? done(nothing) : answer);
  const settled = <T>(answer: Outcome<T>): Outcome<Partial<State>> => (answer.is === 'done' ? done(nothing) : answer);
  return [
    {
      name: 'destroy',
      pivot: 'at-intent',
      intend: async (ctx: Ctx, signal) => {
        const time = await ctx.needs.node.time(signal);
        // To the second: a task of an earlier, failed try must not be taken for this one's.
        return time.is === 'done' ? done({ since: Math.floor(time.value) } as Partial<State>) : time;
      },
      run: async (ctx: Ctx, signal) => {
        const order = orderOf(ctx);
        return order.is === 'done' ? settled(await destroy(ctx, order.value, signal)) : order;
      },
      probe: async (ctx: Ctx, signal) => {
        const order = orderOf(ctx);
        return order.is === 'done' ? ended(await probeDestroy(ctx, order.value.record, signal)) : unknown(order.why);
      },
      barrier: async (ctx: Ctx, signal) => {
        const order = orderOf(ctx);
        return order.is === 'done' ? shutOut(ctx, order.value.record, signal) : order;
      },
    },
    {
      name: 'pool',
      run: async (ctx: Ctx, signal) => {
        const { vmid } = ctx.state;
        if (vmid === undefined) throw new Error('cannot put a VMID back into the pool: the journal holds none');
        return settled(await ctx.needs.helper.poolEnsure(poolOperation(ctx), vmid, signal));
      },
      probe: async (ctx: Ctx, signal) => {
        const receipt = await ctx.needs.helper.show(poolOperation(ctx), signal);
        if (receipt.is !== 'done') return unknown(receipt.why);
        return receipt.value === undefined ? { is: 'never-happened' } : done(nothing);
      },
    },
  ];
}

const poolOperation = (ctx: Context): string => `${ctx.sagaId}.pool.${ctx.state.vmid ?? ''}`;

export const protection = (known: GuestRecord, wanted: boolean): ConfigWrite => ({
  vmid: known.vmid,
  marker: known,
  what: 'protection',
  missing: (view) => ({ set: view.protection === wanted ? {} : { protection: wanted ? '1' : '0' }, delete: [] }),
});

type Standing =
  | { readonly is: 'gone' }
  /** Volumes freed, config a locked rest: the worker was killed in its last moment. */
  | { readonly is: 'stub' }
  | { readonly is: 'there' };

async function destroy(ctx: Context, { record, lossSet }: DestroyOrder, signal: AbortSignal): Promise<Outcome<void>> {
  const standing = await standingOf(ctx, record, signal);
  if (standing.is !== 'done') return standing;
  if (standing.value.is === 'gone') return done(undefined);
  if (standing.value.is === 'stub') return clearStub(ctx, record, signal);
  // Behind a barrier it is protected again.
  const open = await writeConfig(ctx, protection(record, false), signal);
  if (open.is !== 'done') return open;
  const warrant = await proveRemovable(ctx, record, lossSet, signal);
  if (warrant.is !== 'done') return warrant;
  ctx.progress({ text: `destroying guest ${record.name} (${record.vmid})` });
  const posted = await ctx.needs.destroyer.destroy(warrant.value, signal);
  if (posted.is === 'refused' && posted.why.code === 'pve.guest-absent') return outcomeOf(ctx, record, signal);
  if (posted.is !== 'done') return posted;
  ctx.recordHandle(posted.value);
  return outcomeOf(ctx, record, signal, posted.value);
}

async function probeDestroy(ctx: Context, record: GuestRecord, signal: AbortSignal): Promise<Probed<void>> {
  const standing = await standingOf(ctx, record, signal);
  if (standing.is !== 'done') return afterCall(standing);
  if (standing.value.is === 'gone') return done(undefined);
  if (standing.value.is === 'stub') return refused(stubLeft(record));
  const tasks = await ownDestroys(ctx, record.vmid, signal);
  if (tasks.is !== 'done') return unknown(tasks.why);
  const [newest] = tasks.value;
  // That task has ended, or whoever looked above would still wait for it: nothing of it can land any more.
  return newest === undefined ? { is: 'never-happened' } : outcomeOf(ctx, record, signal, newest.upid);
}

/** A DELETE that lands after this fails, because the guest is protected; until it can have, nothing is concluded [R31]. */
async function shutOut(ctx: Context, record: GuestRecord, signal: AbortSignal): Promise<Outcome<void>> {
  const closed = await writeConfig(ctx, protection(record, true), signal);
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

async function outcomeOf(ctx: Context, known: GuestRecord, signal: AbortSignal, upid?: string): Promise<Outcome<void>> {
  const what = `destroying guest ${known.name} (${known.vmid})`;
  const ended = upid === undefined ? undefined : await waitFor(ctx, upid as Upid, what, signal);
  if (ended !== undefined && ended.is !== 'done') return ended;
  const standing = await standingOf(ctx, known, signal);
  if (standing.is !== 'done') return afterCall(standing);
  if (standing.value.is === 'gone') return done(undefined);
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
async function clearStub(ctx: Context, known: GuestRecord, signal: AbortSignal): Promise<Outcome<void>> {
  const reaped = await ctx.needs.helper.reapStub(`${ctx.sagaId}.destroy.reap.${known.vmid}`, known.vmid, [], signal);
  if (reaped.is !== 'done') return reaped;
  const standing = await standingOf(ctx, known, signal);
  if (standing.is !== 'done') return standing;
  return standing.value.is === 'gone' ? done(undefined) : refused(stubLeft(known));
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
