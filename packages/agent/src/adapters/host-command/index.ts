/**
 * Programs of the host: the adapter of `ports/host-command.ts`.
 *
 * Owns starting one program with exact arguments and a clean environment. Never runs a shell, never takes its program from
 * whoever asks.
 * Read in this order: host-command.
 */
export { createHostCommand } from './host-command.ts';
export type { HostCommandOptions } from './host-command.ts';
