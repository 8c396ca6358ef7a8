/** Sets or clears a hold. It stops changes and never backups [R34]. */
import { reason } from '@felhom/protocol';
import { guestOf, refOf, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planHold: PlanJob<'hold'> = (job, view) => {
  const { scope, set } = job.params;
  const kind = set ? 'hold-set' : 'hold-clear';
  const record = scope === 'host' ? undefined : guestOf(job, scope, view);
  if (scope !== 'host' && record === undefined)
    return {
      is: 'refuse',
      why: reason(
        'job.unknown-target',
        `cannot carry out job ${job.jobId}: no guest ${scope.uid}.${scope.incarnation} is on record`,
      ),
    };
  const effect = { kind, scope: record === undefined ? ('host' as const) : refOf(record) } as const;
  return { is: 'hold', effect, signed: signedDigest(effect, view) };
};
