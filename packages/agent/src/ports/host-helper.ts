/**
 * The root helper, behind a port. Verbs are few, exact and idempotent per operation id; each leaves a root-owned
 * receipt, because no Proxmox task will tell later what it did [R13]. `show` reads a receipt and changes nothing.
 */
import type { Outcome } from '../kernel/saga.ts';
import type { Vmid, VolumeId } from '@felhom/protocol';

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
