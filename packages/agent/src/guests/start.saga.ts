/** A stopped guest of ours runs again. Nothing to undo: stopping a guest is a power of its own. */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { noteTime } from './grow-volume.saga.ts';
import type { GuestNeeds } from './needs.ts';
import { powerOn, probePowerOn, stayUp } from './power.ts';
import { guestRef, keepRecord, recordOf } from './registered.ts';
import { laneOf } from './vmid-claims.ts';
import { readOwn, patientAttempts } from './settle.ts';

const params = z.strictObject({ guest: guestRef });

export interface StartParams {
  readonly guest: GuestRef;
}

export interface StartState {
  readonly since: number;
  readonly servedAt: number;
}

type Context = StepContext<StartParams, StartState, GuestNeeds>;

export const startGuest: SagaDefinition<StartParams, StartState, GuestNeeds> = {
  name: 'start',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'start', intend: noteTime, run: start, probe: probeStart },
    { name: 'up', readOnly: true, run: up },
    { name: 'record', readOnly: true, run: record },
  ],
};

async function start(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<StartState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const own = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (own.is !== 'done') return own;
  const started = await powerOn(ctx, found.value.vmid, signal);
  return started.is === 'done' ? done({}) : started;
}

async function probeStart(ctx: Context, signal: AbortSignal): Promise<Probed<Partial<StartState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probePowerOn(ctx, found.value.vmid, ctx.state.since ?? 0, signal);
  return probed.is === 'done' ? done({}) : probed;
}

async function up(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<StartState>>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const stayed = await stayUp(ctx, found.value.vmid, signal);
  return stayed.is === 'done' ? done({ servedAt: ctx.clock.now() }) : stayed;
}

/** A guest that was brought up stopped has served from its first start on. */
async function record(ctx: Context): Promise<Outcome<Partial<StartState>>> {
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({
    ...known,
    servedAt: known.servedAt ?? ctx.state.servedAt,
  }));
  return kept.is === 'done' ? done({}) : kept;
}
