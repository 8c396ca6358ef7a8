/**
 * A warrant is proof that the gate allowed one irreversible effect. Its constructor is private to this room, so a port
 * that demands one cannot be called by code that did not ask. Replay derives warrants again from journaled evidence;
 * they are never stored.
 */
import type { Digest, GuestUid, Vmid, VolumeId } from '@felhom/protocol';

declare const minted: unique symbol;

export interface DestroyGuestWarrant {
  readonly [minted]: true;
  readonly effect: 'destroy-guest';
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  /** Exactly the volumes that may be freed; anything else found under this VMID means refuse and park [R1]. */
  readonly volumes: readonly VolumeId[];
  /** True only where a listing taken before the create call showed no volume under this VMID [R2]. */
  readonly mayDestroyUnreferenced: boolean;
}

/** Volumes of a guest that stays: an added volume whose saga is unwound. */
export interface FreeVolumesWarrant {
  readonly [minted]: true;
  readonly effect: 'free-volumes';
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  readonly volumes: readonly VolumeId[];
}

/** One archive, by the bytes that it had when it was taken or when it was signed for. */
export interface DeleteBackupWarrant {
  readonly [minted]: true;
  readonly effect: 'delete-backup';
  readonly guest: GuestUid;
  readonly archive: VolumeId;
  readonly sha256: Digest;
}

/** A guest goes back to one of its own snapshots: everything written to these volumes since is lost. */
export interface RollbackWarrant {
  readonly [minted]: true;
  readonly effect: 'rollback';
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  readonly snapshot: string;
  readonly volumes: readonly VolumeId[];
}

export type Warrant = DestroyGuestWarrant | FreeVolumesWarrant | DeleteBackupWarrant | RollbackWarrant;
