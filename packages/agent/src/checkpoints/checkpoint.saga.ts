/**
 * The state of a guest kept before a deploy or an update.
 *
 *   choose    the guest is ours and free, and what it is kept by: snapshot, else quick backup, else refused with the cause
 *   snapshot  known by a name that only this saga gives
 *   assess … marker   the steps of a backup, where it is one
 *   note      on record, so that it is found, counted and dropped in time
 *
 * It holds the lane of its guest only: behind somebody's backup on the same node a quick one waits inside Proxmox.
 */
import { reason } from '@felhom/protocol';
import type { StorageId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { backupSteps } from '../backups/index.ts';
import type { BackupParams, BackupState } from '../backups/index.ts';
import { ifStillOurs } from '../guests/at-rest.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import { base32 } from '../guests/mint.ts';
import { guestRef, recordOf } from '../guests/registered.ts';
import { patientAttempts, readOwn } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { checkpointBy } from './checkpoint-by.ts';
import type { CheckpointNeeds } from './needs.ts';
import { dropSnapshot, findSnapshot, lateLandingMs, takeSnapshot } from '../guests/snapshot-work.ts';
import type { SnapshotPlace } from '../guests/snapshot-work.ts';

const params = z.strictObject({ guest: guestRef, purpose: z.enum(['deploy', 'update']) });

export interface CheckpointParams {
  readonly guest: GuestRef;
  /** `update` is the agent's own and no way back for the guest itself. */
  readonly purpose: 'deploy' | 'update';
}

export interface CheckpointState extends BackupState {
  readonly by: 'snapshot' | 'backup';
  /** Of a quick backup. */
  readonly tier: string;
  readonly storage: StorageId;
  /** Of a snapshot. */
  readonly name: string;
  readonly snapshotSince: number;
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  /** The name under which it is on record. */
  readonly checkpoint: string;
}

type Context = StepContext<CheckpointParams, CheckpointState, CheckpointNeeds>;
type Partly = Partial<CheckpointState>;

export const checkpointGuest: SagaDefinition<CheckpointParams, CheckpointState, CheckpointNeeds> = {
  name: 'checkpoint',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'choose', readOnly: true, run: choose },
    { name: 'snapshot', intend: noteName, run: take, probe: probeTake, undo: takeBack },
    ...backupSteps<CheckpointParams, CheckpointState, CheckpointNeeds>(backupOf),
    { name: 'note', readOnly: true, run: note },
  ],
};

function backupOf({ params: { guest }, state }: Context): BackupParams | undefined {
  const { by, tier, storage } = state;
  if (by !== 'backup' || tier === undefined || storage === undefined) return undefined;
  return { guest, tier, storage, class: 'checkpoint' };
}

async function choose(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { guest } = ctx.params;
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const { vmid } = found.value;
  const view = await readOwn(ctx, vmid, found.value, signal);
  if (view.is !== 'done') return view;
  const what = `cannot take a checkpoint of guest ${guest.name}`;
  if (view.value.lock !== undefined)
    return refused(reason('pve.guest-locked', `${what}: it is locked (${view.value.lock})`));
  const possible = await ctx.needs.snapshots.possible(vmid, signal);
  if (possible.is !== 'done') return possible;
  const held = ctx.needs.checkpoints.of(guest.uid).length;
  const most = ctx.needs.policy().backups.snapshotsPerGuest;
  const quickTier = ctx.needs.quickTierOf(guest.uid);
  const choice = checkpointBy({ view: view.value, snapshotPossible: possible.value, held, most, quickTier });
  if (choice.by === 'snapshot') return done({ vmid, by: 'snapshot' });
  const target = quickTier === undefined ? undefined : ctx.needs.tierOf(quickTier);
  if (choice.by === 'none' || quickTier === undefined || target === undefined)
    return refused(reason(held >= most ? 'checkpoint.quota' : 'checkpoint.not-possible', `${what}: ${choice.why}`));
  return done({ vmid, by: 'backup', tier: quickTier, storage: target.storage });
}

// ---------------------------------------------------------------------------------------------------- snapshot

async function noteName(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  if (ctx.state.by !== 'snapshot') return done({});
  const noted = await noteTime(ctx, signal);
  if (noted.is !== 'done') return noted;
  const name = `felhom-${ctx.params.purpose}-${base32(ctx.random.bytes(5))}`;
  return done({ name, snapshotSince: noted.value.since });
}

/** `undefined`: there is to be none. */
function placeOf({ state }: Context): SnapshotPlace | undefined {
  const { vmid, name, snapshotSince } = state;
  if (vmid === undefined || name === undefined || snapshotSince === undefined) return undefined;
  return { vmid, name, since: snapshotSince };
}

async function take(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const place = placeOf(ctx);
  if (place === undefined) return done({});
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, place.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const taken = await takeSnapshot(ctx, place, `felhom: before the next ${ctx.params.purpose}`, signal);
  return taken.is === 'done' ? done({ takenAt: taken.value.takenAtMs }) : taken;
}

async function probeTake(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const place = placeOf(ctx);
  if (place === undefined) return done({});
  const found = await findSnapshot(ctx, place, signal);
  if (found.is !== 'done') return found;
  // What is unfinished is cleared by the next try, which takes it anew.
  return found.value.is === 'whole' ? done({ takenAt: found.value.takenAtMs }) : { is: 'never-happened' };
}

function takeBack(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  const place = placeOf(ctx);
  if (place === undefined) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async () => {
    const found = await findSnapshot(ctx, place, signal);
    if (found.is !== 'done') return found;
    // A call whose answer was lost can still make one that would be on no record.
    const left = Math.min(lateLandingMs, ctx.intentAt + lateLandingMs - ctx.clock.now());
    if (found.value.is === 'absent' && left > 0) await ctx.clock.sleep(left, signal);
    return dropSnapshot(ctx, place, signal);
  });
}

// -------------------------------------------------------------------------------------------------------- note

function note(ctx: Context): Promise<Outcome<Partly>> {
  const { guest, purpose } = ctx.params;
  const { by, id, name, takenAt, begunAt } = ctx.state;
  const taken =
    by === 'backup' && id !== undefined
      ? { name: nameOfBackup(id), takenAt: begunAt ?? ctx.clock.now() }
      : { name, takenAt };
  if (by === undefined || taken.name === undefined || taken.takenAt === undefined)
    throw new Error('cannot note a checkpoint: its journal holds none');
  ctx.needs.checkpoints.note(guest, { name: taken.name, takenAt: taken.takenAt, purpose, by });
  return Promise.resolve(done({ checkpoint: taken.name, takenAt: taken.takenAt }));
}

/** Ids of backups may begin with a digit, names of checkpoints may not. */
const nameOfBackup = (id: string): string => `b${id}`;
