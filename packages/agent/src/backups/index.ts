/**
 * Backups: taking one and proving it, letting one go, reading them again, and what lies on a storage that is not ours.
 *
 * Owns the sagas around archives. Never decides when a backup is due or which one may go (that is the catalogue's), never
 * restores one, and never deletes an archive that it could not prove.
 *
 * Read in this order: needs, notes, backup.saga, capture-step, verify-step, release-guest, marker, delete-archive,
 * prune.saga, then the other sagas, integrity, foreign.
 */
export type { BackupNeeds, QuiesceLeases } from './needs.ts';
export { backup, backupSteps } from './backup.saga.ts';
export type { BackupParams, BackupState } from './backup-state.ts';
export { pruneBackup } from './prune.saga.ts';
export { deleteBackup } from './delete-backup.saga.ts';
export { unprotectBackup } from './unprotect-backup.saga.ts';
export { renewMarker } from './renew-marker.saga.ts';
export { findingOfIntegrity, nextToReRead, reRead } from './integrity.ts';
export { findingOfMode, findingsOfArchives, sortArchives } from './foreign.ts';
