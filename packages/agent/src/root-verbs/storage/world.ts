/** What root's verbs about storage stand on. Nobody who asks may choose any of it. */
import type { HostCommand } from '../../ports/host-command.ts';
import type { Systemctl } from '../../ports/systemctl.ts';
import type { BlockDevices } from './block-devices.ts';
import type { DiskTools } from './disks.ts';
import type { StorageRegistry } from './registry.ts';

export interface StorageTools extends DiskTools {
  readonly blockdev: HostCommand;
  readonly chattr: HostCommand;
  readonly dd: HostCommand;
  readonly perl: HostCommand;
  readonly systemdCreds: HostCommand;
  readonly mount: HostCommand;
  readonly umount: HostCommand;
  readonly wipefs: HostCommand;
}

export interface StorageWorld {
  readonly registry: StorageRegistry;
  /** Where mount units lie: `/etc/systemd/system`, because they have to outlive a reboot. */
  readonly units: string;
  /** Below it the folders of the disks: `/mnt/felhom`. */
  readonly mountRoot: string;
  readonly credentials: string;
  /** Configs of guests, all of this node. */
  readonly guestConfigs: readonly string[];
  readonly systemctl: Systemctl;
  readonly tools: StorageTools;
  /** Where root alone looks at a disk that is not in use: a folder that nobody else may enter. */
  readonly lookFolder: string;
  readonly blockDevices: BlockDevices;
  /** 32 hex digits that nobody can guess. */
  readonly newMark: () => string;
  /** From 0 to just below 1. */
  readonly random: () => number;
  /** From the root-owned policy, as it is now. */
  readonly node: () => { readonly node: string; readonly pool: string } | { readonly bad: string };
}

export type StorageAnswer =
  | { readonly is: 'done' }
  /** `refused`: nothing was changed. `busy`: it is not as it should be; ask again. */
  | { readonly is: 'refused' | 'busy'; readonly text: string };

/** What takes several parts. `begun`: it is written down and not all done; the same order again goes on from there. */
export type ChangeAnswer = StorageAnswer | { readonly is: 'begun'; readonly text: string };

export const refusedBy = (verb: string, name: string, why: string): StorageAnswer => ({
  is: 'refused',
  text: `cannot ${verb} ${name}: ${why}`,
});

export const busyWith = (verb: string, name: string, why: string): StorageAnswer => ({
  is: 'busy',
  text: `cannot ${verb} ${name}: ${why.trim().slice(0, 600)}`,
});
