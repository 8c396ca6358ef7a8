/**
 * A guest that has the disk that was pulled is brought down in order, gets the one that is there, and is started again.
 *
 *   rest     its services end by themselves; what waits for a dead disk is stopped after two minutes
 *   disk     an image kept the mount of before where it was: root mounts what is there now
 *   start, up, mounts
 *            seen to stay up, and root says that what it has now is live
 *
 * Where the disk goes away again meanwhile the guest stays down: it could not start, and is started like every guest that
 * should run once it can.
 */
import { reason, targetName } from '@felhom/protocol';
import { z } from 'zod';
import type { DesiredGuest, GuestName, Reason } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { Restarts } from '../controllers/restarts.ts';
import { comeToRest, noteRest, probeRest, probeRise, rise, riseAgain, seenUp } from '../guests/at-rest.ts';
import type { RestState } from '../guests/at-rest.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { storageOf } from '../guests/pve-config.ts';
import { guestRef, recordOf } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import type { GuestDisk, GuestDisks } from '../ports/guest-disks.ts';

const params = z.strictObject({ guest: guestRef, targets: z.array(targetName).min(1).max(64) });

export interface RemountParams {
  readonly guest: GuestRef;
  /** Of which disks its mounts are dead; for people. */
  readonly targets: readonly string[];
}

export interface RemountState extends RestState {
  readonly risingSince: number;
}

export interface RemountNeeds extends GuestNeeds {
  readonly restarts: Pick<Restarts, 'take'>;
  readonly targets: GuestDisks;
  readonly desiredOf: (name: GuestName) => DesiredGuest | undefined;
}

type Context = StepContext<RemountParams, RemountState, RemountNeeds>;
type Partly = Partial<RemountState>;

export const remountGuest: SagaDefinition<RemountParams, RemountState, RemountNeeds> = {
  name: 'remount-guest',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'rest', intend: noteRestart, run: comeToRest, probe: probeRest, undo: riseIfItCan },
    { name: 'disk', readOnly: true, run: disksAreThere },
    {
      name: 'start',
      intend: noteStart,
      run: (ctx, signal) => rise(ctx, true, signal),
      probe: (ctx, signal) => probeRise(ctx, true, ctx.state.risingSince ?? 0, signal),
    },
    { name: 'up', readOnly: true, run: (ctx, signal) => seenUp(ctx, true, signal) },
    { name: 'mounts', readOnly: true, run: mountsAreLive },
  ],
};

/** What the planner saw may be minutes old by now. */
async function noteRestart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest } = ctx.params;
  const cannot = `cannot restart guest ${guest.name} for its disk`;
  if (ctx.needs.desiredOf(guest.name)?.power !== 'running')
    return refused(reason('guest.not-to-run', `${cannot}: desired state does not want it to run`));
  const unfit = disksOf(ctx).find(
    ([, { state, flapping }]) => flapping || (state !== 'attached' && state !== 'in-use'),
  );
  if (unfit !== undefined) {
    const [, { target, why, flapping }] = unfit;
    return refused(
      reason('storage.target-away', `${cannot}: target ${target} ${flapping ? 'comes and goes' : `is away: ${why}`}`),
    );
  }
  const noted = await noteRest(ctx, signal);
  if (noted.is !== 'done') return noted;
  if (!noted.value.ran) return refused(reason('pve.not-running', `${cannot}: it does not run`));
  const taken = ctx.needs.restarts.take(guest, ctx.sagaId);
  return taken.is === 'done' ? noted : taken;
}

function disksOf(ctx: Context): readonly (readonly [string, GuestDisk])[] {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return [];
  return [...new Set(found.value.volumes.map(({ volid }) => storageOf(volid)))].flatMap((storage) => {
    const disk = ctx.needs.targets.disk(storage);
    return disk === undefined ? [] : [[storage, disk] as const];
  });
}

/** Without its disks Proxmox does not start it; whoever starts guests that should run does, once they are there. */
function riseIfItCan(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  const canStart = disksOf(ctx).every(([, { state }]) => state === 'attached' || state === 'unclear');
  return canStart ? riseAgain(ctx, signal) : Promise.resolve(done(undefined));
}

/** Checking a file system that was pulled may take its while. */
const mostWaitMs = 3 * 60_000;
const pauseMs = 2_000;

async function disksAreThere(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const end = ctx.clock.monotonicMs() + mostWaitMs;
  for (const [storage, { target }] of disksOf(ctx)) {
    ctx.progress({ text: `waiting for target ${target}` });
    let why: Reason | undefined;
    while ((why = await ctx.needs.targets.bringBack(storage, signal)) !== undefined) {
      if (ctx.clock.monotonicMs() >= end) return refused(why);
      await ctx.clock.sleep(pauseMs, signal);
    }
  }
  return done({});
}

async function noteStart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  return noted.is === 'done' ? done({ risingSince: noted.value.since }) : noted;
}

async function mountsAreLive(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const seen = await ctx.needs.helper.guestMounts(found.value.vmid, signal);
  // Another process of root's is at work, or it was started anew that moment.
  if (seen.is === 'refused' && seen.why.code === 'helper.busy') return unknown(seen.why);
  if (seen.is !== 'done') return seen;
  const wrong = seen.value.mounts.find(({ state }) => state === 'dead');
  if (wrong === undefined) return done({});
  const { path, target, why } = wrong;
  return refused(
    reason(
      'guest.mounts-dead',
      `guest ${ctx.params.guest.name} was restarted, and what it has at ${path} of target ${target} is dead: ${why}`,
    ),
  );
}
