/**
 * What a start does with the sagas that the last run left open. Pure; the runner acts on it. One saga that cannot be
 * understood parks alone: the others go on.
 */
import type { Reason } from '@felhom/protocol';
import type { AnySaga } from './saga.ts';
import type { SagaLog } from './fold.ts';
import { nextMove, unreadableSaga } from './next-move.ts';
import type { SagaRegistry } from './registry.ts';

export type RecoveryPlan =
  /** Goes on forwards; what became of its current step is asked of the world first where that is open. */
  | { readonly is: 'resume'; readonly step: string | undefined }
  /** As `resume`, and the receipt of what was going on is known. */
  | { readonly is: 'await-handle'; readonly step: string; readonly handle: string }
  | { readonly is: 'unwind'; readonly step: string | undefined }
  /** Cannot go on and has to be parked now. */
  | { readonly is: 'park'; readonly step: string; readonly why: Reason }
  /** Was parked before the restart and stays so. */
  | { readonly is: 'stay-parked'; readonly step: string; readonly why: Reason };

export interface Recovery {
  readonly log: SagaLog;
  readonly plan: RecoveryPlan;
  /** Absent where this release has no such saga, or cannot read its parameters. */
  readonly definition: AnySaga | undefined;
}

/** One recovery per open log, in the given order. */
export function planRecovery(logs: readonly SagaLog[], registry: SagaRegistry): readonly Recovery[] {
  return logs.filter(({ end }) => end === undefined).map((log) => recoveryOf(log, registry));
}

function recoveryOf(log: SagaLog, registry: SagaRegistry): Recovery {
  const found = understand(log, registry);
  const definition = found.is === 'understood' ? found.definition : undefined;
  if (log.parked !== undefined)
    return { log, definition, plan: { is: 'stay-parked', step: log.parked.step, why: log.parked.why } };
  if (found.is === 'strange') return { log, definition, plan: { is: 'park', step: '', why: found.why } };
  return { log, definition, plan: planOf(log, found.definition) };
}

function planOf(log: SagaLog, definition: AnySaga): RecoveryPlan {
  const move = nextMove(definition, log);
  switch (move.is) {
    case 'run':
      return { is: 'resume', step: move.step };
    case 'probe': {
      const handle = log.steps.get(move.step)?.run.handle;
      return handle === undefined ? { is: 'resume', step: move.step } : { is: 'await-handle', step: move.step, handle };
    }
    case 'undo':
      return { is: 'unwind', step: move.step };
    case 'finish':
      return { is: move.end.is === 'unwound' ? 'unwind' : 'resume', step: undefined };
    case 'park':
      return { is: 'park', step: move.step, why: move.why };
    case 'rest':
      return { is: 'resume', step: undefined };
  }
}

type Understood =
  { readonly is: 'understood'; readonly definition: AnySaga } | { readonly is: 'strange'; readonly why: Reason };

function understand(log: SagaLog, registry: SagaRegistry): Understood {
  if (log.unreadable !== undefined) return { is: 'strange', why: unreadableSaga(log, log.unreadable) };
  const definition = registry.find(log.name, log.version);
  if (definition === undefined) return { is: 'strange', why: unreadableSaga(log, 'this release has no such saga') };
  try {
    definition.parseParams(log.params);
    return { is: 'understood', definition };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { is: 'strange', why: unreadableSaga(log, `its parameters do not parse: ${text.slice(0, 300)}`) };
  }
}
