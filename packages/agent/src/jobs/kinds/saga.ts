/** Lets a parked saga go on or ends it as it stands, or ends an undo window. Takes the people that it leads to [R14]. */
import { reason } from '@felhom/protocol';
import { signedDigest } from '../job-plan.ts';
import type { PlanJob } from '../job-plan.ts';
import { planWindow } from './restores.ts';

export const planSaga: PlanJob<'saga'> = (job, view) => {
  const { verb, saga, step, lossSet } = job.params;
  if (verb === 'undo' || verb === 'finish') return planWindow(job, verb, view);
  const parked = view.parked(saga);
  if (parked === undefined)
    return {
      is: 'refuse',
      why: reason(
        'job.unknown-target',
        `cannot ${verb} saga ${saga}: it is not parked here; felhom status lists those that are`,
      ),
    };
  const about = (at: string, loss: readonly string[]) =>
    ({
      kind: verb === 'resume' ? 'saga-resume' : 'saga-abandon',
      sagaId: saga,
      step: at,
      classes: parked.classes,
      removal: parked.removal,
      loss,
    }) as const;
  // Signed for the step and the loss that were shown; carried out for those that are.
  return { is: 'saga', effect: about(parked.step, parked.loss), signed: signedDigest(about(step, lossSet), view) };
};
