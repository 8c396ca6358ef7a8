/** Every kind of job and the file that knows it. A kind without one does not compile. */
import type { Job, JobKind, JobOf } from '@felhom/protocol';
import type { JobPlan, JobView, PlanJob } from './job-plan.ts';
import { planAdopt } from './kinds/adopt.ts';
import { planApprove } from './kinds/approve.ts';
import { planBackupDelete, planBackupUnprotect, planForceBackup } from './kinds/backups.ts';
import { planBreakGlassClose, planBreakGlassOpen } from './kinds/break-glass.ts';
import { planCancel } from './kinds/cancel.ts';
import { planDecommission } from './kinds/decommission.ts';
import { planFloorChange } from './kinds/floor-change.ts';
import { planHold } from './kinds/hold.ts';
import { planLater } from './kinds/later.ts';
import { planReRegister } from './kinds/re-register.ts';
import { planRestoreCopy, planRestoreInPlace, planRestoreOverwrite, planRollback } from './kinds/restores.ts';
import { planSaga } from './kinds/saga.ts';
import { planTargetAttach, planTargetDetach, planTargetRePoint, planTargetWipe } from './kinds/targets.ts';
import { planTunnelChange } from './kinds/tunnel.ts';
import { planTrustChange } from './kinds/trust-change.ts';

const catalog: { readonly [K in JobKind]: PlanJob<K> } = {
  approve: planApprove,
  decommission: planDecommission,
  adopt: planAdopt,
  're-register': planReRegister,
  hold: planHold,
  saga: planSaga,
  cancel: planCancel,
  'trust-change': planTrustChange,
  'floor-change': planFloorChange,
  'break-glass-open': planBreakGlassOpen,
  'break-glass-close': planBreakGlassClose,
  'tunnel-change': planTunnelChange,
  'hub-re-point': planLater,
  'force-backup': planForceBackup,
  'restore-overwrite': planRestoreOverwrite,
  'restore-in-place': planRestoreInPlace,
  'restore-copy': planRestoreCopy,
  rollback: planRollback,
  'backup-delete': planBackupDelete,
  'backup-unprotect': planBackupUnprotect,
  'target-attach': planTargetAttach,
  'target-detach': planTargetDetach,
  'target-wipe': planTargetWipe,
  'target-re-point': planTargetRePoint,
  downgrade: planLater,
};

export function planJob(job: Job, view: JobView): JobPlan {
  return choose(job.kind, job, view);
}

function choose<K extends JobKind>(kind: K, job: JobOf<K>, view: JobView): JobPlan {
  return catalog[kind](job, view);
}
