/**
 * A scratch guest on record without a test that still works on it: stopped and destroyed by provenance only. What does
 * not show the marker on record is not touched.
 */
import { z } from 'zod';
import { clearRestored } from '../bring-up/index.ts';
import type { RestoreFrontState } from '../bring-up/index.ts';
import type { ProtectionNeeds } from '../guests/index.ts';
import { patientAttempts } from '../guests/settle.ts';
import { reason } from '@felhom/protocol';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome, Probed, SagaDefinition, StepContext } from '../kernel/saga.ts';
import { testLane } from './restore-test.saga.ts';
import { stopScratch } from './stop-scratch.ts';
import { guestRef } from './test-state.ts';

export const sweepScratchParams = z.strictObject({ guest: guestRef });
export type SweepScratchParams = z.output<typeof sweepScratchParams>;

type SweepContext = StepContext<SweepScratchParams, RestoreFrontState, ProtectionNeeds>;

export const sweepScratch: SagaDefinition<SweepScratchParams, RestoreFrontState, ProtectionNeeds> = {
  name: 'sweep-scratch',
  version: 1,
  parseParams: (raw) => sweepScratchParams.parse(raw),
  lanes: () => [testLane],
  purpose: 'protection',
  attemptCap: patientAttempts,
  steps: [{ name: 'sweep', intend, run: sweep, probe: probeSweep }],
};

/** The clocks of host and node are the same to within this, in seconds. */
const clockSlack = 60;

async function intend(ctx: SweepContext): Promise<Outcome<Partial<RestoreFrontState>>> {
  const record = ctx.needs.registry.byUid(ctx.params.guest.uid);
  const { scratch } = ctx.needs.policy().vmids;
  if (record?.scratch !== true || record.vmid < scratch.from || record.vmid > scratch.to)
    return refused(
      reason('gate.no-authority', `cannot sweep guest ${ctx.params.guest.uid}: it is not on record as scratch`),
    );
  const { uid, incarnation, marker, vmid, volumes, createdAt } = record;
  return done({ uid, incarnation, marker, vmid, volumes, since: Math.floor(createdAt / 1000) - clockSlack });
}

async function sweep(ctx: SweepContext, signal: AbortSignal): Promise<Outcome<Partial<RestoreFrontState>>> {
  const { vmid, uid, incarnation, marker, since } = ctx.state;
  if (
    vmid === undefined ||
    uid === undefined ||
    incarnation === undefined ||
    marker === undefined ||
    since === undefined
  )
    throw new Error('cannot sweep: its journal does not say what');
  const stopped = await stopScratch(ctx, vmid, { uid, incarnation, marker }, since, signal);
  if (stopped.is !== 'done') return stopped;
  const cleared = await clearRestored(ctx, signal);
  if (cleared.is !== 'done') return cleared;
  ctx.needs.registry.remove(uid);
  return done({});
}

/** Every part looks before it touches. */
async function probeSweep(): Promise<Probed<Partial<RestoreFrontState>>> {
  return { is: 'never-happened' };
}
