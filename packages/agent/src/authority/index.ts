/**
 * Authority: who may do what to which guest.
 *
 * Owns the effects, the gate's table, identity, provenance per volume, and the minting of warrants.
 * Never reads the world, keeps state or carries anything out: everything here is a pure decision over what it is told.
 * Read in this order: effects, gate-table (with its rows), gate, signed, people, action-document, identity, provenance,
 * ranges.
 */
export { guestRefOf } from './effects.ts';
export type {
  BackupBytes,
  BuiltEffect,
  Effect,
  EffectKind,
  GuestEffect,
  GuestRef,
  JobEffect,
  ProtectionEffect,
  RouteEffect,
} from './effects.ts';
export type { Evidence, GateFacts, SelfUse, StrangerFacts, Touch } from './facts.ts';
export { actionDocument } from './action-document.ts';
export { decide } from './gate.ts';
export { peopleFor } from './people.ts';
export type { Decision } from './gate.ts';
export { isBuilt, rowOf } from './gate-table.ts';
export { identify, parseMarker } from './identity.ts';
export type { ObservedGuest } from './identity.ts';
export {
  backupWarrantFor,
  destroyWarrantFor,
  freeVolumesWarrantFor,
  removalWarrantFor,
  rollbackWarrantFor,
  volumesInConfig,
} from './provenance.ts';
export { blastWindowMs } from './blast-radius.ts';
