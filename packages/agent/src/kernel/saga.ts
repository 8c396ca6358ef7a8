import type { Reason } from '@felhom/protocol';
import type { Clock, Random } from './clock.ts';

/**
 * A saga is a linear table of steps. Each step has one effect on the world:
 *
 *   intend   reads the world and decides what exactly will be done; its answer is durable before the effect
 *   run      does it; a handle (the UPID) is durable the moment it is known
 *   probe    finds out, after a crash or a lost answer, what became of it; never does anything
 *   undo     compensates; looks before it touches, so twice is the same as once
 *
 * Values flow forward through `state`: the fold of every intent and outcome so far, which is exactly what replay reads.
 */
export interface SagaDefinition<Params, State extends object, Needs> {
  readonly name: string;
  readonly version: number;
  /** Parses journaled parameters; throws on a record this release does not understand, which parks the saga. */
  readonly parseParams: (raw: unknown) => Params;
  /** Lanes and slots held for the saga's life, in a global order, e.g. `guest:<uid>`, `storage:local`. */
  readonly lanes: (params: Params) => readonly string[];
  /**
   * What it does on its lanes; `change` unless told. A parked saga closes its lanes for changes, never for protection
   * (backups, integrity checks) [R34].
   */
  readonly purpose?: 'change' | 'protection';
  readonly steps: readonly Step<Params, State, Needs>[];
  /** Attempts per step, run and undo alike, before the saga parks. */
  readonly attemptCap: number;
}

export interface Step<Params, State extends object, Needs> {
  readonly name: string;
  /**
   * `pivot: 'at-outcome'`: once this step is done only forward is legal.
   * `pivot: 'at-intent'`: already the intent closes the way back (rollback, reassign, destroy).
   */
  readonly pivot?: 'at-outcome' | 'at-intent';
  /** A step that changes nothing; probing it is running it. */
  readonly readOnly?: true;
  intend?(ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<Outcome<Partial<State>>>;
  run(ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<Outcome<Partial<State>>>;
  /** Required unless `readOnly`. */
  probe?(ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<Probed<Partial<State>>>;
  /**
   * Settles what may still land late: a call that left before a crash can be carried out after a probe has looked
   * [R31]. `done` = whatever was going to land has landed. For `pivot: 'at-intent'` a probe's `never-happened` counts
   * only when it is repeated behind this barrier; without one such a step is never run a second time.
   */
  barrier?(ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<Outcome<void>>;
  /** Absent: nothing to compensate. Covers the step from its intent on. */
  undo?(ctx: StepContext<Params, State, Needs>, signal: AbortSignal): Promise<Outcome<void>>;
}

export interface StepContext<Params, State extends object, Needs> {
  readonly sagaId: string;
  readonly params: Readonly<Params>;
  readonly state: Readonly<Partial<State>>;
  readonly needs: Needs;
  readonly clock: Clock;
  readonly random: Random;
  /** The last handle journaled for this step and direction, if any. */
  readonly handle: string | undefined;
  /** Wall time at which the saga and this step's intent were journaled: lower bounds for searching the task list. */
  readonly startedAt: number;
  readonly intentAt: number;
  /** Makes a handle durable; returns when it is on disk. Call it first thing after Proxmox answered with a UPID. */
  recordHandle(handle: string): void;
  /** Shown live to people (`felhom-agent status`); never durable, never read back. */
  progress(report: Progress): void;
}

export interface Progress {
  readonly text: string;
  /** 0..1 where known. */
  readonly fraction?: number;
}

/** The result of anything that was asked of the world. */
export type Outcome<T> =
  | { readonly is: 'done'; readonly value: T }
  /** Proven: the world is as it was before. */
  | { readonly is: 'refused'; readonly why: Reason }
  /** Nobody knows yet. Never unwinds on its own; it is probed until it becomes one of the others. */
  | { readonly is: 'unknown'; readonly why: Reason };

export type Probed<T> = Outcome<T> | { readonly is: 'never-happened' };

export const done = <T>(value: T): Outcome<T> => ({ is: 'done', value });
export const refused = (why: Reason): { is: 'refused'; why: Reason } => ({ is: 'refused', why });
export const unknown = (why: Reason): { is: 'unknown'; why: Reason } => ({ is: 'unknown', why });

/** How a saga ended, or where it stands. */
export type SagaEnd =
  | { readonly is: 'completed'; readonly state: Readonly<Record<string, unknown>> }
  | { readonly is: 'unwound'; readonly why: Reason }
  | { readonly is: 'parked'; readonly why: Reason; readonly step: string }
  /** This process stopped (shutdown, fence lost, journal failed). The saga is open and the next start replays it. */
  | { readonly is: 'left-open'; readonly why: Reason };

/** Lets the registry hold sagas of different types; the runner never looks inside. */
// oxlint-disable-next-line typescript/no-explicit-any
export type AnySaga<Needs = any> = SagaDefinition<any, any, Needs>;
