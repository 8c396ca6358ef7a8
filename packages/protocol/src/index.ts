/**
 * What crosses a wire or carries a signature. Pure, no IO.
 * Read in this order: ids, desired-state, poll, report, blocked-action, errors.
 */
export * from './ids.ts';
export * from './reason.ts';
export * from './errors.ts';
export * from './desired-state.ts';
export * from './canonical.ts';
export * from './blocked-action.ts';
export * from './finding.ts';
export * from './parse.ts';
export * from './poll.ts';
export * from './report.ts';
export * from './operator-api.ts';
