/** What became of the saga that carries out a job, as the journal has it; over a restart the journal is all there is. */
import { z } from 'zod';
import { effectClasses } from '@felhom/protocol';
import type { EffectClass, Reason } from '@felhom/protocol';
import { foldSaga } from '../kernel/index.ts';
import type { Journal, SagaStatus } from '../kernel/index.ts';
import type { ParkedSaga } from './job-plan.ts';

export type SagaOutcome =
  /** Waits for its lanes, runs or unwinds. */
  | { readonly is: 'open' }
  | { readonly is: 'parked'; readonly why: Reason }
  /** The journal has no record of it: no step of it has ever run. */
  | { readonly is: 'never-began' }
  | { readonly is: 'completed'; readonly state: Readonly<Record<string, unknown>> }
  | { readonly is: 'unwound'; readonly why: Reason }
  | { readonly is: 'abandoned'; readonly state: Readonly<Record<string, unknown>> };

export function sagaOutcome(
  id: string,
  status: readonly SagaStatus[],
  journal: Pick<Journal, 'recordsOf'>,
): SagaOutcome {
  const log = foldSaga(journal.recordsOf(id));
  if (log?.parked !== undefined) return { is: 'parked', why: log.parked.why };
  if (log === undefined) return { is: status.some((saga) => saga.id === id) ? 'open' : 'never-began' };
  switch (log.end?.is) {
    case undefined:
      return { is: 'open' };
    case 'completed':
      return { is: 'completed', state: log.state };
    case 'unwound':
      return { is: 'unwound', why: log.end.why };
    case 'abandoned':
      return { is: 'abandoned', state: log.state };
  }
}

/** Sagas that lead to the end of a guest: whoever lets one go on, or gives it up, decides about that guest. */
const removing = new Set(['quarantine', 'free-guest']);
/** What the others lead to at the strictest [R14]. One that is not listed here counts as leading to everything. */
const classesOf: ReadonlyMap<string, readonly EffectClass[]> = new Map<string, readonly EffectClass[]>([
  ['quarantine', ['destroy']],
  ['free-guest', ['destroy']],
  ['adopt', ['destroy']],
  ['break-glass-open', ['disclose']],
  ['target-change', ['destroy', 'disclose']],
  ...['restore-overwrite', 'restore-in-place', 'undo-restore', 'finish-restore', 'rollback', 'delete-backup'].map(
    (name) => [name, ['destroy']] as const,
  ),
  ['unprotect-backup', ['destroy']],
  ['prune-backup', ['destroy']],
  ['restore-copy', ['disclose']],
  ['update-controller', ['deploy']],
  ...[
    'lift-quarantine',
    'break-glass-close',
    'bring-up',
    'add-volume',
    'grow-volume',
    'start',
    'stop',
    'backup',
    'renew-marker',
    'restore-test',
    'sweep-scratch',
    'recover-guest',
    'checkpoint',
    'drop-checkpoint',
    'issue-claim',
  ].map((name) => [name, ['divert']] as const),
]);
/** `lossSet` of a removal, `loss` of a restore. */
const withLoss = z.object({ lossSet: z.array(z.string()).optional(), loss: z.array(z.string()).optional() });

export function parkedSaga(
  id: string,
  status: readonly SagaStatus[],
  journal: Pick<Journal, 'recordsOf'>,
): ParkedSaga | undefined {
  const saga = status.find((each) => each.id === id && each.parked !== undefined);
  if (saga === undefined) return undefined;
  const loss = withLoss.safeParse(foldSaga(journal.recordsOf(id))?.params);
  return {
    id,
    step: saga.step ?? 'start',
    classes: classesOf.get(saga.name) ?? effectClasses,
    removal: removing.has(saga.name),
    loss: loss.success ? (loss.data.lossSet ?? loss.data.loss ?? []).toSorted() : [],
  };
}
