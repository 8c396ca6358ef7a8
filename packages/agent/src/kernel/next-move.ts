/**
 * The whole state machine of a saga as one pure function: what the records say, in; the one thing to do next, out.
 *
 *   forward    untouched → intend and run · intent without outcome, or unknown → probe · done → next step
 *   refused    before the pivot: back, from this step's own intent on · past it: try again later
 *   back       undo each touched step, last first, until it says done
 *   too often  park, with the reason
 */
import type { Reason } from '@felhom/protocol';
import type { AnySaga } from './saga.ts';
import type { JournaledEnd } from './records.ts';
import type { Passage, SagaLog } from './fold.ts';
import { untouched } from './fold.ts';

export type Move =
  /** Intend (unless an intent already stands) and run. `waitMs` before it: back-off. */
  | { readonly is: 'run'; readonly step: string; readonly waitMs: number }
  | { readonly is: 'probe'; readonly step: string; readonly waitMs: number }
  | { readonly is: 'undo'; readonly step: string; readonly waitMs: number }
  | { readonly is: 'finish'; readonly end: JournaledEnd }
  | { readonly is: 'park'; readonly step: string; readonly why: Reason }
  /** Nothing to do: it has ended, or waits for an operator. */
  | { readonly is: 'rest' };

/** Total: every log of every saga has a move, also one that no runner of this release can have written. */
export function nextMove(saga: Pick<AnySaga, 'steps' | 'attemptCap'>, log: SagaLog): Move {
  if (log.end !== undefined || log.parked !== undefined) return { is: 'rest' };
  if (log.unreadable !== undefined) return { is: 'park', step: '', why: unreadableSaga(log, log.unreadable) };
  const stranger = [...log.steps.keys()].find((name) => !saga.steps.some((step) => step.name === name));
  if (stranger !== undefined)
    return { is: 'park', step: stranger, why: unreadableSaga(log, `it has no step ${stranger} in this release`) };

  const at = saga.steps.findIndex((step) => passage(log, step.name).outcome?.is !== 'done');
  const step = saga.steps[at];
  if (step === undefined) return { is: 'finish', end: { is: 'completed' } };
  const { outcome, intents, fruitless } = passage(log, step.name);
  if (outcome?.is === 'refused' && !isPastPivot(saga, log)) return unwind(saga, log, at, outcome.why);

  if (fruitless >= saga.attemptCap) return { is: 'park', step: step.name, why: gaveUp(log, step.name, 'run') };
  const waitMs = backOffMs(fruitless);
  const undecided = intents > 0 && (outcome === undefined || outcome.is === 'unknown');
  return undecided && step.readOnly !== true
    ? { is: 'probe', step: step.name, waitMs }
    : { is: 'run', step: step.name, waitMs };
}

/** Whether the way back is closed. */
export function isPastPivot(saga: Pick<AnySaga, 'steps'>, log: SagaLog): boolean {
  return saga.steps.some((step) => {
    const { intents, outcome } = passage(log, step.name);
    if (step.pivot === 'at-intent') return intents > 0;
    return step.pivot === 'at-outcome' && outcome?.is === 'done';
  });
}

function unwind(saga: Pick<AnySaga, 'steps' | 'attemptCap'>, log: SagaLog, refusedAt: number, why: Reason): Move {
  const step = saga.steps
    .slice(0, refusedAt + 1)
    .findLast(
      (step) =>
        step.undo !== undefined &&
        passage(log, step.name).intents > 0 &&
        log.steps.get(step.name)?.undo.outcome?.is !== 'done',
    );
  if (step === undefined) return { is: 'finish', end: { is: 'unwound', why } };
  const undo = log.steps.get(step.name)?.undo ?? untouched;
  return undo.fruitless >= saga.attemptCap
    ? { is: 'park', step: step.name, why: gaveUp(log, step.name, 'undo') }
    : { is: 'undo', step: step.name, waitMs: backOffMs(undo.fruitless) };
}

/** 0, then 1 s, doubling, at most 5 min. */
export function backOffMs(fruitless: number): number {
  return fruitless === 0 ? 0 : Math.min(1000 * 2 ** (fruitless - 1), 300_000);
}

const passage = (log: SagaLog, step: string): Passage => log.steps.get(step)?.run ?? untouched;

/** The one command that moves a parked saga on; every reason to park ends with it [R34]. */
export const resolvingCommand = (saga: string): string => `felhom-agent journal resume ${saga}`;

function gaveUp(log: SagaLog, step: string, direction: 'run' | 'undo'): Reason {
  const tried = log.steps.get(step)?.[direction] ?? untouched;
  const last = tried.outcome !== undefined && 'why' in tried.outcome ? tried.outcome.why : undefined;
  const what = direction === 'run' ? 'settle' : 'undo';
  return {
    code: 'saga-parked',
    text:
      `cannot ${what} step ${step} of saga ${log.id} after ${tried.fruitless} attempts: ` +
      `${last?.text ?? 'no answer said what became of it'}; see to it, then: ${resolvingCommand(log.id)}`,
    retry: 'operator',
    ...(last?.detail === undefined ? {} : { detail: last.detail }),
  };
}

export function unreadableSaga(log: Pick<SagaLog, 'id' | 'name' | 'version'>, problem: string): Reason {
  return {
    code: 'saga-unreadable',
    text:
      `cannot continue saga ${log.id} (${log.name}@${log.version}): ${problem}; ` +
      `install the release that wrote it, then: ${resolvingCommand(log.id)}`,
    retry: 'operator',
  };
}
