/**
 * The end of an undo window: the guest as it was before a restore is freed, and with it the way back. By the restore's
 * own signature once the window has ended, or earlier by a signed job.
 *
 *   prove      it is the kept guest, stands still, no config on the node names a volume of it [R4], and the one that
 *              took its place is there
 *   unprotect  its protection off; put back where it goes no further
 *   destroy    exactly the volumes of the record; from its intent on only forward is left
 *   pool       the VMID back into the pool
 *   record     the restore is finished
 */
import { reason, volumeId } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import { guestRef } from '../guests/registered.ts';
import { patientAttempts, readOwn } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { destroySteps } from '../removal/destroying.ts';
import type { DestroyOrder, DestroyState } from '../removal/destroying.ts';
import { proveRemovable } from '../removal/proof.ts';
import type { RestoreNeeds } from './needs.ts';
import { protect } from './place.ts';
import type { Standing } from './place.ts';
import { isKept, lossOf, recordOfKept } from './restore-store.ts';
import type { KeptGuest, RestoreRecord } from './restore-store.ts';
import { writeStep } from './steps.ts';

const params = z.strictObject({
  guest: guestRef,
  sagaId: z.string().min(1).max(80),
  loss: z.array(volumeId).max(64),
  jobId: z.string().min(1).max(80),
});

export interface FinishRestoreParams {
  readonly guest: GuestRef;
  /** The saga that restored. */
  readonly sagaId: string;
  /** Exactly the volumes that may be freed. */
  readonly loss: readonly VolumeId[];
  /** For people who read the journal: on whose order. */
  readonly jobId: string;
}

export type FinishRestoreState = DestroyState;

type P = FinishRestoreParams;
type S = FinishRestoreState;
type Context = StepContext<P, S, RestoreNeeds>;

export const finishRestore: SagaDefinition<P, S, RestoreNeeds> = {
  name: 'finish-restore',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [
    { name: 'prove', readOnly: true, run: prove },
    writeStep<P, S>('unprotect', {
      to: (ctx) => protect(false)(old(ctx)),
      back: (ctx) => protect(true)(old(ctx)),
    }),
    ...destroySteps<P, S, RestoreNeeds>(orderOf),
    { name: 'record', readOnly: true, run: close },
  ],
};

/** An open window of this guest, whose loss is exactly what was asked for. */
export function openWindow(
  needs: Pick<RestoreNeeds, 'restores'>,
  { guest, sagaId }: Pick<P, 'guest' | 'sagaId'>,
  verb: string,
): Outcome<RestoreRecord & { readonly old: KeptGuest }> {
  const record = needs.restores.byId(sagaId);
  if (record === undefined || !isKept(record) || record.guest.uid !== guest.uid)
    return refused(
      reason(
        'restore.no-window',
        `cannot ${verb} restore ${sagaId} of guest ${guest.name}: it has no open undo window`,
      ),
    );
  return done(record);
}

function orderOf(ctx: Context): Outcome<DestroyOrder> {
  const found = openWindow(ctx.needs, ctx.params, 'finish');
  if (found.is !== 'done') return found;
  return done({ record: recordOfKept(found.value, found.value.old), lossSet: ctx.params.loss });
}

function old(ctx: Context): Standing {
  const found = openWindow(ctx.needs, ctx.params, 'finish');
  if (found.is !== 'done') throw new Error(found.why.text);
  return { vmid: found.value.old.vmid, marker: recordOfKept(found.value, found.value.old) };
}

async function prove(ctx: Context, signal: AbortSignal): Promise<Outcome<Partial<S>>> {
  const found = openWindow(ctx.needs, ctx.params, 'finish');
  if (found.is !== 'done') return found;
  const { old: kept, guest } = found.value;
  const cannot = `cannot finish the restore of guest ${guest.name}`;
  const now = ctx.needs.registry.byUid(guest.uid);
  if (now === undefined || now.vmid === kept.vmid)
    return refused(reason('gate.holds-data', `${cannot}: no other guest of it is on record`));
  // One that is lost, or taken for lost: until it is back, what is to be freed may be all that is left of it.
  const serving = await readOwn(ctx, now.vmid, now, signal);
  if (serving.is !== 'done') return serving;
  const differing = [...new Set(lossOf(kept)).symmetricDifference(new Set(ctx.params.loss))];
  if (differing.length > 0)
    return refused(reason('job.changed', `${cannot}: ${differing.join(', ')} is not as it was asked for`));
  const proof = await proveRemovable(ctx, recordOfKept(found.value, kept), ctx.params.loss, signal);
  return proof.is === 'done' ? done({ vmid: kept.vmid }) : proof;
}

async function close(ctx: Context): Promise<Outcome<Partial<S>>> {
  const record = ctx.needs.restores.byId(ctx.params.sagaId);
  if (record !== undefined) ctx.needs.restores.put({ ...record, state: 'finished' });
  return done({});
}
