// The storage room of the fake Proxmox VE node.
//
// Owns: storage definitions, volumes, archives, retention and vzdump. Never does: guest configs and their locks (it asks
// the guests room), permissions (it asks access). Read in this order: `disk.ts` (what lies below), `room.ts` (the
// contract), `archives.ts` and `unpack.ts`, then the routes; `vzdump-guest.ts` is the one long story.
import type { FakePve, Route } from '../core.ts';
import type { Disk } from './disk/disk.ts';
import { Storage, type StorageRoomOptions } from './room.ts';
import { configRoutes } from './routes-config.ts';
import { contentRoutes } from './routes-content.ts';
import { nodeRoutes } from './routes-node.ts';
import { vzdumpRoutes } from './vzdump/routes-vzdump.ts';

export { FileDisk } from './disk/disk-files.ts';
export { MemoryDisk } from './disk/disk-memory.ts';
export { directoryMember, fileMember, treePath, type Disk, type Member } from './disk/disk.ts';
export { goldenFiles, placeArchive, placeTemplate, type PlacedArchive } from './golden.ts';
export type { Hardware } from './hardware.ts';
export type { Storage, StorageRoomOptions } from './room.ts';

/** `pve` may still be under construction: it is first used when the first call comes. */
export function createStorageRoom(pve: FakePve, disk: Disk, options: StorageRoomOptions = {}): Storage {
  return new Storage(pve, disk, options);
}

/** Every route of the room; they need the node's storage to be one of `createStorageRoom`. */
export const storageRoutes: readonly Route[] = [...configRoutes, ...nodeRoutes, ...contentRoutes, ...vzdumpRoutes];
