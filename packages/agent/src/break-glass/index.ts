/**
 * Break-glass: SSH to the host for a bounded time, when nothing else helps.
 *
 * Owns: the customers' standing consents, the decision to open, when an open host has to be closed, and the two sagas.
 * Never does: check a signature, start a tunnel or close it in time. The root helper does the first two again for
 * itself (`root-verbs/break-glass.ts`), systemd does the last with the agent dead.
 * Read in this order: consents, decide-open, break-glass.saga.
 */
export { consentStanding, grantConsent, listConsents, withdrawConsent } from './consents.ts';
export type { Consent, ConsentingGuest, ConsentStanding } from './consents.ts';
export { decideOpen, mustClose } from './decide-open.ts';
export type { OpenDecision, OpenFacts } from './decide-open.ts';
export { breakGlassClose, breakGlassOpen } from './break-glass.saga.ts';
export type { BreakGlassCloseParams, BreakGlassNeeds, BreakGlassOpenParams } from './break-glass.saga.ts';
