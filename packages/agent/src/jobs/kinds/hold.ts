/** Sets or clears a hold. It stops changes and never backups [R34]. */
import { refOf } from '../../authority/guest-record.ts';
import { guestOf, noSuchGuest, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planHold: PlanJob<'hold'> = (job, view) => {
  const { scope, set } = job.params;
  const kind = set ? 'hold-set' : 'hold-clear';
  const record = scope === 'host' ? undefined : guestOf(scope, view);
  if (scope !== 'host' && record === undefined) return noSuchGuest(job, scope);
  const effect = { kind, scope: record === undefined ? ('host' as const) : refOf(record) } as const;
  return { is: 'hold', effect, signed: signedDigest(effect, view) };
};
