/**
 * Admission: the one door to a change.
 *
 * Owns the order gate, lane, runner, audit; what is being done at the moment and what it will take; the blocked actions.
 * Never decides what is allowed (authority does), drives a saga (the kernel does) or knows which saga carries out what
 * (that is told).
 * Read in this order: submit, blocked-actions, reservations, audit-trail.
 */
export { createAdmission } from './submit.ts';
export type {
  SubmitOptions,
  Admission,
  AdmissionOptions,
  FactsOfWorld,
  Permission,
  SignedOrder,
  Submission,
} from './submit.ts';
export { createAuditTrail } from './audit-trail.ts';
export type { AdmissionState, AuditTrail, TrailEntry } from './audit-trail.ts';
export type { BlockedActions, SeenBlockedAction } from './blocked-actions.ts';
