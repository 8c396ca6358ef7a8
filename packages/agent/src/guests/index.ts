/**
 * Guests that exist: what their Proxmox config means, what differs from how they are wanted, and the sagas that change
 * them. Decides nothing about permission and destroys no guest and no volume. How a guest comes into being is the room
 * `bring-up`; which snapshots one has, and until when, is that of others.
 *
 * Read in this order: pve-config, plan-guests, settle, snapshot-work, change-config.saga, then the other sagas.
 */
export { changeAtRest } from './change-at-rest.saga.ts';
export { changeConfig } from './change-config.saga.ts';
export { addVolume } from './add-volume.saga.ts';
export { growVolume } from './grow-volume.saga.ts';
export { startGuest } from './start.saga.ts';
export { stopGuest } from './stop.saga.ts';
export type { GuestNeeds, ProtectionNeeds } from './needs.ts';
export { createVmidClaims, inFlightOf } from './vmid-claims.ts';
export type { InFlight, OpenSaga, VmidClaims } from './vmid-claims.ts';
export { storageOf, viewOf } from './pve-config.ts';
export type { GuestView } from './pve-config.ts';
export { identityOf, personsStopMs, planGuest } from './plan-guests.ts';
export type { GuestSight, GuestStanding, SeenConfig } from './plan-guests.ts';
