/**
 * A restore is undone: the guest as it was before comes back in its place, with its bulk volumes as they are by now; they
 * have one history and it goes on [R4]. What the restored guest wrote elsewhere is discarded, as the job said.
 *
 *   assess      both guests are as they were left, and what would be lost is what was signed for
 *   shelve      restored: does not start with the node
 *   stop, cut   restored: out of service, links down; from here on at most ten minutes
 *   open        old: protection off, because a protected guest loses what is handed to it [R3]
 *   carry       the bulk volumes become old's
 *   connect     old: links as they were
 *   start, up   old serves. PIVOT: until then any trouble brings the restored guest back
 *   mark        old: an incarnation above both, starts with the node as before
 *   register    the registry knows old; the restore is undone
 *   prove       the carried volumes are in old's config, and what is left of the restored guest is exactly the loss [R1]
 *   destroy     the restored guest; pool
 */
import { reason, volumeId } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord, GuestVolume } from '../authority/guest-record.ts';
import { want } from '../bring-up/index.ts';
import { mintMarker } from '../guests/mint.ts';
import { formatDescription, viewOf } from '../guests/pve-config.ts';
import type { GuestView } from '../guests/pve-config.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts, readOwn } from '../guests/settle.ts';
import type { ConfigWrite, Marker } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { destroySteps } from '../removal/destroying.ts';
import type { DestroyState } from '../removal/destroying.ts';
import { proveRemovable } from '../removal/proof.ts';
import type { Carried } from './carry-over.ts';
import { carryPlan } from './carry-plan.ts';
import type { CarryItem } from './carry-plan.ts';
import { carryStep } from './carry-step.ts';
import type { CarryState } from './carry-step.ts';
import { inTime } from './deadline.ts';
import { openWindow } from './finish-restore.saga.ts';
import type { RestoreNeeds } from './needs.ts';
import { connectAs, cutOff, placeOf, protect, setFlag } from './place.ts';
import type { Standing } from './place.ts';
import { recordOfKept } from './restore-store.ts';
import type { KeptGuest, PlaceBefore, RestoreRecord } from './restore-store.ts';
import { downStep, seenUp, shelveStep, upStep, writeStep } from './steps.ts';

const params = z.strictObject({
  guest: guestRef,
  sagaId: z.string().min(1).max(80),
  loss: z.array(volumeId).max(64),
  jobId: z.string().min(1).max(80),
});

export interface UndoRestoreParams {
  readonly guest: GuestRef;
  /** The saga that restored. */
  readonly sagaId: string;
  /** The volumes that undoing discards: those of the restored guest without what was carried over. */
  readonly loss: readonly VolumeId[];
  readonly jobId: string;
}

export interface UndoRestoreState extends CarryState, DestroyState {
  /** `vmid` is the restored guest's, which goes in the end. */
  readonly restoredRecord: GuestRecord;
  readonly restoredPlace: PlaceBefore;
  readonly old: KeptGuest;
  /** What old's marker becomes; decided before anything is done. */
  readonly next: Marker;
  readonly items: readonly CarryItem[];
  /** The node's clock in seconds before anything was done. */
  readonly from: number;
  readonly stoppedAt: number;
  readonly healthyAt: number;
  readonly digest: string;
}

type P = UndoRestoreParams;
type S = UndoRestoreState;
type Context = StepContext<P, S, RestoreNeeds>;

const restored = (ctx: Context): Standing => {
  const record = want(ctx, 'restoredRecord');
  return { vmid: record.vmid, marker: record };
};
const old = (ctx: Context): Standing => {
  const { vmid, incarnation, marker } = want(ctx, 'old');
  return { vmid, marker: { uid: ctx.params.guest.uid, incarnation, marker } };
};
const oldIfRan = (ctx: Context): Standing | undefined => (want(ctx, 'old').before.running ? old(ctx) : undefined);
const place = (ctx: Context): PlaceBefore => want(ctx, 'restoredPlace');
const ran = (ctx: Context): boolean => place(ctx).running;
const from = (ctx: Context): number => want(ctx, 'from');
const guard = (ctx: Context): Outcome<void> => inTime(ctx.params.guest.name, ctx.state.stoppedAt, ctx.clock);

export const undoRestore: SagaDefinition<P, S, RestoreNeeds> = {
  name: 'undo-restore',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    shelveStep<P, S>({ of: restored, before: place, from }),
    downStep<P, S>('stop-restored', {
      of: restored,
      since: from,
      ran,
      intend: (ctx) => (ran(ctx) ? { stoppedAt: ctx.state.stoppedAt ?? ctx.clock.now() } : {}),
    }),
    writeStep<P, S>('cut-restored', {
      guard,
      to: (ctx) => cutOff(restored(ctx)),
      back: (ctx) => connectAs(place(ctx))(restored(ctx)),
    }),
    writeStep<P, S>('open', {
      guard,
      to: (ctx) => protect(false)(old(ctx)),
      back: (ctx) => protect(true)(old(ctx)),
    }),
    carryStep<P, S>('carry', {
      guard,
      sides: (ctx) => ({ items: want(ctx, 'items'), home: restored(ctx), away: old(ctx) }),
      home: broughtHome,
    }),
    writeStep<P, S>('connect', {
      guard,
      to: (ctx) => connectAs(want(ctx, 'old').before)(old(ctx)),
      back: (ctx) => cutOff(old(ctx)),
    }),
    upStep<P, S>('start', { guard, of: oldIfRan, since: from }),
    seenUp<P, S>('up', { pivot: true, guard, of: oldIfRan, keep: (ctx) => ({ healthyAt: ctx.clock.now() }) }),
    writeStep<P, S>('mark', { to: marked, keep: ({ digest }) => ({ digest }) }),
    { name: 'register', readOnly: true, run: register },
    { name: 'prove', readOnly: true, run: prove },
    ...destroySteps<P, S, RestoreNeeds>((ctx) =>
      done({ record: leftOf(want(ctx, 'restoredRecord'), want(ctx, 'items')), lossSet: ctx.params.loss }),
    ),
  ],
};

/** The volumes that undoing this restore discards, of the guest as it is on record. */
export function undoLossOf(record: Pick<RestoreRecord, 'bulk'>, restoredRecord: GuestRecord): readonly VolumeId[] {
  const bulk = new Set(record.bulk.map(({ key }) => key));
  return restoredRecord.volumes
    .filter(({ key }) => !bulk.has(key))
    .map(({ volid }) => volid)
    .toSorted();
}

async function assess(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const { needs, params: asked } = ctx;
  const cannot = `cannot undo the restore of guest ${asked.guest.name}`;
  const no = (text: string) => refused(reason('restore.refused', `${cannot}: ${text}`));
  const window = openWindow(needs, asked, 'undo');
  if (window.is !== 'done') return window;
  const found = recordOf(ctx, asked.guest);
  if (found.is !== 'done') return found;
  const { value: record } = found;
  const { old: kept, bulk } = window.value;
  if (record.vmid !== window.value.new.vmid) return no(`the guest on record is at VMID ${record.vmid} by now`);
  const now = await readOwn(ctx, record.vmid, record, signal);
  if (now.is !== 'done') return now;
  const oldRecord = recordOfKept(window.value, kept);
  const asKept = await readOwn(ctx, kept.vmid, oldRecord, signal);
  if (asKept.is !== 'done') return asKept;
  for (const [vmid, view] of [[record.vmid, now.value] as const, [kept.vmid, asKept.value] as const])
    if (view.lock !== undefined)
      return refused(reason('pve.guest-locked', `${cannot}: guest ${vmid} is locked (${view.lock})`));
  const [status, oldStatus, storages, snapshots, time, listed, oldListed] = await Promise.all([
    needs.reader.status(record.vmid, signal),
    needs.reader.status(kept.vmid, signal),
    needs.stores.list(signal),
    needs.snapshots.list(record.vmid, signal),
    needs.node.time(signal),
    needs.helper.volumesOf(record.vmid, signal),
    needs.helper.volumesOf(kept.vmid, signal),
  ]);
  if (status.is !== 'done') return status;
  if (oldStatus.is !== 'done') return oldStatus;
  if (storages.is !== 'done') return storages;
  if (snapshots.is !== 'done') return snapshots;
  if (time.is !== 'done') return time;
  if (listed.is !== 'done') return listed;
  if (oldListed.is !== 'done') return oldListed;
  if (oldStatus.value.status !== 'stopped') return no(`the kept guest ${kept.vmid} runs; somebody started it`);
  const absent = kept.volumes.filter(
    ({ key, volid }) =>
      !oldListed.value.includes(volid) || !asKept.value.disks.some((disk) => disk.key === key && disk.volid === volid),
  );
  if (absent.length > 0) return no(`the kept guest ${kept.vmid} lacks ${absent.map(({ volid }) => volid).join(', ')}`);
  const isBulk = (disk: GuestView['disks'][number]): boolean =>
    bulk.some(({ key, path }) => key === disk.key && path === disk.path);
  const gone = bulk.find(({ key, path }) => !now.value.disks.some((disk) => disk.key === key && disk.path === path));
  if (gone !== undefined) return no(`guest ${record.vmid} does not have ${gone.path} (${gone.key}) any more`);
  const blocked = bulk.find(({ key }) => asKept.value.rawKeys.includes(key));
  if (blocked !== undefined) return no(`the kept guest ${kept.vmid} has a ${blocked.key} of its own by now`);
  const left = now.value.disks.filter((disk) => !isBulk(disk)).map(({ volid }) => volid);
  const loose = [...now.value.unused, ...listed.value].filter(
    (volid) => !now.value.disks.some((disk) => disk.volid === volid),
  );
  if (loose.length > 0) return no(`${[...new Set(loose)].join(', ')} is not mounted; attach or remove it first`);
  const differing = [...new Set(left).symmetricDifference(new Set(asked.loss))].sort();
  if (differing.length > 0)
    return refused(reason('job.changed', `${cannot}: ${differing.join(', ')} is not as it was signed for`));
  const carried = carryPlan(asked.guest.name, {
    // All of them go along, also one whose backup was switched on meanwhile.
    view: { disks: now.value.disks.filter(isBulk).map((disk) => ({ ...disk, backup: false })) },
    storages: storages.value,
    snapshots: snapshots.value.map((row) => row.name),
  });
  if (carried.is === 'refused') return refused(carried.why);
  return done({
    vmid: record.vmid,
    restoredRecord: record,
    restoredPlace: placeOf(now.value, status.value.status === 'running'),
    old: kept,
    next: {
      uid: record.uid,
      incarnation: Math.max(record.incarnation, kept.incarnation) + 1,
      marker: mintMarker(ctx.random),
    },
    items: carried.items,
    from: Math.floor(time.value) - 1,
  });
}

/** Its old number is spent: what was bound to it, or to the restored guest's, must not be worth anything again [R26]. */
function marked(ctx: Context): ConfigWrite {
  const next = want(ctx, 'next');
  const { before } = want(ctx, 'old');
  return {
    ...old(ctx),
    nextMarker: next,
    what: 'marker',
    missing: (view) => ({
      set: {
        ...(view.marker?.marker === next.marker ? {} : { description: formatDescription(next, view.label) }),
        ...setFlag(view, 'onboot', before.onboot),
        ...setFlag(view, 'protection', before.protection),
      },
      delete: [],
    }),
  };
}

function broughtHome(ctx: Context, volumes: readonly Carried[]): Outcome<void> {
  return keepRecord(ctx, ctx.params.guest.uid, (record) => ({
    ...record,
    volumes: record.volumes.map((volume) => {
      const now = volumes.find(({ key }) => key === volume.key);
      return now === undefined ? volume : { ...volume, volid: now.volid };
    }),
  }));
}

async function register(ctx: Context): Promise<Outcome<Partial<S>>> {
  const { needs } = ctx;
  const now = want(ctx, 'restoredRecord');
  const kept = want(ctx, 'old');
  const record = needs.restores.byId(ctx.params.sagaId);
  if (record === undefined) throw new Error(`cannot undo restore ${ctx.params.sagaId}: it is not on record`);
  const carried = want(ctx, 'carried');
  const bulk: GuestVolume[] = now.volumes.flatMap((volume) => {
    const arrived = carried.find(({ key }) => key === volume.key);
    return arrived === undefined ? [] : [{ ...volume, volid: arrived.volid, carriedOver: true }];
  });
  const back = recordOfKept(record, kept);
  needs.registry.put({
    ...back,
    ...want(ctx, 'next'),
    name: now.name,
    volumes: [...back.volumes, ...bulk],
    servedAt: back.servedAt ?? want(ctx, 'healthyAt'),
    configDigest: want(ctx, 'digest'),
  });
  needs.restores.put({ ...record, state: 'undone' });
  return done({});
}

/** The restored guest without what was carried away. */
const leftOf = (record: GuestRecord, items: readonly CarryItem[]): GuestRecord => ({
  ...record,
  volumes: record.volumes.filter(({ key }) => !items.some((item) => item.key === key)),
});

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const { vmid } = want(ctx, 'old');
  const read = await ctx.needs.reader.config(vmid, { current: true }, signal);
  if (read.is !== 'done') return read;
  if (read.value.is !== 'present')
    return unknown(reason('gate.not-seen', `cannot go on undoing: the config of guest ${vmid} cannot be read now`));
  const { disks } = viewOf(read.value.config);
  const astray = want(ctx, 'carried').find(({ volid }) => !disks.some((disk) => disk.volid === volid));
  if (astray !== undefined)
    return refused(reason('restore.bulk-astray', `cannot go on undoing: guest ${vmid} does not have ${astray.volid}`));
  const left = leftOf(want(ctx, 'restoredRecord'), want(ctx, 'items'));
  const proof = await proveRemovable(ctx, left, ctx.params.loss, signal);
  return proof.is === 'done' ? done({}) : proof;
}
