/**
 * Carries out one move on one step: the only place where a step's own code is called. The order of writing and acting
 * is the promise of the whole kernel:
 *
 *   intent on disk → fence → effect → handle on disk, the moment it is known → outcome on disk
 */
import type { Reason } from '@felhom/protocol';
import type { Clock, Random } from './clock.ts';
import type { AnySaga, Outcome, Probed, Progress, Step, StepContext } from './saga.ts';
import { unknown } from './saga.ts';
import type { CrashPoints, Moment } from './crash-points.ts';
import { crashPoint } from './crash-points.ts';
import type { Fence } from './fence.ts';
import type { SagaLog } from './fold.ts';
import { foldSaga, untouched } from './fold.ts';
import type { Journal } from './journal.ts';
import type { Direction, JournaledOutcome, SagaRecord } from './records.ts';

export interface Stage {
  readonly journal: Journal;
  readonly fence: Fence;
  readonly clock: Clock;
  readonly random: Random;
  readonly crashPoints: CrashPoints;
}

/** One saga at one point of its life. */
export interface Scene {
  readonly stage: Stage;
  readonly definition: AnySaga;
  readonly log: SagaLog;
  /** As the definition parsed them. */
  readonly params: Context['params'];
  readonly needs: unknown;
  readonly signal: AbortSignal;
  readonly progress: (report: Progress) => void;
}

export type Performed =
  /** Something was written; fold again and look for the next move. */
  | { readonly is: 'on' }
  /** We were stopped, or are no longer the one who may act. Nothing was written. */
  | { readonly is: 'stopped'; readonly why: Reason };

// oxlint-disable-next-line typescript/no-explicit-any
type AnyStep = Step<any, any, any>;

export async function performRun(scene: Scene, step: AnyStep): Promise<Performed> {
  const { log } = scene;
  const { intents, outcome } = log.steps.get(step.name)?.run ?? untouched;
  // A standing intent is kept, because the call it announced may still land. Proven refused, or changing nothing, it
  // can be decided anew on what the world looks like now.
  const decides = intents === 0 || outcome?.is === 'refused' || step.readOnly === true;
  const intended = decides ? await decide(scene, step) : undefined;
  if (intended !== undefined && intended.is !== 'done') {
    if (mustStop(scene, intended)) return stopped(scene);
    return write(scene, { kind: 'step-outcome', step: step.name, outcome: intended });
  }
  if (scene.signal.aborted) return stopped(scene);
  const value = intended?.value;
  const ready = announce(scene, step, 'run', {
    kind: 'step-intent',
    step: step.name,
    ...(value === undefined ? {} : { value }),
  });
  return ready.is === 'announced' ? act(ready.scene, step, 'run', step.run.bind(step)) : ready;
}

export async function performUndo(scene: Scene, step: AnyStep): Promise<Performed> {
  const undo = step.undo?.bind(step);
  if (undo === undefined) throw new TypeError(`cannot undo step ${step.name}: it has no undo`);
  const ready = announce(scene, step, 'undo', { kind: 'undo-intent', step: step.name });
  return ready.is === 'announced' ? act(ready.scene, step, 'undo', undo) : ready;
}

/**
 * Asks the world what became of a step; changes nothing but the journal. Its barriers are writes all the same, and
 * without the fence they would be held back for ever: better to begin again.
 */
export async function performProbe(scene: Scene, step: AnyStep): Promise<Performed> {
  const verdict = scene.stage.fence.check();
  if (verdict.is === 'lost') return { is: 'stopped', why: verdict.why };
  const context = contextOf(scene, step, 'run', (handle) => writeHandle(scene, step, 'run', handle));
  const answer = await settle(scene, step, context);
  if (mustStop(scene, answer)) return stopped(scene);
  return conclude(scene, step, 'run', answer);
}

type Context = StepContext<unknown, object, unknown>;

async function decide(scene: Scene, step: AnyStep): Promise<Outcome<unknown>> {
  if (step.intend === undefined) return { is: 'done', value: undefined };
  const writesNothing = (): never => {
    throw new TypeError(`step ${step.name} records a handle in intend, where nothing has happened yet`);
  };
  const context = contextOf(scene, step, 'run', writesNothing);
  return guarded(scene, step, 'intend', () => step.intend?.(context, scene.signal));
}

/** `never-happened` of a call that closes the way back counts only behind the step's barrier, and asked again [R31]. */
async function settle(scene: Scene, step: AnyStep, context: Context): Promise<Probed<unknown>> {
  const ask = (): Promise<Probed<unknown>> => guarded(scene, step, 'probe', () => step.probe?.(context, scene.signal));
  const first = await ask();
  if (first.is !== 'never-happened' || step.pivot !== 'at-intent') return first;
  if (step.barrier === undefined)
    return unknown(unsettled(scene, step, 'nothing was found of it, and without a barrier it may still land'));
  const barrier = await guarded(scene, step, 'barrier', () => step.barrier?.(context, scene.signal));
  return barrier.is === 'done' ? ask() : unknown(barrier.why);
}

type Announced = { readonly is: 'announced'; readonly scene: Scene } | Extract<Performed, { is: 'stopped' }>;

/**
 * The intent on disk, then the last question before the world is touched. From here on the step sees what the journal
 * gives back, the very values that a replay would see.
 */
function announce(scene: Scene, step: AnyStep, direction: Direction, record: Body): Announced {
  const { definition, stage, log } = scene;
  const reached = (moment: Moment): void =>
    stage.crashPoints.reached(crashPoint(definition.name, step.name, direction, moment));
  reached('before-intent');
  write(scene, record);
  reached('after-intent');
  const verdict = stage.fence.check();
  if (verdict.is === 'lost') return { is: 'stopped', why: verdict.why };
  return { is: 'announced', scene: { ...scene, log: foldSaga(stage.journal.recordsOf(log.id)) ?? log } };
}

async function act(
  scene: Scene,
  step: AnyStep,
  direction: Direction,
  effect: (context: Context, signal: AbortSignal) => Promise<Outcome<unknown>>,
): Promise<Performed> {
  const { definition, stage } = scene;
  const reached = (moment: Moment): void =>
    stage.crashPoints.reached(crashPoint(definition.name, step.name, direction, moment));
  let hasHandle = false;
  const context = contextOf(scene, step, direction, (handle) => {
    if (!hasHandle) reached('effect-done');
    writeHandle(scene, step, direction, handle);
    if (!hasHandle) reached('handle-written');
    hasHandle = true;
  });
  const answer = await guarded(scene, step, direction, () => effect(context, scene.signal));
  if (mustStop(scene, answer)) return stopped(scene);
  if (!hasHandle) reached('effect-done');
  return conclude(scene, step, direction, answer);
}

function conclude(scene: Scene, step: AnyStep, direction: Direction, outcome: JournaledOutcome): Performed {
  const { definition, stage } = scene;
  stage.crashPoints.reached(crashPoint(definition.name, step.name, direction, 'before-outcome'));
  write(scene, { kind: direction === 'run' ? 'step-outcome' : 'undo-outcome', step: step.name, outcome });
  stage.crashPoints.reached(crashPoint(definition.name, step.name, direction, 'after-outcome'));
  return { is: 'on' };
}

/** Exceptions are bugs, and a bug proves nothing about the world: the answer is unknown, and will be probed. */
async function guarded<T extends Probed<unknown>>(
  scene: Scene,
  step: AnyStep,
  what: string,
  call: () => Promise<T> | undefined,
): Promise<T | { readonly is: 'unknown'; readonly why: Reason }> {
  try {
    const answer = await call();
    return answer ?? unknown(unsettled(scene, step, `it has no ${what}`));
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return unknown(unsettled(scene, step, `its ${what} threw: ${text.slice(0, 300)}`));
  }
}

/** After an abort only what is proven is worth writing down; "I stopped waiting" is no answer about the world. */
const mustStop = (scene: Scene, answer: Probed<unknown>): boolean => scene.signal.aborted && answer.is === 'unknown';

const stopped = (scene: Scene): Extract<Performed, { is: 'stopped' }> => ({
  is: 'stopped',
  why: stopReason(scene.signal),
});

export function stopReason(signal: AbortSignal): Reason {
  const reason: unknown = signal.reason;
  if (isReason(reason)) return reason;
  return { code: 'agent-stopped', text: `cannot go on now: ${String(reason)}; the next start does`, retry: 'later' };
}

const isReason = (value: unknown): value is Reason =>
  typeof value === 'object' && value !== null && 'code' in value && 'text' in value && 'retry' in value;

function contextOf(
  { stage, log, params, needs, progress }: Scene,
  step: AnyStep,
  direction: Direction,
  recordHandle: (handle: string) => void,
): Context {
  const passages = log.steps.get(step.name);
  return {
    sagaId: log.id,
    params,
    state: log.state,
    needs,
    clock: stage.clock,
    random: stage.random,
    handle: passages?.[direction].handle,
    startedAt: log.startedAt,
    intentAt: passages?.run.intentAt ?? stage.clock.now(),
    recordHandle,
    progress,
  };
}

type WithoutCommon<T> = T extends unknown ? Omit<T, 'v' | 'at' | 'saga'> : never;
type Body = WithoutCommon<SagaRecord>;

function write({ stage, log }: Scene, body: Body): Performed {
  stage.journal.append([{ v: 1, at: stage.clock.now(), saga: log.id, ...body }]);
  return { is: 'on' };
}

function writeHandle(scene: Scene, step: AnyStep, direction: Direction, handle: string): void {
  write(scene, { kind: direction === 'run' ? 'step-handle' : 'undo-handle', step: step.name, handle });
}

const unsettled = (scene: Scene, step: AnyStep, what: string): Reason => ({
  code: 'step-unsettled',
  text: `cannot tell what became of step ${step.name} of saga ${scene.log.id}: ${what}`,
  retry: 'later',
});
