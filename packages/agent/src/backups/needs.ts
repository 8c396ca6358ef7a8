/** What the sagas of backups need besides what every guest saga needs; `agent.ts` composes it once. */
import type { ContentManifest, Digest, GuestUid, Reason, StorageId } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { ProtectionNeeds } from '../guests/needs.ts';

/** The leases under which controllers hold their apps still, as far as a backup asks about them [R35]. */
export interface QuiesceLeases {
  /** Whether the apps of this guest are held under this lease now. */
  isHeld(guest: GuestUid, lease: string): boolean;
  /** The storage holds the state: the apps may go on. Twice is the same as once; of an ended lease it is nothing. */
  captured(guest: GuestUid, lease: string): void;
}

/** Whether the right thing lies under a storage, as far as somebody declared what that is [R8]. */
export interface TargetGuard {
  /** Looks, and asks the target itself. Why nothing may begin there; `undefined`: nothing is known against it. */
  check(storage: string): Promise<Reason | undefined>;
  /** Another word after each time that it was away; `undefined`: nobody declared it. */
  attachment(storage: string): string | undefined;
  /** The work's signal is aborted when the target goes away meanwhile. */
  whileAttached<T>(
    storage: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<{ readonly is: 'ended'; readonly value: T } | { readonly is: 'dropped'; readonly why: Reason }>;
}

export interface BackupNeeds extends ProtectionNeeds {
  readonly catalogue: Catalogue;
  readonly manifests: {
    latest(
      guest: GuestUid,
    ): { readonly digest: Digest; readonly manifest: ContentManifest; readonly at: number } | undefined;
  };
  readonly leases: QuiesceLeases;
  readonly targets: TargetGuard;
  /** The target of a tier, and the device that must lie under it where the policy names one. */
  tierOf(name: string): { readonly storage: StorageId; readonly device?: string } | undefined;
  /** Whether this manifest differs so much from the one before that what was there before must not be pruned [R12]. */
  isMassChange(guest: GuestUid, manifest: ContentManifest): boolean;
  /** Whether retention lets this backup go, derived anew from the catalogue as it is now [R12]. */
  mayPrune(record: BackupRecord): boolean;
}
