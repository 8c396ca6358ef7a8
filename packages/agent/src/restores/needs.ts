/** What the sagas of this room need of the world. */
import type { DesiredGuest, GuestName } from '@felhom/protocol';
import type { Catalogue } from '../catalogue/index.ts';
import type { ClaimNeeds } from '../controllers/index.ts';
import type { ProtectionNeeds } from '../guests/needs.ts';
import type { RestoreStore } from './restore-store.ts';

export type RestoreNeeds = ProtectionNeeds &
  ClaimNeeds & {
    readonly catalogue: Catalogue;
    readonly restores: RestoreStore;
    /** What the hub wants of it now, if anything. */
    readonly desiredOf: (name: GuestName) => DesiredGuest | undefined;
  };
