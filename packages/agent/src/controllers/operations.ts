/**
 * Operations of guests: what a guest asked for and how far it is. Looked up by the guest of the token and a random id,
 * so an id of another guest is no id at all [R42]. How far it is, the runner and the journal say; the record here only
 * ties an id to a saga, and keeps how it ended. The same key within a day is the same operation.
 */
import { z } from 'zod';
import { digest, guestUid, operation, reason } from '@felhom/protocol';
import type { Digest, GuestUid, Operation } from '@felhom/protocol';
import { base32 } from '../guests/mint.ts';
import type { SelfUse } from '../authority/facts.ts';
import type { Clock, Random } from '../kernel/clock.ts';
import { foldSaga } from '../kernel/fold.ts';
import type { Documents, DocumentWrite, Journal } from '../kernel/journal.ts';
import type { Runner } from '../kernel/runner.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const operationRecord = z.strictObject({
  id: operation.shape.id,
  guest: guestUid,
  kind: operation.shape.kind,
  saga: z.string().max(80),
  createdAt: time,
  key: z.strictObject({ text: z.string().max(64), request: digest }).optional(),
  /** Of a backup. */
  tier: z.string().max(40).optional(),
  /** Set when it was seen to have ended. */
  ended: operation.optional(),
});
type OperationRecord = z.output<typeof operationRecord>;

export interface NewOperation {
  readonly guest: GuestUid;
  readonly kind: Operation['kind'];
  /** `Idempotency-Key`, and a digest of what was asked with it. */
  readonly key: { readonly text: string; readonly request: Digest } | undefined;
  readonly tier?: string;
}

/** Begins the work; `atStart` are documents that are durable together with the start of the saga of that id. */
export type Begin = (
  atStart: (saga: string) => readonly DocumentWrite[],
) => Promise<Outcome<{ readonly saga: string; readonly fresh: boolean }>>;

export interface Operations {
  begin(asked: NewOperation, start: Begin): Promise<Outcome<Operation>>;
  find(guest: GuestUid, id: string): Outcome<Operation>;
  /** The backup that the guest asked for last, while it has not ended. */
  openBackup(guest: GuestUid): { readonly operation: Operation; readonly tier: string } | undefined;
  /** For the quotas [R42]. */
  usedBy(guest: GuestUid): Pick<SelfUse, 'onDemandToday' | 'tasksThisHour'>;
  forget(guest: GuestUid): void;
}

export interface OperationsNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>;
  readonly journal: Pick<Journal, 'recordsOf'>;
  readonly runner: Pick<Runner, 'status'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
}

const prefix = 'operation/';
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Of one guest; the oldest go, those at work last. */
const mostOperations = 64;

export function createOperations({ documents, journal, runner, clock, random }: OperationsNeeds): Operations {
  const keyOf = (guest: GuestUid, id: string): string => `${prefix}${guest}/${id}`;
  const all = (guest: GuestUid): readonly OperationRecord[] =>
    documents
      .list(`${prefix}${guest}/`)
      .map(({ body }) => operationRecord.parse(body))
      .toSorted((a, b) => b.createdAt - a.createdAt);
  const beginning = new Map<string, Promise<Outcome<Operation>>>();

  const view = (record: OperationRecord): Operation => {
    if (record.ended !== undefined) return record.ended;
    const seen = { ...viewOf(record, clock.now(), runner.status(), journal), id: record.id };
    // The journal forgets sagas in time; what became of this one is kept with it.
    if (seen.state === 'done' || seen.state === 'failed')
      documents.put({ key: keyOf(record.guest, record.id), v: 1, body: { ...record, ended: seen } });
    return seen;
  };

  const within = (record: OperationRecord, ms: number): boolean => clock.now() - record.createdAt < ms;

  /** What is at work stays, and what a quota still counts. */
  const makeRoom = (guest: GuestUid): void => {
    const open = new Set(runner.status().map(({ id }) => id));
    for (const record of all(guest).slice(mostOperations - 1))
      if (!open.has(record.saga) && !(record.kind === 'backup' && within(record, dayMs)))
        documents.remove(keyOf(guest, record.id));
  };

  const start = async (asked: NewOperation, begin: Begin): Promise<Outcome<Operation>> => {
    makeRoom(asked.guest);
    const id = base32(random.bytes(16));
    const recordOf = (saga: string): OperationRecord => ({
      id,
      guest: asked.guest,
      kind: asked.kind,
      saga,
      createdAt: Math.trunc(clock.now()),
      ...(asked.key === undefined ? {} : { key: asked.key }),
      ...(asked.tier === undefined ? {} : { tier: asked.tier }),
    });
    const documentOf = (saga: string) => ({ key: keyOf(asked.guest, id), v: 1, body: recordOf(saga) });
    const begun = await begin((saga) => [{ put: documentOf(saga) }]);
    if (begun.is !== 'done') return begun;
    const { saga, fresh } = begun.value;
    if (fresh) return done(view(recordOf(saga)));
    // The same is under way already: the same operation, where this guest asked for it.
    const known = all(asked.guest).find((record) => record.saga === saga);
    if (known !== undefined) return done(view(known));
    documents.put(documentOf(saga));
    return done(view(recordOf(saga)));
  };

  return {
    begin(asked, begin) {
      const { guest, key } = asked;
      if (key === undefined) return start(asked, begin);
      const known = all(guest).find((record) => record.key?.text === key.text && within(record, dayMs));
      if (known !== undefined)
        return Promise.resolve(
          known.key?.request === key.request
            ? done(view(known))
            : refused(reason('local.key-reused', `cannot use key ${key.text} again: it was for another request`)),
        );
      const inFlight = `${guest} ${key.text} ${key.request}`;
      const already = beginning.get(inFlight);
      if (already !== undefined) return already;
      const promise = start(asked, begin).finally(() => beginning.delete(inFlight));
      beginning.set(inFlight, promise);
      return promise;
    },
    find(guest, id) {
      const stored = documents.get(keyOf(guest, id));
      return stored === undefined
        ? refused(reason('operation.unknown', `cannot tell of operation ${id}: there is none of this guest`))
        : done(view(operationRecord.parse(stored.body)));
    },
    openBackup(guest) {
      const last = all(guest).find(({ kind }) => kind === 'backup');
      if (last?.tier === undefined) return undefined;
      const seen = view(last);
      return seen.state === 'done' || seen.state === 'failed' ? undefined : { operation: seen, tier: last.tier };
    },
    usedBy(guest) {
      const known = all(guest);
      return {
        onDemandToday: known.filter((record) => record.kind === 'backup' && within(record, dayMs)).length,
        tasksThisHour: known.filter((record) => within(record, hourMs)).length,
      };
    },
    forget(guest) {
      for (const { key } of documents.list(`${prefix}${guest}/`)) documents.remove(key);
    },
  };
}

/** Folded state that sagas of these kinds leave: when the storage held the guest, and the checkpoint's name. */
const told = z.object({ capturedAt: z.number().optional(), checkpoint: z.string().max(40).optional() });

function viewOf(
  record: Pick<OperationRecord, 'id' | 'kind' | 'saga' | 'createdAt'>,
  now: number,
  open: ReturnType<Runner['status']>,
  journal: Pick<Journal, 'recordsOf'>,
): Operation {
  const status = open.find(({ id }) => id === record.saga);
  const log = foldSaga(journal.recordsOf(record.saga));
  const state = told.safeParse(log?.state ?? {}).data;
  const common = {
    id: record.id,
    kind: record.kind,
    createdAt: record.createdAt,
    at: Math.trunc(log?.lastAt ?? now),
    ...(state?.checkpoint === undefined ? {} : { checkpoint: state.checkpoint }),
  };
  const failed = (code: string, text: string): Operation => ({ ...common, state: 'failed', code, text: cut(text) });
  if (log?.end !== undefined) {
    switch (log.end.is) {
      case 'completed':
        return { ...common, state: 'done', text: `${record.kind} is done` };
      case 'unwound':
        return failed(log.end.why.code, log.end.why.text);
      case 'abandoned':
        return failed('operation.unknown', 'people took it out of the hands of the agent');
    }
  }
  if (status === undefined)
    return log === undefined
      ? failed('operation.unknown', 'it was not begun; ask again')
      : { ...common, state: 'running', text: 'it goes on in a moment' };
  // Who or what is in the way may be another guest, whose name is nobody's business here.
  if (status.doing === 'waiting-for-lanes')
    return { ...common, state: 'queued', text: 'it waits for its turn', waitsFor: 'other work on this host' };
  if (status.parked !== undefined)
    return { ...common, state: 'running', text: 'it stands still until an operator has looked at it' };
  const fraction = status.progress?.fraction;
  return {
    ...common,
    state: state?.capturedAt === undefined ? 'running' : 'captured',
    text: cut(status.progress?.text ?? status.step ?? 'at work'),
    ...(fraction === undefined ? {} : { fraction: Math.min(1, Math.max(0, fraction)) }),
  };
}

const cut = (text: string): string => text.slice(0, 1000);
