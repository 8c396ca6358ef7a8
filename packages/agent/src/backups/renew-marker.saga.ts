/** The marker of a guest minted anew, because an archive of it was seen that holds the present one [R20]. */
import { z } from 'zod';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { guestRef } from '../guests/registered.ts';
import { patientAttempts } from '../guests/settle.ts';
import { laneOf } from '../guests/vmid-claims.ts';
import type { SagaDefinition } from '../kernel/saga.ts';
import { noteMarker, probeMarker, writeMarker } from './marker.ts';
import type { MarkerState } from './marker.ts';

const params = z.strictObject({ guest: guestRef });

export interface RenewMarkerParams {
  readonly guest: GuestRef;
}

export const renewMarker: SagaDefinition<RenewMarkerParams, MarkerState, GuestNeeds> = {
  name: 'renew-marker',
  version: 1,
  parseParams: (raw) => params.parse(raw),
  lanes: ({ guest }) => [laneOf(guest)],
  attemptCap: patientAttempts,
  steps: [{ name: 'marker', intend: noteMarker, run: writeMarker, probe: probeMarker }],
};
