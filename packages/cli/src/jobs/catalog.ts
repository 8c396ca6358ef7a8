/** Every job kind and its file. The compiler says which one is missing. */
import type { Job, JobKind } from '@felhom/protocol';
import type { VerifiedHost } from '../verified-host.ts';
import { adopt } from './adopt.ts';
import { approve } from './approve.ts';
import { backupDelete, backupUnprotect, forceBackup } from './backups.ts';
import { breakGlassClose, breakGlassOpen } from './break-glass.ts';
import { cancel } from './cancel.ts';
import { decommission } from './decommission.ts';
import { downgrade } from './downgrade.ts';
import { floorChange } from './floor-change.ts';
import { hold } from './hold.ts';
import { hubRePoint } from './hub-re-point.ts';
import type { JobFile, Meaning } from './job-file.ts';
import { reRegister } from './re-register.ts';
import { restoreCopy, restoreInPlace, restoreOverwrite, rollback } from './restores.ts';
import { saga } from './saga.ts';
import { targetAttach, targetDetach, targetRePoint, targetWipe } from './targets.ts';
import { trustChange } from './trust-change.ts';
import { tunnelChange } from './tunnel.ts';

export const jobFiles = {
  approve,
  decommission,
  adopt,
  're-register': reRegister,
  hold,
  saga,
  cancel,
  'trust-change': trustChange,
  'floor-change': floorChange,
  'break-glass-open': breakGlassOpen,
  'break-glass-close': breakGlassClose,
  'hub-re-point': hubRePoint,
  'force-backup': forceBackup,
  'restore-overwrite': restoreOverwrite,
  'restore-in-place': restoreInPlace,
  'restore-copy': restoreCopy,
  rollback,
  'backup-delete': backupDelete,
  'backup-unprotect': backupUnprotect,
  'target-attach': targetAttach,
  'target-detach': targetDetach,
  'target-wipe': targetWipe,
  'target-re-point': targetRePoint,
  'tunnel-change': tunnelChange,
  downgrade,
} as const satisfies { readonly [K in JobKind]: JobFile<K> };

/** What a job means, in words made from its parameters and what the host signed. */
export function meaningOf(job: Job, host: VerifiedHost): Meaning {
  // The kind picks the file of that kind; TypeScript cannot follow a union through an index.
  const file = jobFiles[job.kind] as unknown as JobFile<JobKind>;
  return file.meaning(job.params, host, job);
}
