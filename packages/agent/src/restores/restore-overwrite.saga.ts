/**
 * A guest goes back to a backup, with an undo [R16]. Nothing is overwritten: the backup becomes a second guest beside
 * the one that is, is seen to boot with its links down, and only then takes its place.
 *
 *   assess       everything that can be known to fail
 *   shelve       old: does not start with the node
 *   restore      new: the same uid, the next incarnation, links down, not started with the node
 *   audit, fit   what was restored is what was asked for; tags, and nothing of the archive's
 *   try …        new: boots without a link, stays up, stops again
 *   stop-old     from here on the guest is out of service, at most ten minutes
 *   cut-old      old: links down
 *   carry        its bulk volumes become new's
 *   connect      new: links as old's were
 *   claim        new: what it finds its host with, where it has a controller
 *   start, up    new serves. PIVOT: until then any trouble brings the old guest back as it was, with its bulk
 *   enable       new: starts with the node as old did
 *   keep         old: protected; stays until undo or the end of the window
 *   register     the registry knows new, a restore's record knows old
 */
import { z } from 'zod';
import { digest, volumeId } from '@felhom/protocol';
import { markerOf, restoreFront, want } from '../bring-up/index.ts';
import type { RestoreFrontState } from '../bring-up/index.ts';
import type { GuestRecord, GuestVolume } from '../authority/guest-record.ts';
import type { ClaimState } from '../controllers/index.ts';
import { keepRecord, guestRef } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { Carried } from './carry-over.ts';
import { carryStep } from './carry-step.ts';
import type { CarryState } from './carry-step.ts';
import { inTime } from './deadline.ts';
import type { RestoreNeeds } from './needs.ts';
import { assessOverwrite, restoreAside } from './overwrite-assess.ts';
import type { OverwriteAssessed, OverwriteOrder } from './overwrite-assess.ts';
import { connectAs, cutOff, protect, startAtBoot } from './place.ts';
import type { Standing } from './place.ts';
import type { KeptGuest } from './restore-store.ts';
import { missingAfter } from './restore-values.ts';
import { roomFor } from './room.ts';
import { claimFor, downStep, seenUp, shelveStep, upStep, writeStep } from './steps.ts';

const params = z.strictObject({
  guest: guestRef,
  backup: z.strictObject({ archive: volumeId, sha256: digest }),
  bulk: z.array(volumeId).max(64),
  loss: z.array(volumeId).max(64),
  undoHours: z.number().int().min(1).max(720),
  jobId: z.string().min(1).max(80),
});

export interface RestoreOverwriteParams extends OverwriteOrder {
  readonly undoHours: number;
  readonly jobId: string;
}

export interface RestoreOverwriteState
  extends RestoreFrontState, CarryState, ClaimState, Omit<OverwriteAssessed, 'nodeSeconds'> {
  /** The node's clock in seconds before anything was done. */
  readonly from: number;
  /** Wall time at which the guest was taken out of service. */
  readonly stoppedAt: number;
  readonly healthyAt: number;
  /** Config digest of the new guest after the last write. */
  readonly digest: string;
}

type Context = StepContext<RestoreOverwriteParams, RestoreOverwriteState, RestoreNeeds>;
type P = RestoreOverwriteParams;
type S = RestoreOverwriteState;

const old = (ctx: Context): Standing => {
  const record = want(ctx, 'oldRecord');
  return { vmid: record.vmid, marker: record };
};
const restored = (ctx: Context): Standing => ({ vmid: want(ctx, 'vmid'), marker: markerOf(ctx) });
const before = (ctx: Context) => want(ctx, 'before');
const ran = (ctx: Context): boolean => before(ctx).running;
const from = (ctx: Context): number => want(ctx, 'from');
const guard = (ctx: Context): Outcome<void> => inTime(ctx.params.guest.name, ctx.state.stoppedAt, ctx.clock);
/** A guest that stood still stays so: it was seen to boot, and nobody asked for more. */
const restoredIfRan = (ctx: Context): Standing | undefined => (ran(ctx) ? restored(ctx) : undefined);

export const restoreOverwrite: SagaDefinition<P, S, RestoreNeeds> = {
  name: 'restore-overwrite',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    shelveStep<P, S>({ of: old, before, from }),
    ...restoreFront<P, S, RestoreNeeds>({ planOf: restoreAside }),
    writeStep<P, S>('fit', {
      to: (ctx) => ({
        ...restored(ctx),
        what: 'settings',
        missing: (view) => missingAfter(want(ctx, 'plan'), want(ctx, 'strips'), view),
      }),
    }),
    upStep<P, S>('try-start', { of: restored, since: from }),
    seenUp<P, S>('try-up', { of: restored }),
    downStep<P, S>('try-stop', { of: restored, since: from, ran: () => false }),
    downStep<P, S>('stop-old', {
      of: old,
      since: from,
      ran,
      intend: (ctx) => (ran(ctx) ? { stoppedAt: ctx.state.stoppedAt ?? ctx.clock.now() } : {}),
    }),
    writeStep<P, S>('cut-old', {
      guard,
      to: (ctx) => cutOff(old(ctx)),
      back: (ctx) => connectAs(before(ctx))(old(ctx)),
    }),
    carryStep<P, S>('carry', {
      guard,
      sides: (ctx) => ({ items: want(ctx, 'items'), home: old(ctx), away: restored(ctx) }),
      home: broughtHome,
    }),
    writeStep<P, S>('connect', {
      guard,
      to: (ctx) => connectAs(before(ctx))(restored(ctx)),
      back: (ctx) => cutOff(restored(ctx)),
    }),
    claimFor<P, S>(restoredIfRan),
    upStep<P, S>('start', { guard, of: restoredIfRan, since: from }),
    seenUp<P, S>('up', {
      pivot: true,
      guard,
      of: restoredIfRan,
      keep: (ctx) => ({ healthyAt: ctx.clock.now() }),
    }),
    writeStep<P, S>('enable', {
      to: (ctx) => startAtBoot(before(ctx))(restored(ctx)),
      keep: ({ digest: written }) => ({ digest: written }),
    }),
    writeStep<P, S>('keep', { to: (ctx) => protect(true)(old(ctx)) }),
    { name: 'register', readOnly: true, run: register },
  ],
};

async function assess(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const assessed = await assessOverwrite(ctx, ctx.params, signal);
  if (assessed.is !== 'done') return assessed;
  const { nodeSeconds, storages, backup: _, ...kept } = assessed.value;
  const room = roomFor(ctx.needs, `cannot restore guest ${ctx.params.guest.name}`, kept.plan.room, storages);
  return room.is === 'done' ? done({ ...kept, from: nodeSeconds }) : room;
}

/** Renamed twice: the record says what they are called now. Carried once, they are data for ever [R1]. */
function broughtHome(ctx: Context, volumes: readonly Carried[]): Outcome<void> {
  return keepRecord(ctx, ctx.params.guest.uid, (record) => ({
    ...record,
    volumes: record.volumes.map((volume) => renamed(volume, volumes)),
  }));
}

const renamed = (volume: GuestVolume, volumes: readonly Carried[]): GuestVolume => {
  const now = volumes.find(({ key }) => key === volume.key);
  return now === undefined ? volume : { ...volume, volid: now.volid, carriedOver: true };
};

/** The kept guest first: what the registry stops knowing must be known elsewhere before. */
async function register(ctx: Context): Promise<Outcome<Partial<S>>> {
  const { needs, params: asked, sagaId } = ctx;
  const record = want(ctx, 'oldRecord');
  const carried = want(ctx, 'carried');
  const { uid, incarnation, marker } = markerOf(ctx);
  const vmid = want(ctx, 'vmid');
  const healthyAt = want(ctx, 'healthyAt');
  needs.restores.put({
    id: sagaId,
    kind: 'overwrite',
    guest: { uid, name: record.name },
    state: 'undoable',
    at: healthyAt,
    until: healthyAt + asked.undoHours * 3_600_000,
    backup: asked.backup,
    jobId: asked.jobId,
    old: keptOf(record, carried, before(ctx), healthyAt),
    new: { vmid, incarnation },
    bulk: [...carried],
    ...(ctx.state.stoppedAt === undefined ? {} : { outageMs: Math.max(0, healthyAt - ctx.state.stoppedAt) }),
  });
  const nameOf = (key: string): string => record.volumes.find((volume) => volume.key === key)?.name ?? key;
  const own = want(ctx, 'volumes').map((volume) => ({ ...volume, name: nameOf(volume.key) }));
  const bulk = record.volumes
    .filter(({ key }) => carried.some((one) => one.key === key))
    .map((volume) => renamed(volume, carried));
  needs.registry.put({
    ...record,
    vmid,
    incarnation,
    marker,
    volumes: [...own, ...bulk],
    servedAt: record.servedAt ?? healthyAt,
    configDigest: want(ctx, 'digest'),
    createdAt: ctx.startedAt,
  });
  needs.claims.release(sagaId);
  return done({});
}

function keptOf(
  record: GuestRecord,
  carried: readonly Carried[],
  place: KeptGuest['before'],
  healthyAt: number,
): KeptGuest {
  const isCarried = (key: string): boolean => carried.some((one) => one.key === key);
  return {
    vmid: record.vmid,
    incarnation: record.incarnation,
    marker: record.marker,
    golden: record.golden,
    createdAt: record.createdAt,
    servedAt: record.servedAt ?? healthyAt,
    volumes: record.volumes
      .filter(({ key }) => !isCarried(key))
      .map(({ key, name, volid, sizeGiB, ctime, carriedOver }) => ({
        key,
        name,
        volid,
        sizeGiB,
        carriedOver,
        // Of the journal an absent value comes back as none.
        ...(typeof ctime === 'number' ? { ctime } : {}),
      })),
    before: place,
  };
}
