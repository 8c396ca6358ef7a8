/**
 * A running guest goes down, and no more. Nothing to undo: one that did not go down still runs, and starting it is a
 * power of its own. Whether it comes up with the node again is its onboot flag, another effect.
 */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { SagaDefinition } from '../kernel/saga.ts';
import { comeToRest, noteRest, probeRest } from './at-rest.ts';
import type { RestState } from './at-rest.ts';
import type { GuestNeeds } from './needs.ts';
import { guestRef } from './registered.ts';
import { patientAttempts } from './settle.ts';
import { laneOf } from './vmid-claims.ts';

const params = z.strictObject({ guest: guestRef });

export interface StopParams {
  readonly guest: GuestRef;
}

export const stopGuest: SagaDefinition<StopParams, RestState, GuestNeeds> = {
  name: 'stop',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [{ name: 'stop', intend: noteRest, run: comeToRest, probe: probeRest }],
};
