/**
 * Removal: how a guest that people signed away leaves this host, slowly enough that a stolen key is noticed.
 *
 * Owns the record of a removal with its cool-off, quarantine and the day's share, and the three sagas that carry it out.
 * Never decides who may ask for one, never frees what nobody signed for, never touches backups.
 * Read in this order: removal, removal-store, quarantine.saga, lift-quarantine.saga, proof, free-guest.saga.
 */
export { beginRemoval, cancelRemoval, isOpen, liveDestroys, ofServing, planRemoval } from './removal.ts';
export type { Begun, Cancelled, Removal, RemovalMoment, RemovalOrder, RemovalPlan } from './removal.ts';
export { foundBefore } from './before-quarantine.ts';
export type { BeforeQuarantine } from './before-quarantine.ts';
export { createRemovalStore } from './removal-store.ts';
export type { RemovalStore } from './removal-store.ts';
export { quarantine } from './quarantine.saga.ts';
export type { QuarantineParams } from './quarantine.saga.ts';
export { liftQuarantine } from './lift-quarantine.saga.ts';
export type { LiftQuarantineParams } from './lift-quarantine.saga.ts';
export { freeGuest } from './free-guest.saga.ts';
export type { FreeGuestParams } from './free-guest.saga.ts';
