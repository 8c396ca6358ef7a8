/**
 * A guest's health as the host sees it: its cgroup tree, read as an ordinary user and without entering the guest. The
 * guest's root writes what is in there, so it can lower a grade and never raise one above what else was shown [R24].
 */
import type { Vmid } from '@felhom/protocol';

export interface GuestWitness {
  /**
   * One sample. `units`: names of the units to look at, below `system.slice`. Never throws for what a guest or the kernel
   * does; what cannot be read is said so.
   */
  sample(vmid: Vmid, units: readonly string[], signal: AbortSignal): Promise<WitnessSample>;
  /**
   * Names of units that came into being or went, as the kernel tells it, so that a loop faster than the samples is seen.
   * `undefined`: this host cannot tell.
   */
  watch(vmid: Vmid, seen: (unit: string, what: 'came' | 'went') => void): { close(): void } | undefined;
}

export type WitnessSample =
  /** No cgroup of this guest: it does not run. */
  | { readonly is: 'stopped' }
  /** It is there and may not be read, or is no guest with systemd. */
  | { readonly is: 'unreadable'; readonly text: string }
  | {
      readonly is: 'seen';
      /** Inode of the guest's cgroup root: another one means that the guest was started anew. */
      readonly boot: string;
      readonly frozen: boolean;
      /** PID 1's scope has a process. */
      readonly init: boolean;
      /** Unit → its cgroup's inode and whether a process is in it; absent units are missing. */
      readonly units: ReadonlyMap<string, { readonly inode: string; readonly populated: boolean }>;
      /** Names of the witness's own sub-cgroups: `beat.<epoch>`, `ok.<check>`, `no.<check>`, `failed.<n>`, `df.<volume>.<percent>`. */
      readonly facts: readonly string[];
      readonly oomKills: number;
    };
