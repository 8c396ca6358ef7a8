/**
 * A guest whose token is worth nothing, or that has fallen silent, gets a new claim and is restarted in place to read it:
 * its environment is read at a start only. Gently, and at most three times an hour.
 */
import { reason } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { comeToRest, noteRest, probeRest, probeRise, rise, riseAgain, seenUp } from '../guests/at-rest.ts';
import type { RestState } from '../guests/at-rest.ts';
import { noteTime } from '../guests/grow-volume.saga.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { claimStep } from './issue-claim.ts';
import type { ClaimNeeds, ClaimState } from './issue-claim.ts';
import type { Restarts } from './restarts.ts';

const params = z.strictObject({ guest: guestRef });

export interface IssueClaimParams {
  readonly guest: GuestRef;
}

export interface IssueClaimState extends RestState, ClaimState {
  readonly risingSince: number;
}

export interface IssueClaimNeeds extends ClaimNeeds {
  readonly restarts: Pick<Restarts, 'take'>;
}

type Context = StepContext<IssueClaimParams, IssueClaimState, IssueClaimNeeds>;
type Partly = Partial<IssueClaimState>;

export const issueClaim: SagaDefinition<IssueClaimParams, IssueClaimState, IssueClaimNeeds> = {
  name: 'issue-claim',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'rest', intend: noteRestart, run: comeToRest, probe: probeRest, undo: riseAgain },
    claimStep<IssueClaimParams, IssueClaimState, IssueClaimNeeds>(placeOf),
    {
      name: 'start',
      intend: noteStart,
      run: (ctx, signal) => rise(ctx, true, signal),
      probe: (ctx, signal) => probeRise(ctx, true, ctx.state.risingSince ?? 0, signal),
    },
    { name: 'up', readOnly: true, run: (ctx, signal) => seenUp(ctx, true, signal) },
    { name: 'record', readOnly: true, run: record },
  ],
};

async function noteRestart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteRest(ctx, signal);
  if (noted.is !== 'done') return noted;
  if (!noted.value.ran)
    return refused(
      reason(
        'pve.not-running',
        `cannot restart guest ${ctx.params.guest.name}: it does not run, and is not started by this`,
      ),
    );
  const taken = ctx.needs.restarts.take(ctx.params.guest, ctx.sagaId);
  return taken.is === 'done' ? noted : taken;
}

function placeOf(ctx: Context) {
  const found = recordOf(ctx, ctx.params.guest);
  return found.is === 'done'
    ? { vmid: found.value.vmid, marker: found.value, name: found.value.name, identity: 'obeyed' as const }
    : undefined;
}

async function noteStart(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const noted = await noteTime(ctx, signal);
  return noted.is === 'done' ? done({ risingSince: noted.value.since }) : noted;
}

async function record(ctx: Context): Promise<Outcome<Partly>> {
  const { claimDigest } = ctx.state;
  if (claimDigest === undefined) return done({});
  const kept = keepRecord(ctx, ctx.params.guest.uid, (known) => ({ ...known, configDigest: claimDigest }));
  return kept.is === 'done' ? done({}) : kept;
}
