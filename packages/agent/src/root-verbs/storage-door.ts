/**
 * What root does about storage: the second door of this room.
 *
 * Owns the storage manifest, the mounts of disks, the entries of Proxmox that stand for targets, and the passwords of
 * servers. Never formats a disk, never unmounts lazily, and never touches a file system or an entry that no declaration
 * names.
 * Read in this order: storage-world, storage-registry; storage-units, storage-disks, storage-folder, storage-mount;
 * storage-entry, storage-proxmox, storage-credentials, storage-define; storage-attach with storage-speed, storage-detach, storage-list;
 * storage-serve, target-apply.
 */
export { serveStorage } from './storage-serve.ts';
export type { StorageRequest } from './storage-serve.ts';
export { attachTarget, planAttach } from './storage-attach.ts';
export type { AttachPlan } from './storage-attach.ts';
export { detachTarget } from './storage-detach.ts';
export { keepCredential } from './storage-credentials.ts';
export type { KeptCredential } from './storage-credentials.ts';
export { defineStorage } from './storage-define.ts';
export { listStorage } from './storage-list.ts';
export type { StorageList } from './storage-list.ts';
export type { ChangeAnswer, StorageAnswer, StorageWorld } from './storage-world.ts';
