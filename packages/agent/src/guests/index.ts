/**
 * Guests: how one comes into being and how it is changed, as sagas; what its Proxmox config means; what its archive may
 * carry. Decides nothing about permission, and never destroys anything that its own saga did not make.
 *
 * Read in this order: bring-up.saga, restore-step, restore-undo, config-audit, settle, plan-guests.
 */
export { bringUp } from './bring-up.saga.ts';
export { changeConfig } from './change-config.saga.ts';
export { addVolume } from './add-volume.saga.ts';
export { growVolume } from './grow-volume.saga.ts';
export { startGuest } from './start.saga.ts';
export { sagaForEffect } from './saga-for-effect.ts';
export type { SagaChoice } from './saga-for-effect.ts';
export type { GuestNeeds } from './needs.ts';
export { createVmidClaims, inFlightOf } from './vmid-claims.ts';
export type { InFlight, OpenSaga, VmidClaims } from './vmid-claims.ts';
export { viewOf } from './pve-config.ts';
export type { GuestView } from './pve-config.ts';
export { riskReport } from './risk-report.ts';
export { identityOf, personsStopMs, planGuest } from './plan-guests.ts';
export type { GuestSight, GuestStanding, SeenConfig } from './plan-guests.ts';
