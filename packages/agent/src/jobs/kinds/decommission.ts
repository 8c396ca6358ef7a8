/** Removes a guest whether desired state names it or not: cool-off, quarantine, then exactly the volumes that are named. */
import type { VolumeId } from '@felhom/protocol';
import { refOf } from '../../authority/guest-record.ts';
import { guestOf, noSuchGuest, signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planDecommission: PlanJob<'decommission'> = (job, view) => {
  const { guest, lossSet, backups, coolOffMinutes } = job.params;
  const record = guestOf(guest, view);
  if (record === undefined) return noSuchGuest(job, guest);
  const effect = {
    kind: 'guest-decommission',
    guest: refOf(record),
    volumes: lossSet as readonly string[] as readonly VolumeId[],
    backups,
    stage: 'quarantine',
  } as const;
  return { is: 'remove', effect, signed: signedDigest(effect, view), coolOffMinutes };
};
