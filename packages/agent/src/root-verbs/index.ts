/**
 * What root does when the agent asks, or a person at the host. Runs in root's own program, never in the agent's process.
 *
 * Owns verifying each gated verb again, against root-owned files, and carrying it out [R13]. Never believes the agent: what
 * it asks for comes as the operator's envelope.
 * Read in this order: serve-verb (with receipts, one-at-a-time, program-files); trust-update, trust-file-write; break-glass,
 * break-glass-units, root-files; what only reads: read-volumes, read-archive. Two doors of their own: `guests/`, `storage/`
 * with target-apply.
 */
export { serveVerb } from './serve-verb.ts';
export type { RootAnswer, RootParts, RootRequest } from './serve-verb.ts';
export { receiptsIn } from './receipts.ts';
export { witnessIn } from './witness-count.ts';
export type { Receipts } from './receipts.ts';
export { whyOvertaken } from './overtaken.ts';
export { takeTurn } from './one-at-a-time.ts';
export type { Turn } from './one-at-a-time.ts';
export { exposedProgram } from './program-files.ts';
export type { TrustUpdateAnswer, TrustUpdateOptions } from './trust-update.ts';
export { replaceTrustFile, writeFirstTrustFile } from './trust-file-write.ts';
export { closeBreakGlass } from './break-glass.ts';
export type { BreakGlassAnswer, BreakGlassPlace, BreakGlassShown, OpenOptions } from './break-glass.ts';
export { breakGlassSettings } from './break-glass-units.ts';
export type { BreakGlassSettings } from './break-glass-units.ts';
export { trustUpdate } from './trust-update.ts';
export { archiveDigest } from './read-archive.ts';
export type { ArchiveCommands } from './read-archive.ts';
export { volumesOf } from './read-volumes.ts';
export { consumedJobsIn } from './consumed-jobs.ts';
export { ownFolder, rootFiles } from './root-files.ts';
