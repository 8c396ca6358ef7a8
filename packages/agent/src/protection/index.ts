/**
 * Protection: the rounds that keep copies of the guests, prove them and bring back what was lost, and the stores behind
 * them. An entry room like `reconcile`: it plans by the pure rules of the other rooms and submits at the one door.
 *
 * Never decides what is allowed, never talks to Proxmox but to look, and waits for no saga.
 * Read in this order: round, in-force, stores, look, guest-views, protection.
 */
export { createProtection } from './protection.ts';
export type { Protection, ProtectionNeeds } from './protection.ts';
export type { LocalContact } from './stores.ts';
