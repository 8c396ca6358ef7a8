/**
 * A claim that is worth nothing any more leaves the guest's config. On a running guest the removal is pending until its
 * next start, and `GET config` already shows it gone, so only `current=1` counts [R26]. Hygiene: nothing waits for it.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { holdsClaim, readEnv, withoutClaim, writeEnv } from './env-line.ts';
import type { ClaimNeeds } from './issue-claim.ts';

const params = z.strictObject({ guest: guestRef });

export interface DropClaimParams {
  readonly guest: GuestRef;
}

export interface DropClaimState {
  readonly digest: string;
}

type Context = StepContext<DropClaimParams, DropClaimState, ClaimNeeds>;
type Partly = Partial<DropClaimState>;

export const dropClaim: SagaDefinition<DropClaimParams, DropClaimState, ClaimNeeds> = {
  name: 'drop-claim',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'write', run: write, probe: probeWrite },
    { name: 'look', readOnly: true, run: look },
  ],
};

async function write(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const written = await writeEnv(ctx, { vmid: found.value.vmid, marker: found.value }, withoutClaim, signal);
  if (written.is !== 'done') return written;
  return done(written.value.digest === undefined ? {} : { digest: written.value.digest });
}

async function probeWrite(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const seen = await readEnv(ctx, { vmid: found.value.vmid, marker: found.value }, { current: false }, signal);
  if (seen.is !== 'done') return unknown(seen.why);
  return holdsClaim(seen.value.env) ? { is: 'never-happened' } : done({ digest: seen.value.digest });
}

async function look(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const { digest } = ctx.state;
  const { uid } = ctx.params.guest;
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  if (digest !== undefined) keepRecord(ctx, uid, (known) => ({ ...known, configDigest: digest }));
  const seen = await readEnv(ctx, { vmid: found.value.vmid, marker: found.value }, { current: true }, signal);
  if (seen.is !== 'done') return seen;
  ctx.needs.issuing.claims.lookedAtEnv(uid, !holdsClaim(seen.value.env));
  return done({});
}
