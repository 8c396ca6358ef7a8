/**
 * A checkpoint whose time is over goes: by name, only if it is on record and was taken when the record says. One that is
 * not there any more is done. Of one that is a backup only the record goes; the archive is retention's.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import { guestRef, recordOf } from '../guests/registered.ts';
import { patientAttempts, readOwn } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { checkpointName } from './checkpoint-store.ts';
import type { DropNeeds } from './needs.ts';
import { dropSnapshot, findSnapshot } from '../guests/snapshot-work.ts';
import type { SnapshotPlace } from '../guests/snapshot-work.ts';

const params = z.strictObject({ guest: guestRef, checkpoint: checkpointName });

export interface DropCheckpointParams {
  readonly guest: GuestRef;
  readonly checkpoint: string;
}

export interface DropCheckpointState {
  readonly since: number;
}

type Context = StepContext<DropCheckpointParams, DropCheckpointState, DropNeeds>;
type Partly = Partial<DropCheckpointState>;

export const dropCheckpoint: SagaDefinition<DropCheckpointParams, DropCheckpointState, DropNeeds> = {
  name: 'drop-checkpoint',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'drop', intend: noteTime, run: drop, probe: probeDrop },
    { name: 'forget', readOnly: true, run: forget },
  ],
};

async function drop(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = await ownSnapshot(ctx, signal);
  if (found.is !== 'done') return found;
  if (found.value === undefined) return done({});
  const dropped = await dropSnapshot(ctx, found.value, signal);
  return dropped.is === 'done' ? done({}) : dropped;
}

async function probeDrop(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = await ownSnapshot(ctx, signal);
  if (found.is !== 'done') return found;
  return found.value === undefined ? done({}) : { is: 'never-happened' };
}

/** `undefined`: nothing is left that this saga may drop. */
async function ownSnapshot(ctx: Context, signal: AbortSignal): Promise<Outcome<SnapshotPlace | undefined>> {
  const { guest, checkpoint } = ctx.params;
  const kept = ctx.needs.checkpoints.find(guest.uid, checkpoint);
  if (kept?.by !== 'snapshot') return done(undefined);
  const found = recordOf(ctx, guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const place = { vmid: found.value.vmid, name: checkpoint, since: ctx.state.since ?? 0 };
  const standing = await findSnapshot(ctx, place, signal);
  if (standing.is !== 'done') return standing;
  const is = standing.value;
  // A whole one of another time is somebody else's, who gave it the same name.
  return done(is.is === 'absent' || (is.is === 'whole' && is.takenAtMs !== kept.takenAt) ? undefined : place);
}

function forget(ctx: Context): Promise<Outcome<Partly>> {
  const { guest, checkpoint } = ctx.params;
  ctx.needs.checkpoints.remove(guest.uid, checkpoint);
  return Promise.resolve(done({}));
}
