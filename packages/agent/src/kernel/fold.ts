/**
 * From records to what they mean. A pure left fold: the same records always give the same log, a fresh saga is the fold
 * of one record, and a replay has no other source of truth than this.
 */
import type { Reason } from '@felhom/protocol';
import type { JournaledEnd, JournaledOutcome, SagaRecord, UnreadableRecord } from './records.ts';

/** One saga as its records tell it. Knows nothing of the definition, so it can be told for any saga of any release. */
export interface SagaLog {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly params: unknown;
  readonly lanes: readonly string[];
  readonly purpose: 'change' | 'protection';
  readonly startedAt: number;
  /** Time of the newest record. */
  readonly lastAt: number;
  readonly steps: ReadonlyMap<string, StepLog>;
  /** All intents and outcomes so far, laid over each other in order. */
  readonly state: Readonly<Record<string, unknown>>;
  readonly parked: { readonly step: string; readonly why: Reason; readonly at: number } | undefined;
  readonly end: JournaledEnd | undefined;
  /** Records of another release among them: nothing may be concluded from the rest. */
  readonly unreadable: string | undefined;
}

export interface StepLog {
  readonly run: Passage;
  readonly undo: Passage;
}

/** One step in one direction. */
export interface Passage {
  /** Intents written; 0 = the world was not touched in this direction. */
  readonly intents: number;
  /** Time of the first intent: whatever the step did is not older. */
  readonly intentAt: number | undefined;
  readonly handle: string | undefined;
  /** The newest outcome since the newest intent; `undefined` = none, so a crash may lie in between. */
  readonly outcome: JournaledOutcome | undefined;
  /** Answers in a row that settled nothing, since the start or the last resume. */
  readonly fruitless: number;
}

export const untouched: Passage = {
  intents: 0,
  intentAt: undefined,
  handle: undefined,
  outcome: undefined,
  fruitless: 0,
};

/** `undefined` = there are no records of it. */
export function foldSaga(records: readonly (SagaRecord | UnreadableRecord)[]): SagaLog | undefined {
  const [first, ...rest] = records;
  if (first === undefined) return undefined;
  return rest.reduce(foldRecord, first.kind === 'saga-started' ? started(first) : illegible(first));
}

/** Total over every order of records, also ones that no runner writes: a fold never throws. */
export function foldRecord(log: SagaLog, record: SagaRecord | UnreadableRecord): SagaLog {
  if (record.kind === 'unreadable') return { ...log, unreadable: log.unreadable ?? record.text };
  const now = { ...log, lastAt: record.at };
  switch (record.kind) {
    case 'saga-started':
      return { ...now, unreadable: log.unreadable ?? 'a second saga-started' };
    case 'step-intent':
      return { ...changed(now, record.step, 'run', intended(record.at, true)), state: laidOver(log, record.value) };
    case 'step-handle':
      return changed(now, record.step, 'run', (passage) => ({ ...passage, handle: record.handle }));
    case 'step-outcome':
      return {
        ...changed(now, record.step, 'run', answered(record.outcome)),
        state: record.outcome.is === 'done' ? laidOver(log, record.outcome.value) : log.state,
      };
    case 'undo-intent':
      return changed(now, record.step, 'undo', intended(record.at, false));
    case 'undo-handle':
      return changed(now, record.step, 'undo', (passage) => ({ ...passage, handle: record.handle }));
    case 'undo-outcome':
      return changed(now, record.step, 'undo', answered(record.outcome));
    case 'saga-parked':
      return { ...now, parked: { step: record.step, why: record.why, at: record.at } };
    case 'saga-resumed':
      return { ...now, parked: undefined, steps: countingAnew(log.steps) };
    case 'saga-ended':
      return { ...now, end: record.end, parked: undefined };
  }
}

type Started = Extract<SagaRecord, { kind: 'saga-started' }>;

function started(record: Started): SagaLog {
  return {
    id: record.saga,
    name: record.name,
    version: record.version,
    params: record.params,
    lanes: record.lanes,
    purpose: record.purpose,
    startedAt: record.at,
    lastAt: record.at,
    steps: new Map(),
    state: {},
    parked: undefined,
    end: undefined,
    unreadable: undefined,
  };
}

/** Even the first record is of another release: all that is known is that something is open. */
function illegible(first: SagaRecord | UnreadableRecord): SagaLog {
  const log = started({
    v: 1,
    kind: 'saga-started',
    saga: first.saga,
    at: 0,
    name: 'unreadable',
    version: 0,
    params: undefined,
    lanes: [],
    purpose: 'change',
  });
  return { ...log, unreadable: first.kind === 'unreadable' ? first.text : `it begins with ${first.kind}` };
}

function changed(log: SagaLog, step: string, direction: 'run' | 'undo', change: (p: Passage) => Passage): SagaLog {
  const before = log.steps.get(step) ?? { run: untouched, undo: untouched };
  return {
    ...log,
    steps: new Map(log.steps).set(step, { ...before, [direction]: change(before[direction]) }),
  };
}

/** A new attempt forgets the last answer; going forward also the last handle, which belonged to the attempt before. */
const intended =
  (at: number, forgetsHandle: boolean) =>
  (passage: Passage): Passage => ({
    ...passage,
    intents: passage.intents + 1,
    intentAt: passage.intentAt ?? at,
    handle: forgetsHandle ? undefined : passage.handle,
    outcome: undefined,
  });

const answered =
  (outcome: JournaledOutcome) =>
  (passage: Passage): Passage => ({
    ...passage,
    outcome,
    fruitless: outcome.is === 'done' ? 0 : passage.fruitless + 1,
  });

function countingAnew(steps: ReadonlyMap<string, StepLog>): ReadonlyMap<string, StepLog> {
  return new Map(
    [...steps].map(([name, { run, undo }]) => [
      name,
      { run: { ...run, fruitless: 0 }, undo: { ...undo, fruitless: 0 } },
    ]),
  );
}

function laidOver(log: SagaLog, value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...log.state, ...value } : log.state;
}
