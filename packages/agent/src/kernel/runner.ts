/**
 * Drives sagas. A fresh start, a replay after a crash and a resume by an operator are the same loop, because the loop
 * knows only the journal: fold, next move, act, append, again.
 */
import { setMaxListeners } from 'node:events';
import type { Reason } from '@felhom/protocol';
import type { AnySaga, Outcome, Progress, SagaDefinition, SagaEnd } from './saga.ts';
import { done, refused } from './saga.ts';
import type { SagaLog } from './fold.ts';
import { foldSaga } from './fold.ts';
import type { LaneRequest, Lanes, Lease } from './lanes.ts';
import { nextMove, resolvingCommand, unreadableSaga } from './next-move.ts';
import type { Performed, Scene, Stage } from './perform-step.ts';
import { performProbe, performRun, performUndo, stopReason } from './perform-step.ts';
import type { SagaRecord } from './records.ts';
import type { Recovery } from './recovery.ts';
import { planRecovery } from './recovery.ts';
import type { SagaRegistry } from './registry.ts';

export interface RunnerOptions extends Stage {
  readonly lanes: Lanes;
  readonly registry: SagaRegistry;
  /** The fence is lost or the journal failed: everything has been stopped, and the process should begin again. */
  readonly onHalt?: (why: Reason) => void;
  /** A saga took a turn or said how far it is. For whoever shows it; nothing may depend on being told. */
  readonly onChange?: () => void;
}

export interface StartedSaga {
  readonly id: string;
  /** Never rejects. */
  readonly ended: Promise<SagaEnd>;
}

/** What a replayed saga needs, by its definition; called once per saga. */
export type NeedsOf = (definition: AnySaga) => unknown;

export interface SagaStatus {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly doing: 'waiting-for-lanes' | 'running' | 'unwinding' | 'parked';
  /** `undefined` while it waits for its lanes. */
  readonly step: string | undefined;
  /** Latest word of the step, for people. */
  readonly progress: Progress | undefined;
  readonly lanes: readonly string[];
  /** Wall time of its start, of its newest record. */
  readonly since: number;
  readonly lastAt: number;
  /** Wall time of its last sign of life: a record, another word of the step, or that this process took it up. */
  readonly movedAt: number;
  readonly parked: { readonly why: Reason; readonly at: number; readonly command: string } | undefined;
}

export interface Runner {
  /**
   * Begins a saga once its lanes are free. Until then nothing is journaled, and aborting `signal` withdraws it; later
   * `signal` does nothing. Throws for a saga that is not registered or whose parameters do not survive the journal.
   */
  start<Params, State extends object, Needs>(
    definition: SagaDefinition<Params, State, Needs>,
    params: Params,
    needs: Needs,
    signal?: AbortSignal,
  ): StartedSaga;
  /**
   * Takes up what the last run left open; to be called once, before anything else starts. All lanes of open sagas are
   * held when it returns; the sagas go on in the background.
   */
  resumeAll(needsOf: NeedsOf): readonly RecoveredSaga[];
  status(): readonly SagaStatus[];
  /** Stops a saga where it stands and keeps its lanes closed for changes. */
  park(id: string, by: string): Promise<Outcome<void>>;
  /** Counts of attempts begin again; the saga goes on from where it was parked. */
  resume(id: string, by: string): Outcome<StartedSaga>;
  /** Ends a parked saga as it stands. What it left behind is the operator's. */
  abandon(id: string, by: string): Outcome<void>;
  /** Stops waiting everywhere, starts nothing more; resolves when no step runs. What is open stays open. */
  stop(why: Reason): Promise<void>;
}

export interface RecoveredSaga extends Recovery {
  readonly ended: Promise<SagaEnd>;
}

/** A saga this process is responsible for: driven, or parked and waiting. */
interface Charge {
  readonly id: string;
  readonly definition: AnySaga | undefined;
  readonly needs: () => unknown;
  readonly lease: Lease;
  driving: { readonly controller: AbortController; readonly ended: Promise<SagaEnd> } | undefined;
  progress: Progress | undefined;
  movedAt: number;
}

export function createRunner(options: RunnerOptions): Runner {
  const { journal, clock, random, lanes, registry } = options;
  const charges = new Map<string, Charge>();
  /** Sagas that nothing has been journaled of yet. */
  const queued = new Map<string, { readonly definition: AnySaga; readonly lanes: readonly string[]; since: number }>();
  const life = new AbortController();
  // One listener per saga and lane waiter is no leak.
  setMaxListeners(0, life.signal);

  const halt = (why: Reason): void => {
    if (life.signal.aborted) return;
    life.abort(why);
    options.onHalt?.(why);
  };

  const logOf = (id: string): SagaLog => {
    const log = foldSaga(journal.recordsOf(id));
    if (log === undefined) throw new TypeError(`cannot go on with saga ${id}: the journal has no records of it`);
    return log;
  };

  const write = (record: WithoutCommon<SagaRecord>, saga: string): void =>
    journal.append([{ v: 1, at: clock.now(), saga, ...record }]);

  // ------------------------------------------------------------------------------------------------- the loop

  const drive = (
    charge: Charge,
    definition: AnySaga,
    first: (signal: AbortSignal) => Promise<void> = async () => undefined,
  ): Promise<SagaEnd> => {
    const controller = new AbortController();
    const signal = AbortSignal.any([life.signal, controller.signal]);
    const loop = async (): Promise<SagaEnd> => {
      try {
        const needs = charge.needs();
        await first(signal);
        for (;;) {
          const end = await advance(charge, definition, needs, signal);
          options.onChange?.();
          if (end !== undefined) return end;
        }
      } catch (error) {
        if (signal.aborted && error === signal.reason) return { is: 'left-open', why: stopReason(signal) };
        // Not a step's exception, those are caught where they happen: the journal failed, or the kernel has a bug.
        // Either way nothing more can be promised in this process.
        const why = cannotGoOn(charge.id, error);
        halt(why);
        return { is: 'left-open', why };
      }
    };
    // The loop begins after the caller has its answer, like everything else that happens to a saga.
    const ended = Promise.resolve()
      .then(loop)
      .then((end) => settle(charge, end));
    charge.driving = { controller, ended };
    charge.movedAt = clock.now();
    return ended;
  };

  /** One turn. `undefined` = go on. */
  const advance = async (
    charge: Charge,
    definition: AnySaga,
    needs: unknown,
    signal: AbortSignal,
  ): Promise<SagaEnd | undefined> => {
    if (signal.aborted) return { is: 'left-open', why: stopReason(signal) };
    const log = logOf(charge.id);
    const move = nextMove(definition, log);
    switch (move.is) {
      case 'run':
      case 'probe':
      case 'undo': {
        if (move.waitMs > 0 && !(await waited(move.waitMs, signal))) return undefined;
        const step = definition.steps.find(({ name }) => name === move.step);
        if (step === undefined) throw new TypeError(`cannot find step ${move.step} of saga ${charge.id}`);
        const progress = (report: Progress): void => {
          const { text, fraction } = charge.progress ?? {};
          if (report.text !== text || report.fraction !== fraction) charge.movedAt = clock.now();
          charge.progress = report;
          options.onChange?.();
        };
        const { parseParams } = definition;
        const scene: Scene = {
          stage: options,
          definition,
          log,
          params: parseParams(log.params),
          needs,
          signal,
          progress,
        };
        const performed = await performers[move.is](scene, step);
        charge.progress = undefined;
        if (performed.is === 'on') return undefined;
        if (!signal.aborted) halt(performed.why);
        return { is: 'left-open', why: performed.why };
      }
      case 'finish':
        write({ kind: 'saga-ended', end: move.end }, charge.id);
        return endOf(logOf(charge.id));
      case 'park':
        write({ kind: 'saga-parked', step: move.step, why: move.why }, charge.id);
        return { is: 'parked', step: move.step, why: move.why };
      case 'rest':
        return endOf(log);
    }
  };

  /** `false` when stopped instead. */
  const waited = async (ms: number, signal: AbortSignal): Promise<boolean> => {
    try {
      await clock.sleep(ms, signal);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
  };

  const settle = (charge: Charge, end: SagaEnd): SagaEnd => {
    charge.driving = undefined;
    charge.progress = undefined;
    if (end.is === 'parked') charge.lease.park();
    if (end.is === 'completed' || end.is === 'unwound') release(charge);
    return end;
  };

  const release = (charge: Charge): void => {
    charges.delete(charge.id);
    charge.lease.release();
  };

  // -------------------------------------------------------------------------------------------- start, recover

  const begin = async (
    request: LaneRequest,
    definition: AnySaga,
    params: unknown,
    needs: unknown,
    signal: AbortSignal,
  ): Promise<SagaEnd> => {
    const id = request.owner;
    queued.set(id, { definition, lanes: request.lanes, since: clock.now() });
    let lease: Lease;
    try {
      lease = await lanes.acquire(request, signal);
    } catch {
      return { is: 'unwound', why: withdrawn(id, signal) };
    } finally {
      queued.delete(id);
    }
    if (signal.aborted) {
      lease.release();
      return { is: 'unwound', why: withdrawn(id, signal) };
    }
    const { name, version } = definition;
    try {
      write({ kind: 'saga-started', name, version, params, lanes: request.lanes, purpose: request.purpose }, id);
    } catch (error) {
      const why = cannotGoOn(id, error);
      halt(why);
      return { is: 'left-open', why };
    }
    const charge: Charge = {
      id,
      definition,
      needs: () => needs,
      lease,
      driving: undefined,
      progress: undefined,
      movedAt: clock.now(),
    };
    charges.set(id, charge);
    return drive(charge, definition);
  };

  const recover = ({ log, plan, definition }: Recovery, needsOf: NeedsOf): RecoveredSaga => {
    const lease = lanes.adopt({ owner: log.id, lanes: log.lanes, purpose: log.purpose });
    const charge: Charge = {
      id: log.id,
      definition,
      needs: () => (definition === undefined ? undefined : needsOf(definition)),
      lease,
      driving: undefined,
      progress: undefined,
      movedAt: log.lastAt,
    };
    charges.set(log.id, charge);
    if (plan.is === 'park') write({ kind: 'saga-parked', step: plan.step, why: plan.why }, log.id);
    if (plan.is === 'park' || plan.is === 'stay-parked' || definition === undefined) {
      lease.park();
      return { log, plan, definition, ended: Promise.resolve(endOf(logOf(log.id))) };
    }
    return { log, plan, definition, ended: drive(charge, definition) };
  };

  return {
    start: (definition, params, needs, signal = new AbortController().signal) => {
      const found = registry.find(definition.name, definition.version);
      if (found !== definition)
        throw new TypeError(`cannot start saga ${definition.name}@${definition.version}: it is not registered`);
      const id = `${definition.name}-${Buffer.from(random.bytes(8)).toString('hex')}`;
      const journaled = asJournaled(params);
      const request = requestOf(id, found, definition.parseParams(journaled));
      return { id, ended: begin(request, found, journaled, needs, AbortSignal.any([life.signal, signal])) };
    },

    resumeAll: (needsOf) => {
      const logs = journal.openSagas().map(logOf);
      return planRecovery(logs, registry).map((recovery) => recover(recovery, needsOf));
    },

    status: () => [
      ...[...charges.values()].map(statusOfCharge),
      ...[...queued].map(([id, { definition, lanes, since }]): SagaStatus => ({
        id,
        name: definition.name,
        version: definition.version,
        doing: 'waiting-for-lanes',
        step: undefined,
        progress: undefined,
        lanes,
        since,
        lastAt: since,
        movedAt: since,
        parked: undefined,
      })),
    ],

    park: async (id, by) => {
      const charge = charges.get(id);
      if (charge?.driving === undefined) return refused(notThere(id, 'park', 'it is not running'));
      const why: Reason = {
        code: 'parked-by-operator',
        text: `saga ${id} was parked by ${by}; to go on: ${resolvingCommand(id)}`,
        retry: 'operator',
      };
      charge.driving.controller.abort(why);
      await charge.driving.ended;
      if (!charges.has(id) || logOf(id).parked !== undefined) return done(undefined);
      write({ kind: 'saga-parked', step: '', why }, id);
      charge.lease.park();
      return done(undefined);
    },

    resume: (id, by) => {
      const charge = charges.get(id);
      const log = charge === undefined ? undefined : logOf(id);
      if (charge === undefined || log?.parked === undefined || charge.driving !== undefined)
        return refused(notThere(id, 'resume', 'it is not parked'));
      const [recovery] = planRecovery([{ ...log, parked: undefined }], registry);
      const { definition } = charge;
      if (definition === undefined || recovery?.definition === undefined)
        return refused(unreadableSaga(log, log.unreadable ?? 'this release does not understand it'));
      write({ kind: 'saga-resumed', by }, id);
      // Whoever passed the parked lanes, a backup say, finishes first.
      const ended = drive(charge, definition, (signal) => charge.lease.unpark(signal));
      return done({ id, ended });
    },

    abandon: (id, by) => {
      const charge = charges.get(id);
      if (charge === undefined || charge.driving !== undefined || logOf(id).parked === undefined)
        return refused(notThere(id, 'abandon', 'it is not parked'));
      write({ kind: 'saga-ended', end: { is: 'abandoned', by } }, id);
      release(charge);
      return done(undefined);
    },

    stop: async (why) => {
      if (!life.signal.aborted) life.abort(why);
      await Promise.all([...charges.values()].flatMap((charge) => charge.driving?.ended ?? []));
    },
  };

  function statusOfCharge(charge: Charge): SagaStatus {
    const log = logOf(charge.id);
    const move = charge.definition === undefined ? undefined : nextMove(charge.definition, log);
    const { parked } = log;
    return {
      id: log.id,
      name: log.name,
      version: log.version,
      doing: parked !== undefined ? 'parked' : move?.is === 'undo' ? 'unwinding' : 'running',
      step: parked?.step ?? (move !== undefined && 'step' in move ? move.step : undefined),
      progress: charge.progress,
      lanes: log.lanes,
      since: log.startedAt,
      lastAt: log.lastAt,
      movedAt: Math.max(log.lastAt, charge.movedAt),
      parked: parked === undefined ? undefined : { why: parked.why, at: parked.at, command: resolvingCommand(log.id) },
    };
  }
}

type WithoutCommon<T> = T extends unknown ? Omit<T, 'v' | 'at' | 'saga'> : never;

const performers = { run: performRun, probe: performProbe, undo: performUndo } satisfies Record<
  'run' | 'probe' | 'undo',
  (scene: Scene, step: AnySaga['steps'][number]) => Promise<Performed>
>;

const requestOf = (owner: string, definition: AnySaga, params: unknown): LaneRequest => ({
  owner,
  lanes: definition.lanes(params),
  purpose: definition.purpose ?? 'change',
});

/** What a saga gets is what a replay would get: the parameters as the journal gives them back. */
const asJournaled = (params: unknown): unknown => JSON.parse(JSON.stringify(params ?? null)) as unknown;

function endOf(log: SagaLog): SagaEnd {
  if (log.parked !== undefined) return { is: 'parked', step: log.parked.step, why: log.parked.why };
  if (log.end?.is === 'unwound') return { is: 'unwound', why: log.end.why };
  return { is: 'completed', state: log.state };
}

const withdrawn = (id: string, signal: AbortSignal): Reason => ({
  code: 'saga-withdrawn',
  text: `saga ${id} was withdrawn before it began: ${stopReason(signal).text}`,
  retry: 'later',
});

const notThere = (id: string, verb: string, why: string): Reason => ({
  code: 'saga-not-there',
  text: `cannot ${verb} saga ${id}: ${why}; see felhom-agent journal`,
  retry: 'never',
});

const cannotGoOn = (id: string, error: unknown): Reason => ({
  code: 'journal-failed',
  text: `cannot go on with saga ${id}: ${error instanceof Error ? error.message : String(error)}`,
  retry: 'later',
});
