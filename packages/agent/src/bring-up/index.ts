/**
 * Bring-up: how a guest comes into being from an archive, and how that is taken back. The front half that provisioning
 * shares with disaster recovery. Never destroys anything that its own saga did not make.
 *
 * Read in this order: bring-up.saga, restore-step, restore-undo, config-audit, risk-report, identity-policy.
 */
export { bringUp } from './bring-up.saga.ts';
export { riskReport } from './risk-report.ts';
