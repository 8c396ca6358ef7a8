/**
 * What root does about guests and for those who watch over them: the third door of this room.
 *
 * Owns clearing what a killed worker of the agent left, the pool, looking into scratch guests, and reading keys and disks.
 * Never believes who asks: each verb proves its case from root's own files, changes nothing where a proof is missing, and
 * says which one [R19].
 * Read in this order: node-tasks, node-guests (facts); proofs; unlock, pool-ensure, reap-stub, serve; scratch-read with
 * scratch-program; guest-mounts;
 * pbs-client, archive-key, snapshot-digest; smart.
 */
export { serveGuest } from './serve.ts';
export type { GuestParts, GuestRequest, GuestWorld } from './serve.ts';
export type { GuestTools } from './proofs.ts';
export { nodePlaces } from './node-guests.ts';
export type { NodePlaces } from './node-guests.ts';
export { scratchRead } from './scratch-read.ts';
export { guestMounts } from './guest-mounts.ts';
export { keyTest } from './archive-key.ts';
export { isPbsSnapshot } from './pbs-client.ts';
export { snapshotDigest } from './snapshot-digest.ts';
export { smart } from './smart.ts';
