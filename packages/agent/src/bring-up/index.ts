/**
 * Bring-up: how a guest comes into being from an archive, and how that is taken back. The front half is shared by every
 * saga that restores. Never destroys anything that its own saga did not make.
 *
 * Read in this order: bring-up.saga, restore-front, restore-step, restore-undo, config-audit, risk-report,
 * identity-policy.
 */
export { bringUp } from './bring-up.saga.ts';
export { addMounts, restoreFront } from './restore-front.ts';
export { clearRestored } from './restore-undo.ts';
export { markerOf, want } from './restore-state.ts';
export type { RestoreFrontState, RestorePlan } from './restore-state.ts';
export { parseArchivedConfig, riskReport } from './risk-report.ts';
export { auditConfig } from './config-audit.ts';
export { identityEnv, identityPolicy, supportsEnv } from './identity-policy.ts';
export { admitSpace } from './admission-space.ts';
