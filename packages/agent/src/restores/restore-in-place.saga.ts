/**
 * A guest goes back to a backup where there is no room for both: the guest as it is is destroyed first, and there is no
 * undo. Only from a backup that a restore-test has proven, whose bytes were read back a moment ago.
 *
 * Destroying a guest frees every volume that it owns, and bulk can be handed to another guest only, of which there is
 * none here. So a guest with bulk is refused: it needs room for a second root file system, which is `restore-overwrite`.
 * Never `force`, which frees everything before it unpacks.
 *
 *   assess           everything that can be known to fail
 *   shelve, stop, cut, prove   out of service, out of the network, exactly what was signed for; all of it taken back
 *   destroy          PIVOT at its intent: from here on only forward
 *   pool             its VMID and the right to its backups
 *   restore …        until it serves; what a failed try left is removed before the next one
 */
import { z } from 'zod';
import { digest, reason, volumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { clearRestored, markerOf, restoreFront, want } from '../bring-up/index.ts';
import type { RestoreFrontState } from '../bring-up/index.ts';
import type { ClaimState } from '../controllers/index.ts';
import { guestRef } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, Step, StepContext } from '../kernel/saga.ts';
import { destroySteps } from '../removal/destroying.ts';
import type { DestroyState } from '../removal/destroying.ts';
import { proveRemovable } from '../removal/proof.ts';
import type { RestoreNeeds } from './needs.ts';
import { assessOverwrite, restoreAside } from './overwrite-assess.ts';
import type { OverwriteAssessed, OverwriteOrder } from './overwrite-assess.ts';
import { connectAs, cutOff, startAtBoot } from './place.ts';
import type { Standing } from './place.ts';
import { missingAfter } from './restore-values.ts';
import { claimFor, downStep, seenUp, shelveStep, upStep, writeStep } from './steps.ts';

const params = z.strictObject({
  guest: guestRef,
  backup: z.strictObject({ archive: volumeId, sha256: digest }),
  bulk: z.array(volumeId).max(64),
  loss: z.array(volumeId).max(64),
  jobId: z.string().min(1).max(80),
});

export interface RestoreInPlaceParams extends OverwriteOrder {
  readonly jobId: string;
}

export interface RestoreInPlaceState
  extends RestoreFrontState, DestroyState, ClaimState, Omit<OverwriteAssessed, 'nodeSeconds' | 'items'> {
  readonly vmid: RestoreFrontState['vmid'];
  readonly since: number;
  readonly from: number;
  readonly stoppedAt: number;
  readonly healthyAt: number;
  readonly digest: string;
}

type P = RestoreInPlaceParams;
type S = RestoreInPlaceState;
type Context = StepContext<P, S, RestoreNeeds>;

const old = (ctx: Context): Standing => {
  const record = want(ctx, 'oldRecord');
  return { vmid: record.vmid, marker: record };
};
const restored = (ctx: Context): Standing => ({ vmid: want(ctx, 'vmid'), marker: markerOf(ctx) });
const before = (ctx: Context) => want(ctx, 'before');
const ran = (ctx: Context): boolean => before(ctx).running;
const from = (ctx: Context): number => want(ctx, 'from');
const restoredIfRan = (ctx: Context): Standing | undefined => (ran(ctx) ? restored(ctx) : undefined);

const [restore, audit] = restoreFront<P, S, RestoreNeeds>({ planOf: restoreAside });

export const restoreInPlace: SagaDefinition<P, S, RestoreNeeds> = {
  name: 'restore-in-place',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    shelveStep<P, S>({ of: old, before, from }),
    downStep<P, S>('stop', {
      of: old,
      since: from,
      ran,
      intend: (ctx) => ({ stoppedAt: ctx.state.stoppedAt ?? ctx.clock.now() }),
    }),
    writeStep<P, S>('cut', { to: (ctx) => cutOff(old(ctx)), back: (ctx) => connectAs(before(ctx))(old(ctx)) }),
    { name: 'prove', readOnly: true, run: prove },
    ...destroySteps<P, S, RestoreNeeds>((ctx) => done({ record: want(ctx, 'oldRecord'), lossSet: ctx.params.loss })),
    clearedBefore(restore),
    audit,
    writeStep<P, S>('fit', {
      to: (ctx) => ({
        ...restored(ctx),
        what: 'settings',
        missing: (view) => missingAfter(want(ctx, 'plan'), want(ctx, 'strips'), view),
      }),
    }),
    writeStep<P, S>('connect', { to: (ctx) => connectAs(before(ctx))(restored(ctx)) }),
    claimFor<P, S>(restoredIfRan),
    // Before its start: a node that reboots from here on starts it itself.
    writeStep<P, S>('enable', {
      to: (ctx) => startAtBoot(before(ctx))(restored(ctx)),
      keep: (view) => ({ digest: view.digest }),
    }),
    upStep<P, S>('start', { of: restoredIfRan, since: from }),
    seenUp<P, S>('up', {
      of: restoredIfRan,
      again: true,
      keep: (ctx) => ({ healthyAt: ctx.clock.now() }),
    }),
    { name: 'register', readOnly: true, run: register },
  ],
};

/**
 * Past the pivot nothing unwinds, so what a failed try left goes before the next one is decided. From here on `vmid` is
 * the restored guest's, and until there is one the candidates are what this saga claims.
 */
function clearedBefore(step: Step<P, S, RestoreNeeds>): Step<P, S, RestoreNeeds> {
  return {
    ...step,
    intend: async (ctx, signal) => {
      const { vmid: _, ...state } = ctx.state;
      if (state.candidates !== undefined) {
        const nowhere = (): void => undefined;
        const cleared = await clearRestored({ ...ctx, state, recordHandle: nowhere }, signal);
        if (cleared.is !== 'done') return cleared;
      }
      const intended = (await step.intend?.(ctx, signal)) ?? done({});
      return intended.is === 'done' ? done({ ...intended.value, vmid: null } as unknown as Partial<S>) : intended;
    },
  };
}

async function assess(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const { guest } = ctx.params;
  const cannot = `cannot restore guest ${guest.name} in place`;
  const assessed = await assessOverwrite(ctx, ctx.params, signal);
  if (assessed.is !== 'done') return assessed;
  const { nodeSeconds, storages: _, backup, items, ...kept } = assessed.value;
  const [bulk] = items;
  if (bulk !== undefined)
    return refused(
      reason(
        'restore.refused',
        `${cannot}: its bulk volume ${bulk.path} would be destroyed with it; make room for a second root file system and restore with an undo`,
      ),
    );
  if (kept.before.protection)
    return refused(reason('pve.protected', `${cannot}: guest ${kept.oldRecord.vmid} is protected`));
  const { record } = backup;
  if (record?.proven === undefined || record.failedTest !== undefined || record.integrity?.is === 'corrupt')
    return refused(reason('restore.refused', `${cannot}: no restore-test has proven ${ctx.params.backup.archive}`));
  return done({ ...kept, from: nodeSeconds, vmid: kept.oldRecord.vmid });
}

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const proof = await proveRemovable(ctx, want(ctx, 'oldRecord'), ctx.params.loss, signal);
  return proof.is === 'done' ? done({}) : proof;
}

async function register(ctx: Context): Promise<Outcome<Partial<S>>> {
  const { needs, params: asked, sagaId } = ctx;
  const record: GuestRecord = want(ctx, 'oldRecord');
  const healthyAt = want(ctx, 'healthyAt');
  const { uid, incarnation, marker } = markerOf(ctx);
  const vmid = want(ctx, 'vmid');
  needs.restores.put({
    id: sagaId,
    kind: 'in-place',
    guest: { uid, name: record.name },
    state: 'finished',
    at: healthyAt,
    backup: asked.backup,
    jobId: asked.jobId,
    new: { vmid, incarnation },
    bulk: [],
    outageMs: Math.max(0, healthyAt - want(ctx, 'stoppedAt')),
  });
  const nameOf = (key: string): string => record.volumes.find((volume) => volume.key === key)?.name ?? key;
  needs.registry.put({
    ...record,
    vmid,
    incarnation,
    marker,
    volumes: want(ctx, 'volumes').map((volume) => ({ ...volume, name: nameOf(volume.key) })),
    servedAt: record.servedAt ?? healthyAt,
    configDigest: want(ctx, 'digest'),
    createdAt: ctx.startedAt,
  });
  needs.claims.release(sagaId);
  return done({});
}
