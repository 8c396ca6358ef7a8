/**
 * What the journal says, record by record. A saga is nothing but its records: whoever reads them knows what was meant,
 * what was done and what is still open, on this machine and after any crash.
 */
import type { Reason } from '@felhom/protocol';

/** Which way a saga moves over a step. */
export type Direction = 'run' | 'undo';

/** The answer of a step as it is kept. `never-happened` only ever comes from a probe. */
export type JournaledOutcome =
  | { readonly is: 'done'; readonly value: unknown }
  | { readonly is: 'refused'; readonly why: Reason }
  | { readonly is: 'unknown'; readonly why: Reason }
  | { readonly is: 'never-happened' };

export type JournaledEnd =
  | { readonly is: 'completed' }
  | { readonly is: 'unwound'; readonly why: Reason }
  | { readonly is: 'abandoned'; readonly by: string };

interface Common {
  readonly v: 1;
  /** Wall time, milliseconds since the epoch. */
  readonly at: number;
}

/** A record of one saga. */
export type SagaRecord = Common & { readonly saga: string } & (
    | {
        readonly kind: 'saga-started';
        readonly name: string;
        readonly version: number;
        readonly params: unknown;
        /** Written down, so that a saga this release no longer understands still keeps its lanes closed. */
        readonly lanes: readonly string[];
        readonly purpose: 'change' | 'protection';
      }
    /** `value` is the answer of `intend`; absent where there was none, or where an earlier intent stands. */
    | { readonly kind: 'step-intent'; readonly step: string; readonly value?: unknown }
    | { readonly kind: 'step-handle'; readonly step: string; readonly handle: string }
    | { readonly kind: 'step-outcome'; readonly step: string; readonly outcome: JournaledOutcome }
    | { readonly kind: 'undo-intent'; readonly step: string }
    | { readonly kind: 'undo-handle'; readonly step: string; readonly handle: string }
    | { readonly kind: 'undo-outcome'; readonly step: string; readonly outcome: JournaledOutcome }
    | { readonly kind: 'saga-parked'; readonly step: string; readonly why: Reason }
    /** An operator's word that whatever parked it has been seen to; counts of attempts begin again. */
    | { readonly kind: 'saga-resumed'; readonly by: string }
    | { readonly kind: 'saga-ended'; readonly end: JournaledEnd }
  );

/** Something another room wants remembered in order, beside the documents it keeps by key. */
export interface FactRecord extends Common {
  readonly kind: 'fact';
  readonly topic: string;
  readonly body: unknown;
}

export type JournalRecord = SagaRecord | FactRecord;
export type RecordKind = JournalRecord['kind'];

/** A record that this release cannot read, in an otherwise sound journal. It parks its own saga and no other. */
export interface UnreadableRecord {
  readonly kind: 'unreadable';
  readonly saga: string;
  readonly text: string;
}

const fieldsOf = {
  'saga-started': ['name', 'version', 'params', 'lanes', 'purpose'],
  'step-intent': ['step'],
  'step-handle': ['step', 'handle'],
  'step-outcome': ['step', 'outcome'],
  'undo-intent': ['step'],
  'undo-handle': ['step', 'handle'],
  'undo-outcome': ['step', 'outcome'],
  'saga-parked': ['step', 'why'],
  'saga-resumed': ['by'],
  'saga-ended': ['end'],
  fact: ['topic', 'body'],
} as const satisfies Record<RecordKind, readonly string[]>;

/** Reads one saga record from its JSON. A kind, version or shape of another release is an answer, not an exception. */
export function parseSagaRecord(saga: string, json: string): SagaRecord | UnreadableRecord {
  const unreadable = (text: string): UnreadableRecord => ({ kind: 'unreadable', saga, text });
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch (error) {
    return unreadable(`not JSON: ${String(error)}`);
  }
  if (typeof raw !== 'object' || raw === null) return unreadable('not an object');
  const record = raw as Readonly<Record<string, unknown>>;
  if (record['v'] !== 1) return unreadable(`record version ${String(record['v'])}; this release knows 1`);
  const kind = record['kind'];
  if (typeof kind !== 'string' || kind === 'fact' || !Object.hasOwn(fieldsOf, kind))
    return unreadable(`record kind ${String(kind)}, which this release does not know`);
  const missing = fieldsOf[kind as RecordKind].filter((field) => !Object.hasOwn(record, field));
  if (missing.length > 0 || typeof record['at'] !== 'number' || record['saga'] !== saga)
    return unreadable(`record ${kind} lacks ${missing.join(', ') || 'its time or saga'}`);
  return raw as SagaRecord;
}
