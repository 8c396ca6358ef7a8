/**
 * The operator's command line. Talks to the hub, never to a box.
 * Read in this order: program, commands, desired-diff, hub-client.
 */
export { runFelhom } from './program.ts';
export { exitCodes } from './io.ts';
export type { CliIo, ExitCode, OutStream } from './io.ts';
export { diffDesired } from './desired-diff.ts';
export type { DesiredChange, Verdict } from './desired-diff.ts';
export { renderHosts } from './commands/hosts.ts';
export { renderStatus } from './commands/status.ts';
export { renderDiff } from './render-diff.ts';
