/**
 * Out of quarantine, as the guest was before: links, protection and start with the node, then up again if it ran. From
 * the moment its config is open only forward is left: somebody decided that it stays, so it is not shut away again
 * because it does not come up.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import { comeToRest, noteRest, probeRest, probeRise, rise, riseAgain, seenUp } from '../guests/at-rest.ts';
import type { RestState } from '../guests/at-rest.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts, probeConfig, writeConfig } from '../guests/settle.ts';
import type { ConfigWrite } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { beforeQuarantine } from './before-quarantine.ts';
import type { BeforeQuarantine } from './before-quarantine.ts';
import { linksAsBefore } from './quarantine.saga.ts';

const params = z.strictObject({ guest: guestRef, before: beforeQuarantine });

export interface LiftQuarantineParams {
  readonly guest: GuestRef;
  /** What the quarantine found. */
  readonly before: BeforeQuarantine;
}

export interface LiftQuarantineState extends RestState {
  readonly risingSince: number;
  readonly digest: string;
}

type Context = StepContext<LiftQuarantineParams, LiftQuarantineState, GuestNeeds>;
type Partly = Partial<LiftQuarantineState>;

export const liftQuarantine: SagaDefinition<LiftQuarantineParams, LiftQuarantineState, GuestNeeds> = {
  name: 'lift-quarantine',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    // Somebody may have started it meanwhile; links are plugged only while it stands still.
    { name: 'rest', intend: noteRest, run: comeToRest, probe: probeRest, undo: riseAgain },
    { name: 'open', pivot: 'at-outcome', run: open, probe: probeOpen },
    { name: 'start', intend: noteStart, run: start, probe: probeStart },
    { name: 'up', readOnly: true, run: (ctx, signal) => seenUp(ctx, wanted(ctx), signal) },
    { name: 'record', readOnly: true, run: record },
  ],
};

function wanted({ params: { before }, state }: Context): boolean {
  return before.running || state.ran === true;
}

function writeOf(known: GuestRecord, before: BeforeQuarantine): ConfigWrite {
  return {
    vmid: known.vmid,
    marker: known,
    what: 'the quarantine back',
    missing: (view) => {
      const links = linksAsBefore(before)(view);
      return view.onboot === before.onboot
        ? links
        : { ...links, set: { ...links.set, onboot: before.onboot ? '1' : '0' } };
    },
  };
}

async function open(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const written = await writeConfig(ctx, writeOf(found.value, ctx.params.before), signal);
  return written.is === 'done' ? done({ digest: written.value.digest }) : written;
}

async function probeOpen(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, writeOf(found.value, ctx.params.before), signal);
  return probed.is === 'done' ? done({ digest: probed.value.digest }) : probed;
}

async function noteStart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  return noted.is === 'done' ? done({ risingSince: noted.value.since }) : noted;
}

function start(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  return rise(ctx, wanted(ctx), signal);
}

function probeStart(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  return probeRise(ctx, wanted(ctx), ctx.state.risingSince ?? 0, signal);
}

async function record(ctx: Context): Promise<Outcome<Partly>> {
  const { digest } = ctx.state;
  if (digest === undefined) throw new Error('cannot record a lifted quarantine: its journal holds no digest');
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: digest }));
  return kept.is === 'done' ? done({}) : kept;
}
