/**
 * The operator's command line. Talks to the hub, never to a box, and believes of a host only what the host signed.
 * Read in this order: program, commands, desired-diff, hub-client; verified-host, jobs/job-file, jobs/sign-job,
 * signing/ssh-keygen.
 */
export { runFelhom } from './program.ts';
export { exitCodes } from './io.ts';
export type { CliIo, ExitCode, Machine, OutStream, ToolResult } from './io.ts';
export { systemMachine } from './system.ts';
export { diffDesired } from './desired-diff.ts';
export type { DesiredChange, Verdict } from './desired-diff.ts';
export { renderHosts } from './commands/hosts.ts';
export { renderStatus } from './commands/status.ts';
export { renderDiff } from './render-diff.ts';
