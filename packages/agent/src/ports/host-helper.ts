/**
 * The root helper, behind a port. Verbs are few, exact and idempotent per operation id; each leaves a root-owned
 * receipt, because no Proxmox task will tell later what it did [R13]. `show` reads a receipt and changes nothing.
 */
import type { Outcome } from '../kernel/saga.ts';
import type { Digest, FoundVolume, Vmid, VolumeId } from '@felhom/protocol';

export interface HostHelper {
  /** `pvesm list` of every storage as root: each volume that carries this VMID, orphans included. */
  volumesOf(vmid: Vmid, signal: AbortSignal): Promise<Outcome<readonly VolumeId[]>>;
  /**
   * Clears the stub that a killed create or restore of ours left: proves by root-only facts that it is ours and dead
   * [R19], unmounts, detaches loop devices, unlocks, removes the config and exactly the listed volumes.
   */
  reapStub(
    operation: HelperOperation,
    vmid: Vmid,
    volumes: readonly VolumeId[],
    signal: AbortSignal,
  ): Promise<Outcome<void>>;
  /** Clears a lock of kind create, backup, snapshot, snapshot-delete, rollback or disk whose owner is dead. */
  unlock(operation: HelperOperation, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>>;
  /** Puts a VMID of the root-owned range back into the agent's pool. */
  poolEnsure(operation: HelperOperation, vmid: Vmid, signal: AbortSignal): Promise<Outcome<void>>;
  /**
   * Restarts the unit of the tunnel, also one that systemd gave up; refused where somebody stopped or disabled it, and
   * beyond root's own limit per hour. Done: systemd took it on; whether it comes up only a look tells.
   */
  tunnelRestart(operation: HelperOperation, signal: AbortSignal): Promise<Outcome<void>>;
  /**
   * Reads a finished archive back from its device, whole [R8]: SHA-256 and size of a file, or of the signed index of a
   * PBS snapshot, and the device it lies on. Slow: minutes per hundred GiB.
   */
  archiveDigest(archive: VolumeId, signal: AbortSignal): Promise<Outcome<ArchiveDigest>>;
  /**
   * Looks into a *scratch* guest that runs: per volume the number and bytes of regular files and the hashes of the listed
   * ones, read as the guest's own uid 0 inside its namespaces, never following a link [R24]. Any other VMID is refused.
   */
  scratchRead(
    vmid: Vmid,
    volumes: readonly ScratchQuestion[],
    signal: AbortSignal,
  ): Promise<Outcome<readonly FoundVolume[]>>;
  /**
   * What a running guest of ours has mounted from declared disks, and whether it is the disk that is there now. Told from
   * the kernel's memory; nothing of a guest is opened. Shares of a server are left out: they come back by themselves.
   */
  guestMounts(vmid: Vmid, signal: AbortSignal): Promise<Outcome<GuestMounts>>;
  /** Decrypts the config inside an encrypted archive with the key of its storage: proves that the key opens it. */
  keyTest(archive: VolumeId, signal: AbortSignal): Promise<Outcome<KeyTest>>;
  /** The receipt of an operation, or `undefined` if the helper never completed it. */
  show(operation: HelperOperation, signal: AbortSignal): Promise<Outcome<HelperReceipt | undefined>>;
}

/** Unique per effect, e.g. `<saga>.<step>.<verb>`; the same id twice does the work once. */
export type HelperOperation = string;

export interface HelperReceipt {
  readonly operation: HelperOperation;
  readonly verb: string;
  readonly at: number;
}

export interface ArchiveDigest {
  readonly kind: 'file' | 'pbs-index';
  readonly sizeBytes: number;
  readonly sha256: Digest;
  /** What tells the device under the path apart: UUID and serial, or the repository. */
  readonly device: string;
}

export interface ScratchQuestion {
  /** Mount path in the guest. */
  readonly path: string;
  /** Files below it, relative. */
  readonly samples: readonly string[];
}

export interface GuestMounts {
  /** A guest that does not run has no mounts. */
  readonly running: boolean;
  readonly mounts: readonly GuestMount[];
}

export interface GuestMount {
  /** In the guest. */
  readonly path: string;
  /** Name of the declared target that its volume lies on. */
  readonly target: string;
  /** `dead`: of a disk that was pulled, or is not there; `unknown`: it could not be told. */
  readonly state: 'live' | 'dead' | 'unknown';
  /** For people; empty where it is live. */
  readonly why: string;
}

export type KeyTest =
  | { readonly is: 'opens'; readonly fingerprint: string }
  | { readonly is: 'not-encrypted' }
  /** The storage's key is not the one that it was made with, or there is none. */
  | { readonly is: 'wrong-key'; readonly text: string };
