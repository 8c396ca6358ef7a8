/**
 * A newer image for a guest's controller. The supervisor copies the controller's state volume before the new digest first
 * runs; where that one does not become healthy, the previous digest runs again with that copy. The guest itself is never
 * rolled back: what was written meanwhile stays. The checkpoint is insurance for a signed rollback, and an update goes
 * on without one [R18].
 */
import { digest, reason } from '@felhom/protocol';
import type { Digest } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import { base32 } from '../guests/mint.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { storageOf } from '../guests/pve-config.ts';
import { guestRef, recordOf } from '../guests/registered.ts';
import { patientAttempts, readOwn } from '../guests/settle.ts';
import { dropSnapshot, findSnapshot, lateLandingMs, takeSnapshot } from '../guests/snapshot-work.ts';
import type { SnapshotPlace } from '../guests/snapshot-work.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { Snapshots } from '../ports/proxmox.ts';
import type { Controllers } from './controllers.ts';
import { silentMs } from './heal.ts';

const params = z.strictObject({ guest: guestRef, role: z.string().max(40), version: z.string().max(40), digest });

export interface UpdateControllerParams {
  readonly guest: GuestRef;
  readonly role: string;
  readonly version: string;
  readonly digest: Digest;
}

export interface UpdateControllerState {
  // checkpoint, as intended
  readonly name: string;
  readonly since: number;
  // as it became
  readonly checkpoint: string;
  /** Why there is none. */
  readonly noCheckpoint: string;
  // offer
  readonly generation: number;
  readonly offeredAt: number;
  // healthy
  readonly healthyAt: number;
}

export interface UpdateControllerNeeds extends GuestNeeds {
  readonly controllers: Pick<Controllers, 'heard' | 'desiredController' | 'offer' | 'revert' | 'keep'>;
  readonly snapshots: Pick<Snapshots, 'list' | 'possible' | 'take' | 'drop'>;
  /** Tells whoever keeps and drops checkpoints; by name, twice is once. `takenAt` in milliseconds. */
  readonly noteCheckpoint: (guest: GuestRef, name: string, takenAt: number) => void;
}

type Context = StepContext<UpdateControllerParams, UpdateControllerState, UpdateControllerNeeds>;
type Partly = Partial<UpdateControllerState>;

export const updateController: SagaDefinition<UpdateControllerParams, UpdateControllerState, UpdateControllerNeeds> = {
  name: 'update-controller',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'assess', readOnly: true, run: assess },
    { name: 'checkpoint', intend: noteCheckpoint, run: checkpoint, probe: probeCheckpoint },
    { name: 'runs', readOnly: true, run: stillRuns },
    { name: 'offer', run: offer, probe: probeOffer, undo: runPrevious },
    // Watching changes nothing, but its outcome closes the way back: from here on it has served.
    { name: 'healthy', run: healthy, probe: healthy, pivot: 'at-outcome' },
    { name: 'keep', readOnly: true, run: keep },
  ],
};

async function assess(ctx: Context): Promise<Outcome<Partly>> {
  const { guest, role, version } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const heard = ctx.needs.controllers.heard(guest.uid);
  if (heard === undefined || ctx.clock.now() - heard.at >= silentMs)
    return refused(
      reason('controller.none', `cannot run ${role} ${version} in guest ${guest.name}: its supervisor is not heard of`),
    );
  return done({});
}

// -------------------------------------------------------------------------------------------------------- checkpoint

async function noteCheckpoint(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  if (noted.is !== 'done') return noted;
  return done({ name: `felhom-update-${base32(ctx.random.bytes(5))}`, since: noted.value.since });
}

async function checkpoint(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest, role, version } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const { vmid } = found.value;
  const own = await readOwn(ctx, vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const { disks } = own.value;
  const place = { vmid, ...nameOf(ctx) };
  const against = disks.some(({ backup, key }) => key !== 'rootfs' && !backup)
    ? 'going back to it would take back its bulk volumes too'
    : await whyNone(ctx, place, new Set(disks.map(({ volid }) => storageOf(volid))), signal);
  if (against !== undefined) return without(ctx, place, against, signal);
  const taken = await takeSnapshot(ctx, place, `before ${role} ${version}`, signal);
  if (taken.is === 'refused') return without(ctx, place, taken.why.text, signal);
  return taken.is === 'done' ? done(onRecord(ctx, place, taken.value.takenAtMs)) : taken;
}

/** There is none, and nothing of it is left: a call of an earlier try can have landed since, or land yet. */
async function without(ctx: Context, place: SnapshotPlace, why: string, signal: AbortSignal): Promise<Outcome<Partly>> {
  let found = await findSnapshot(ctx, place, signal);
  if (found.is === 'done' && found.value.is === 'absent') {
    await ctx.clock.sleep(lateLandingMs, signal);
    found = await findSnapshot(ctx, place, signal);
  }
  if (found.is !== 'done') return found;
  if (found.value.is === 'whole') return done(onRecord(ctx, place, found.value.takenAtMs));
  if (found.value.is === 'absent') return done({ noCheckpoint: why });
  const dropped = await dropSnapshot(ctx, place, signal);
  return dropped.is === 'done' ? done({ noCheckpoint: why }) : dropped;
}

function onRecord(ctx: Context, { name }: SnapshotPlace, takenAtMs: number): Partly {
  ctx.needs.noteCheckpoint(ctx.params.guest, name, takenAtMs);
  return { checkpoint: name };
}

/** Why there is to be no snapshot; one that would fill a storage is worse than none [R37]. */
async function whyNone(
  ctx: Context,
  { vmid, name }: SnapshotPlace,
  storages: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { snapshots, stores, policy } = ctx.needs;
  const { snapshotsPerGuest, reservePercent } = policy().backups;
  const present = await snapshots.list(vmid, signal);
  if (present.is !== 'done') return present.why.text;
  const others = present.value.filter((row) => row.name !== name);
  if (others.length >= snapshotsPerGuest) return `it holds ${others.length} snapshots already`;
  const possible = await snapshots.possible(vmid, signal);
  if (possible.is !== 'done') return possible.why.text;
  if (!possible.value) return 'one of its volumes lies on a storage that takes no snapshots';
  const rows = await stores.list(signal);
  if (rows.is !== 'done') return rows.why.text;
  const full = [...storages].find((storage) => {
    const row = rows.value.find((one) => one.storage === storage);
    return row === undefined || row.availableBytes * 100 < row.totalBytes * reservePercent;
  });
  return full === undefined ? undefined : `storage ${full} has too little room left`;
}

async function probeCheckpoint(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const place = { vmid: found.value.vmid, ...nameOf(ctx) };
  const taken = await findSnapshot(ctx, place, signal);
  if (taken.is !== 'done') return taken;
  // What is unfinished is cleared by the next try, which gives the same name.
  return taken.value.is === 'whole' ? done(onRecord(ctx, place, taken.value.takenAtMs)) : { is: 'never-happened' };
}

// -------------------------------------------------------------------------------------------------- offer, take back

/** A node that reboots does not start a guest that its snapshot has locked; what does not run gets no image well. */
async function stillRuns(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest, role, version } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const status = await ctx.needs.reader.status(found.value.vmid, signal);
  if (status.is !== 'done') return status;
  if (status.value.status === 'running') return done({});
  return refused(
    reason('pve.not-running', `cannot run ${role} ${version} in guest ${guest.name}: the guest does not run`),
  );
}

async function offer(ctx: Context): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const offered = ctx.needs.controllers.offer(ctx.params.guest, ctx.params);
  if (offered.is !== 'done') return offered;
  return done({ generation: offered.value.generation, offeredAt: ctx.clock.now() });
}

async function probeOffer(ctx: Context): Promise<Probed<Partly>> {
  const desired = ctx.needs.controllers.desiredController(ctx.params.guest.uid);
  if (desired?.image?.digest !== ctx.params.digest) return { is: 'never-happened' };
  return done({ generation: desired.generation, offeredAt: ctx.intentAt });
}

async function runPrevious(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  const { guest, role, version } = ctx.params;
  const { controllers } = ctx.needs;
  const why = reason('controller.unhealthy', `${role} ${version} did not become healthy in guest ${guest.name}`);
  const generation = controllers.revert(guest.uid, { digest: ctx.params.digest, why });
  const desired = controllers.desiredController(guest.uid);
  if (generation === undefined || desired?.directive !== 'revert' || desired.image === null) return done(undefined);
  ctx.progress({ text: `running ${desired.image.version} again` });
  // Whether it becomes healthy or not, nothing more can be done from here; a silent guest is healed like any other.
  await becomesHealthy(ctx, { generation, digest: desired.image.digest, since: ctx.clock.now() }, signal);
  return done(undefined);
}

// ------------------------------------------------------------------------------------------------------------ health

/** Until it must be healthy after it was offered. */
const healthMs = 10 * 60_000;
/** So long it is listened to at least, by an agent that was away meanwhile. */
const listenMs = 2 * 60_000;
const pollMs = 5_000;
/** So long it must stay healthy, without a restart, to count. */
const steadyMs = 60_000;

async function healthy(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest, role, version } = ctx.params;
  const { generation, offeredAt } = ctx.state;
  if (generation === undefined || offeredAt === undefined)
    throw new Error('cannot watch a controller: the journal holds no offer');
  ctx.progress({ text: `waiting for ${role} ${version} to be healthy` });
  const since = offeredAt;
  if (await becomesHealthy(ctx, { generation, digest: ctx.params.digest, since }, signal))
    return done({ healthyAt: ctx.clock.now() });
  const heard = ctx.needs.controllers.heard(guest.uid)?.status;
  return refused(
    reason(
      'controller.unhealthy',
      `cannot keep ${role} ${version} in guest ${guest.name}: it was not healthy for a minute within ${healthMs / 60_000}`,
      heard === undefined ? undefined : `its supervisor says ${heard.health}: ${heard.text ?? ''}`,
    ),
  );
}

async function becomesHealthy(
  ctx: Context,
  wanted: { readonly generation: number; readonly digest: Digest; readonly since: number },
  signal: AbortSignal,
): Promise<boolean> {
  const begun = ctx.clock.now();
  const end = Math.max(wanted.since + healthMs, begun + listenMs);
  let steady: { readonly at: number; readonly restarts: number } | undefined;
  // Bounded by turns as well: a clock that is set back must not hold the guest's lane.
  for (let turn = 0; turn * pollMs <= healthMs + listenMs; turn++) {
    const heard = ctx.needs.controllers.heard(ctx.params.guest.uid);
    const good =
      heard !== undefined &&
      // An earlier word is about what was before.
      heard.at >= Math.min(wanted.since, begun) &&
      heard.status.generation >= wanted.generation &&
      heard.status.digest === wanted.digest &&
      heard.status.health === 'healthy';
    if (!good || steady?.restarts !== heard.status.restarts)
      steady = good ? { at: heard.at, restarts: heard.status.restarts } : undefined;
    if (good && steady !== undefined && heard.at - steady.at >= steadyMs) return true;
    if (ctx.clock.now() >= end && steady === undefined) return false;
    await ctx.clock.sleep(pollMs, signal);
  }
  return false;
}

async function keep(ctx: Context): Promise<Outcome<Partly>> {
  ctx.needs.controllers.keep(ctx.params.guest.uid, ctx.params.digest);
  return done({});
}

function nameOf(ctx: Context): Pick<UpdateControllerState, 'name' | 'since'> {
  const { name, since } = ctx.state;
  if (name === undefined || since === undefined)
    throw new Error('cannot go on with an update: its journal holds no name');
  return { name, since };
}
