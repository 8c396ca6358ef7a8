/**
 * Guests that live: as processes on a stage, as code inside the simulation. Owns what their host's kernel would show of
 * them. Never decides anything that a guest's own programs decide.
 * Read in this order: guest-facts, guest-process, guest-cgroups, guest-network, sim-guest.
 */
export { addressOfGuest, guestFacts } from './guest-facts.ts';
export type { GuestFacts } from './guest-facts.ts';
export { createGuestCgroups, readyUnit, supervisorUnit, witnessUnit } from './guest-cgroups.ts';
export type { GuestCgroups } from './guest-cgroups.ts';
export { createGuestNetwork } from './guest-network.ts';
export { labTraitsFile, runLabGuests } from './guest-process.ts';
export type { LabGuests, LabGuestsOptions, LabTraits } from './guest-process.ts';
export { diskGuestFiles } from './disk-guest-files.ts';
export { startSimGuest } from './sim-guest.ts';
export type { SimGuest, SimGuestOptions, SimTransport } from './sim-guest.ts';
