/**
 * What root does about storage: the second door of this room.
 *
 * Owns the storage manifest, the mounts of disks, the entries of Proxmox that stand for targets, and the passwords of
 * servers. Never formats a disk, never unmounts lazily, and never touches a file system or an entry that no declaration
 * names; of those it overwrites one that was detached, when it is ordered to wipe it.
 * Read in this order: world, registry; units, disks, folder, mount; entry, proxmox, credentials, define; attach with speed,
 * detach, wipe with block-devices, re-point, list; serve. What comes as an envelope is `../target-apply.ts`.
 */
export { serveStorage } from './serve.ts';
export type { StorageRequest } from './serve.ts';
export { attachTarget, planAttach } from './attach.ts';
export type { AttachPlan } from './attach.ts';
export { detachTarget } from './detach.ts';
export { planWipe, wipeTarget } from './wipe.ts';
export type { WipePlan } from './wipe.ts';
export { planRePoint, rePointTarget } from './re-point.ts';
export type { RePointPlan } from './re-point.ts';
export { createBlockDevices } from './block-devices.ts';
export { mountUnitName } from './units.ts';
export { keepCredential } from './credentials.ts';
export { testCredential } from './credential-test.ts';
export type { KeptCredential } from './credentials.ts';
export { defineStorage } from './define.ts';
export { listStorage } from './list.ts';
export type { StorageList } from './list.ts';
export type { ChangeAnswer, StorageAnswer, StorageWorld } from './world.ts';
