/** Takes a guest that is not on record under this host's care, as it is at this moment and no other [R36]. */
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';

export const planAdopt: PlanJob<'adopt'> = (job, view) => {
  const { vmid, name, configDigest, volumes } = job.params;
  const effect = { kind: 'guest-adopt', vmid, name, configDigest, volumes } as const;
  return { is: 'submit', effect, signed: signedDigest(effect, view) };
};
