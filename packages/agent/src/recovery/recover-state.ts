/** Parameters, journaled state and needs of the recovery saga. */
import { z } from 'zod';
import { digest, volumeId } from '@felhom/protocol';
import type { DesiredGuest, GuestName } from '@felhom/protocol';
import type { BackupBytes, GuestRef } from '../authority/effects.ts';
import type { RestoreFrontState } from '../bring-up/index.ts';
import type { Catalogue } from '../catalogue/index.ts';
import type { ClaimNeeds, ClaimState } from '../controllers/index.ts';
import { guestRef } from '../guests/registered.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { ComingBack } from './plan-restore.ts';
import type { RecoveryStore } from './recovery-store.ts';

export const recoverParams = z.strictObject({
  guest: guestRef,
  tier: z.string(),
  backup: z.strictObject({ archive: volumeId, sha256: digest }),
});
export interface RecoverParams {
  readonly guest: GuestRef;
  readonly tier: string;
  readonly backup: BackupBytes;
}

export interface RecoverNeeds extends ClaimNeeds {
  readonly catalogue: Pick<Catalogue, 'byArchive' | 'put'>;
  readonly recoveries: Pick<RecoveryStore, 'put'>;
  /** As it is wanted now, for the places and names of volumes; `undefined` where nothing is known. */
  readonly desiredOf: (name: GuestName) => DesiredGuest | undefined;
}

export interface RecoverState extends RestoreFrontState, ClaimState {
  // assess
  readonly pveVersion: string;
  readonly back: ComingBack;

  // enable
  readonly digest: string;
}

export type RecoverContext = StepContext<RecoverParams, RecoverState, RecoverNeeds>;
