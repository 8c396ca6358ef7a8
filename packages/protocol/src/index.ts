/**
 * What crosses a wire or carries a signature. Pure, no IO.
 * Read in this order: ids, calendar, desired-state, storage-target, tunnel-declaration, host-state, poll, report, report-state, blocked-action; sshsig, envelope, jobs, trust-document,
 * host-statement, audit-chain, release-manifest; content-manifest, restore-evidence, local-api; errors.
 */
export * from './ids.ts';
export * from './reason.ts';
export * from './errors.ts';
export { isZone, localTimeIn } from './time-zone.ts';
export * from './calendar.ts';
export * from './desired-state.ts';
export * from './canonical.ts';
export * from './blocked-action.ts';
export * from './sshsig.ts';
export * from './envelope.ts';
export * from './trust-document.ts';
export * from './jobs.ts';
export * from './host-statement.ts';
export * from './audit-chain.ts';
export * from './release-manifest.ts';
export * from './content-manifest.ts';
export * from './restore-evidence.ts';
export * from './local-api.ts';
export * from './finding.ts';
export * from './parse.ts';
export * from './poll.ts';
export * from './storage-target.ts';
export * from './tunnel-declaration.ts';
export * from './host-state.ts';
export * from './report.ts';
export * from './report-state.ts';
export * from './operator-api.ts';
export * from './alerts-api.ts';
