/** What the sagas of checkpoints need besides what a backup needs; `agent.ts` composes it once. */
import type { GuestUid } from '@felhom/protocol';
import type { BackupNeeds } from '../backups/index.ts';
import type { ClaimNeeds } from '../controllers/index.ts';
import type { ProtectionNeeds } from '../guests/needs.ts';
import type { Checkpoints } from './checkpoint-store.ts';

export interface CheckpointNeeds extends BackupNeeds {
  readonly checkpoints: Checkpoints;
  /** The tier of class fast that a quick backup of this guest goes to; `undefined`: it has none. */
  quickTierOf(guest: GuestUid): string | undefined;
}

export interface DropNeeds extends ProtectionNeeds {
  readonly checkpoints: Checkpoints;
}

/** A guest that was rolled back gets its token anew. */
export interface RollBackNeeds extends DropNeeds, ClaimNeeds {}
