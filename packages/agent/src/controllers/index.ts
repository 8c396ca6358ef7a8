/**
 * Controllers: what runs inside a guest for us, reached from outside only. One-time claims and tokens, what each
 * supervisor is told to run and says of it, how long apps are held still, what guests asked for.
 *
 * Owns these documents and the sagas that issue and drop claims and bring a newer controller. Never enters a guest, never
 * believes a guest about another one, and never rolls a guest back.
 * Read in this order: claims, tokens, issue-claim, issue-claim.saga, controllers, update-controller.saga, heal, leases,
 * operations, bulk.
 */
export { createClaims } from './claims.ts';
export type { Claims } from './claims.ts';
export { createTokens } from './tokens.ts';
export { claimStep } from './issue-claim.ts';
export type { ClaimIssuing, ClaimNeeds, ClaimPlace, ClaimState } from './issue-claim.ts';
export { issueClaim } from './issue-claim.saga.ts';
export { dropClaim } from './drop-claim.saga.ts';
export { updateController } from './update-controller.saga.ts';
export { createRestarts } from './restarts.ts';
export { createLeases } from './leases.ts';
export { createControllers } from './controllers.ts';
export { createOperations } from './operations.ts';
export { createBulkReports, decisionOf } from './bulk.ts';
export { controllerWork } from './heal.ts';
