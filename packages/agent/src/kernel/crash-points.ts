/**
 * The moments at which a crash leaves a saga in a different state, derived from its definition. In production nothing
 * happens at them; tests take the power away there, at every one, and again during the replay.
 */
import type { AnySaga } from './saga.ts';
import type { Direction } from './records.ts';

export const moments = [
  'before-intent',
  'after-intent',
  /** The world has changed and no handle says so; for a step without one, no outcome. */
  'effect-done',
  /** Reached only by a step that records a handle. */
  'handle-written',
  'before-outcome',
  'after-outcome',
] as const;
export type Moment = (typeof moments)[number];

/** `saga/step/direction/moment`, e.g. `bring-up/restore/run/handle-written`. */
export type CrashPoint = `${string}/${string}/${Direction}/${Moment}`;

export interface CrashPoints {
  /** May throw, and then nothing written afterwards is durable: that is what a crash looks like from inside. */
  reached(point: CrashPoint): void;
}

export const noCrashPoints: CrashPoints = { reached: () => undefined };

export const crashPoint = (saga: string, step: string, direction: Direction, moment: Moment): CrashPoint =>
  `${saga}/${step}/${direction}/${moment}`;

/** Every point of a saga, in the order in which a run, and then its unwinding, comes by. */
export function crashPointsOf(saga: Pick<AnySaga, 'name' | 'steps'>): readonly CrashPoint[] {
  const undoable = saga.steps.filter((step) => step.undo !== undefined).toReversed();
  return [
    ...saga.steps.flatMap((step) =>
      moments
        .filter((moment) => step.readOnly !== true || moment !== 'handle-written')
        .map((moment) => crashPoint(saga.name, step.name, 'run', moment)),
    ),
    ...undoable.flatMap((step) => moments.map((moment) => crashPoint(saga.name, step.name, 'undo', moment))),
  ];
}
