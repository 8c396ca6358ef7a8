/** Parameters and journaled state of the bring-up saga. */
import { z } from 'zod';
import { desiredGuest } from '@felhom/protocol';
import type { DesiredGuest, VolumeId } from '@felhom/protocol';
import type { StepContext } from '../kernel/saga.ts';
import type { ClaimNeeds, ClaimState } from '../controllers/index.ts';
import type { RestoreFrontState } from './restore-state.ts';

export const bringUpParams = z.strictObject({ desired: desiredGuest });
export interface BringUpParams {
  readonly desired: DesiredGuest;
}

/** Plain JSON: every field is what an intent or an outcome made durable. */
export interface BringUpState extends RestoreFrontState, ClaimState {
  // assess
  readonly archive: VolumeId;
  readonly pveVersion: string;
  readonly archivedNetworks: readonly string[];

  // enable
  readonly digest: string;
  readonly servedAt: number;
}

export type BringUpContext = StepContext<BringUpParams, BringUpState, ClaimNeeds>;
