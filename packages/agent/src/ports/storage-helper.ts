/**
 * The verbs of the root helper about storage. A target is asked for by its name only: what it is stands in root's own
 * file of declarations (`storage-manifest.ts`), so whoever asks can neither mount nor define anything else [R13].
 */
import type { Outcome } from '../kernel/saga.ts';
import type { HelperOperation } from './host-helper.ts';

export interface StorageHelper {
  /** Writes the mount unit of a declared disk and starts it; refused where another disk is found under its name. */
  mount(operation: HelperOperation, target: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Stops the mount unit of a declared disk. Never lazy: busy is refused. */
  unmount(operation: HelperOperation, target: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Makes the entry of Proxmox what the declaration says, and puts it into the agent's pool. */
  storageDefine(operation: HelperOperation, target: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** What a disk says of itself, as `smartctl --json --all` prints it. Reads only; never wakes a sleeping disk. */
  smart(device: string, signal: AbortSignal): Promise<Outcome<string>>;
}
