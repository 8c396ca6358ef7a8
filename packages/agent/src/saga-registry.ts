/** Every saga this release can run or recover, by name and version. Feeds recovery and the generated crash matrix. */
import { breakGlassClose, breakGlassOpen } from './break-glass/index.ts';
import { adoptGuest } from './adoption/index.ts';
import { bringUp } from './bring-up/index.ts';
import { addVolume, changeAtRest, changeConfig, growVolume, startGuest, stopGuest } from './guests/index.ts';
import { freeGuest, liftQuarantine, quarantine } from './removal/index.ts';
import { backup, deleteBackup, pruneBackup, renewMarker, unprotectBackup } from './backups/index.ts';
import { checkpointGuest, dropCheckpoint, rollBack } from './checkpoints/index.ts';
import { dropClaim, issueClaim, updateController } from './controllers/index.ts';
import { recoverGuest } from './recovery/index.ts';
import { remountGuest } from './stale-mounts/index.ts';
import { restoreTest, sweepScratch } from './restore-tests/index.ts';
import { finishRestore, restoreCopy, restoreInPlace, restoreOverwrite, undoRestore } from './restores/index.ts';
import { createRegistry } from './kernel/index.ts';
import type { SagaRegistry } from './kernel/index.ts';
import { targetChange, trustChange, tunnelChange } from './trust/index.ts';

export function createSagaRegistry(): SagaRegistry {
  return createRegistry([
    bringUp,
    changeConfig,
    addVolume,
    growVolume,
    startGuest,
    stopGuest,
    changeAtRest,
    quarantine,
    liftQuarantine,
    freeGuest,
    adoptGuest,
    trustChange,
    breakGlassOpen,
    breakGlassClose,
    targetChange,
    tunnelChange,
    backup,
    pruneBackup,
    deleteBackup,
    unprotectBackup,
    renewMarker,
    checkpointGuest,
    dropCheckpoint,
    rollBack,
    restoreTest,
    sweepScratch,
    recoverGuest,
    restoreOverwrite,
    undoRestore,
    finishRestore,
    restoreCopy,
    restoreInPlace,
    issueClaim,
    dropClaim,
    updateController,
    remountGuest,
  ]);
}
