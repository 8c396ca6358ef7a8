/**
 * Restores that people sign: over a guest with an undo, in its place without one, as a copy beside it; and the end of an
 * undo window, either way.
 *
 * Owns the records of restores, the hand-over of bulk volumes, and these sagas. Never decides who may ask, never uses
 * `force`, never frees a volume that was carried over [R1].
 * Read in this order: restore-store, carry-plan, carry-over, restore-overwrite.saga, undo-restore.saga,
 * finish-restore.saga.
 */
export { restoreOverwrite } from './restore-overwrite.saga.ts';
export type { RestoreOverwriteParams } from './restore-overwrite.saga.ts';
export { undoLossOf, undoRestore } from './undo-restore.saga.ts';
export { finishRestore } from './finish-restore.saga.ts';
export { restoreCopy } from './restore-copy.saga.ts';
export { restoreInPlace } from './restore-in-place.saga.ts';
export { createRestoreStore, keptVmids, lossOf } from './restore-store.ts';
export type { RestoreRecord, RestoreStore } from './restore-store.ts';
export { decideWindow } from './window.ts';
export type { WindowDecision } from './window.ts';
export { reportedRestoreOf } from './report.ts';
export { carryPlan } from './carry-plan.ts';
export type { RestoreNeeds } from './needs.ts';
