/** Parameters and state of the saga `backup`, shared by its steps. */
import { z } from 'zod';
import { digest, storageId, volumeId } from '@felhom/protocol';
import type { Digest, StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import { guestRef } from '../guests/registered.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { BackupNeeds } from './needs.ts';

export const backupParams = z.strictObject({
  guest: guestRef,
  tier: z.string().min(1).max(64),
  storage: storageId,
  slot: z.number().int().min(0).optional(),
  class: z.enum(['scheduled', 'on-demand', 'checkpoint']),
  lease: z.string().min(1).max(128).optional(),
});

export interface BackupParams {
  readonly guest: GuestRef;
  readonly tier: string;
  readonly storage: StorageId;
  /** The time of the schedule that it is for, milliseconds since the epoch. */
  readonly slot?: number | undefined;
  readonly class: BackupRecord['class'];
  /** The lease under which the guest's apps are held still; absent: crash-consistent. */
  readonly lease?: string | undefined;
}

export interface BackupState {
  readonly vmid: Vmid;
  readonly ran: boolean;
  /** Of the target when it began; absent where nobody declared it. */
  readonly attachment: string;
  /** The operation's nonce: in the notes of the archive, and the name of its record. */
  readonly id: string;
  /** The node's clock in seconds before the call. */
  readonly since: number;
  /** Wall time of the agent before the call, milliseconds since the epoch. */
  readonly begunAt: number;
  readonly manifest: BackupRecord['manifest'];
  readonly massChange: boolean;
  /** Absent after a lost answer where only the archive was found again. */
  readonly upid: Upid;
  readonly capturedAt: number;
  readonly consistency: BackupRecord['consistency'];
  readonly mode: BackupRecord['mode'];
  readonly archive: VolumeId;
  /** As listed right after the end. */
  readonly sizeBytes: number;
  readonly warnings: readonly string[];
  /** Its worker did not reach its end, so it may have left the guest locked. */
  readonly died: boolean;
  readonly sha256: Digest;
  readonly device: string;
  readonly encrypted: string;
  readonly protected: boolean;
  readonly risk: BackupRecord['risk'];
  readonly nextMarker: string;
}

export type BackupContext = StepContext<BackupParams, BackupState, BackupNeeds>;
export type Partly = Partial<BackupState>;

/** A backup as jobs and plans name it: by its bytes, never by its name alone [R8]. */
export const backupBytes = z.strictObject({ archive: volumeId, sha256: digest });

/** One vzdump per node: whoever is second only waits inside Proxmox, where nobody sees it. */
export const vzdumpLane = 'node:vzdump';
export const storageLane = (storage: string): string => `storage:${storage}`;
