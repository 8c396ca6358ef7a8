/**
 * The end of a signed removal: the guest and exactly the volumes that were signed for are destroyed.
 *
 *   prove      reads everything that has to be true; refused here, nothing was touched
 *   unprotect  the quarantine's protection off; put back where it goes no further
 *   destroy    from its intent on only forward is left
 *   pool       the VMID back into the pool
 *   forget     off the registry
 */
import { reason, volumeId } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { ifStillOurs } from '../guests/at-rest.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { guestRef, keepRecord, recordOf } from '../guests/registered.ts';
import { patientAttempts, probeConfig, readOwn, writeConfig } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { destroySteps, protection } from './destroying.ts';
import type { DestroyState } from './destroying.ts';
import { proveRemovable } from './proof.ts';

const params = z.strictObject({
  guest: guestRef,
  lossSet: z.array(volumeId).max(1024),
  jobId: z.string().min(1).max(80),
});

export interface FreeGuestParams {
  readonly guest: GuestRef;
  /** Exactly the volumes that were signed for. */
  readonly lossSet: readonly VolumeId[];
  /** For people who read the journal: on whose order. */
  readonly jobId: string;
}

export interface FreeGuestState extends DestroyState {
  readonly wasProtected: boolean;
}

type Context = StepContext<FreeGuestParams, FreeGuestState, GuestNeeds>;
type Partly = Partial<FreeGuestState>;

export const freeGuest: SagaDefinition<FreeGuestParams, FreeGuestState, GuestNeeds> = {
  name: 'free-guest',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'prove', readOnly: true, run: prove },
    { name: 'unprotect', run: unprotect, probe: probeUnprotect, undo: protectAgain },
    ...destroySteps<FreeGuestParams, FreeGuestState, GuestNeeds>((ctx) => {
      const found = recordOf(ctx, ctx.params.guest);
      return found.is === 'done' ? done({ record: found.value, lossSet: ctx.params.lossSet }) : found;
    }),
    { name: 'forget', readOnly: true, run: forget },
  ],
};

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const view = await readOwn(ctx, found.value.vmid, found.value, signal);
  if (view.is !== 'done') return view;
  if (found.value.servedAt !== undefined && !view.value.protection)
    return refused(
      reason(
        'job.changed',
        `cannot destroy guest ${found.value.name} (${found.value.vmid}): it is not in quarantine (not protected)`,
      ),
    );
  const proof = await proveRemovable(ctx, found.value, ctx.params.lossSet, signal);
  return proof.is === 'done' ? done({ vmid: found.value.vmid, wasProtected: view.value.protection }) : proof;
}

async function unprotect(ctx: Context, signal: AbortSignal): Promise<Outcome<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const written = await writeConfig(ctx, protection(found.value, false), signal);
  return written.is === 'done' ? done({}) : written;
}

async function probeUnprotect(ctx: Context, signal: AbortSignal): Promise<Probed<Partly>> {
  const found = recordOf(ctx, ctx.params.guest);
  if (found.is !== 'done') return found;
  const probed = await probeConfig(ctx, protection(found.value, false), signal);
  return probed.is === 'done' ? done({}) : probed;
}

function protectAgain(ctx: Context, signal: AbortSignal): Promise<Outcome<void>> {
  if (ctx.state.wasProtected !== true) return Promise.resolve(done(undefined));
  return ifStillOurs(ctx, signal, async (known) => {
    const back = await writeConfig(ctx, protection(known, true), signal);
    if (back.is !== 'done') return back;
    return keepRecord(ctx, known.uid, (guest) => ({ ...guest, configDigest: back.value.digest }));
  });
}

async function forget(ctx: Context): Promise<Outcome<Partly>> {
  ctx.needs.registry.remove(ctx.params.guest.uid);
  return done({});
}
