/**
 * Guests whose disk dropped and came back: a running guest keeps the mount of the disk that was pulled, and reads errors
 * from it or writes into nothing until it is restarted [users U8].
 *
 * Owns when root is asked about a guest's mounts, what it said last, what that calls for, and the saga that restarts the
 * guest. Never touches a file system, never restarts a guest that is not to run, whose disk is away or comes and goes, and
 * at most as often as everything else that restarts guests.
 * Read in this order: judge-guest (pure), stale-mounts, remount-guest.saga.
 */
export { createStaleMounts } from './stale-mounts.ts';
export type { StaleMounts, StaleMountsNeeds } from './stale-mounts.ts';
export type { DiskOf, OnDisk } from './judge-guest.ts';
export { remountGuest } from './remount-guest.saga.ts';
