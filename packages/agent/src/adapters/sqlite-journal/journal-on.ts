/**
 * The journal on an open, proven database. Every append is one transaction that begins with the fence and ends on the
 * disk (WAL, synchronous=FULL).
 */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { JournalError } from '../../kernel/journal.ts';
import type { DocumentWrite, Journal, StoredDocument } from '../../kernel/journal.ts';
import type { FactRecord, JournalRecord } from '../../kernel/records.ts';
import { parseSagaRecord } from '../../kernel/records.ts';
import type { Clock } from '../../kernel/clock.ts';
import { rowCheck } from './row-check.ts';

/** How much of the past is kept. Open sagas and documents are never dropped. */
export interface JournalBounds {
  /** Ended sagas kept however old they are. */
  readonly keepNewest: number;
  /** Ended sagas younger than this are kept too, milliseconds … */
  readonly keepForMs: number;
  /** … but never more than this many ended sagas. */
  readonly keepAtMost: number;
  /** Facts kept of each topic. */
  readonly keepFacts: number;
}

export const defaultBounds: JournalBounds = {
  keepNewest: 200,
  keepForMs: 30 * 86_400_000,
  keepAtMost: 5000,
  keepFacts: 20_000,
};

type Row = Record<string, SQLOutputValue>;

const statements = {
  meta: 'SELECT value FROM meta WHERE key = ?',
  setEpoch: `UPDATE meta SET value = ?, crc = ? WHERE key = 'epoch'`,
  setHostEpoch: `UPDATE meta SET value = ?, crc = ? WHERE key = 'host-epoch'`,
  nextSeq: 'SELECT coalesce(max(seq), 0) + 1 AS seq FROM records',
  insert: 'INSERT INTO records (seq, saga, topic, at, json, crc) VALUES (?, ?, ?, ?, ?, ?)',
  start: 'INSERT INTO sagas (id, started_seq, crc) VALUES (?, ?, ?)',
  startedSeq: 'SELECT started_seq FROM sagas WHERE id = ?',
  end: 'UPDATE sagas SET ended_at = ?, crc = ? WHERE id = ?',
  putDocument: `INSERT INTO documents (key, v, json, crc) VALUES (?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET v = excluded.v, json = excluded.json, crc = excluded.crc`,
  removeDocument: 'DELETE FROM documents WHERE key = ?',
  document: 'SELECT key, v, json FROM documents WHERE key = ?',
  documents: 'SELECT key, v, json FROM documents WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key',
  records: 'SELECT json FROM records WHERE saga = ? ORDER BY seq',
  open: 'SELECT id FROM sagas WHERE ended_at IS NULL ORDER BY started_seq',
  recent: 'SELECT id FROM sagas ORDER BY started_seq DESC LIMIT ?',
  facts: 'SELECT json FROM records WHERE topic = ? ORDER BY seq DESC LIMIT ?',
  expired: `SELECT id FROM (
         SELECT id, ended_at, row_number() OVER (ORDER BY ended_at DESC, started_seq DESC) AS place
         FROM sagas WHERE ended_at IS NOT NULL)
       WHERE place > ? OR (place > ? AND ended_at < ?)`,
  dropRecords: 'DELETE FROM records WHERE saga = ?',
  dropSaga: 'DELETE FROM sagas WHERE id = ?',
  dropFacts: `DELETE FROM records WHERE topic = ?1 AND seq <=
         (SELECT seq FROM records WHERE topic = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)`,
} as const;

/** Raises the epoch: from here on every journal that was opened on this file before is fenced. */
export function journalOn(database: DatabaseSync, clock: Pick<Clock, 'now'>, bounds: JournalBounds): Journal {
  const prepared = new Map<string, StatementSync>();
  const sql = (name: keyof typeof statements): StatementSync => {
    const known = prepared.get(name) ?? database.prepare(statements[name]);
    prepared.set(name, known);
    return known;
  };
  const ask = <T>(what: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof JournalError) throw cause;
      throw new JournalError('journal-io', `cannot ${what} the journal: ${String(cause)}`, { cause });
    }
  };
  const transact = (work: () => void): void =>
    ask('write to', () => {
      database.exec('BEGIN IMMEDIATE');
      try {
        work();
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    });
  const storedEpoch = (): number => Number(sql('meta').get('epoch')?.['value']);

  transact(() => {
    const next = String(storedEpoch() + 1);
    sql('setEpoch').run(next, rowCheck('epoch', next));
  });
  const epoch = storedEpoch();
  let hostEpoch = String(sql('meta').get('host-epoch')?.['value']);

  const write = (record: JournalRecord, seq: number): void => {
    const saga = record.kind === 'fact' ? null : record.saga;
    const topic = record.kind === 'fact' ? record.topic : null;
    const json = JSON.stringify(record);
    sql('insert').run(seq, saga, topic, record.at, json, rowCheck(seq, saga, topic, record.at, json));
    if (record.kind === 'saga-started') sql('start').run(record.saga, seq, rowCheck(record.saga, seq, null));
    if (record.kind === 'saga-ended') {
      const startedSeq = Number(sql('startedSeq').get(record.saga)?.['started_seq']);
      sql('end').run(record.at, rowCheck(record.saga, startedSeq, record.at), record.saga);
    }
  };
  const writeDocument = (change: DocumentWrite): void => {
    if ('remove' in change) {
      sql('removeDocument').run(change.remove);
      return;
    }
    const { key, v, body } = change.put;
    const json = JSON.stringify(body);
    sql('putDocument').run(key, v, json, rowCheck(key, v, json));
  };
  /** The past is cut only where something is added to it, in the same transaction. */
  const compact = (topics: ReadonlySet<string>): void => {
    const { keepNewest, keepForMs, keepAtMost, keepFacts } = bounds;
    for (const row of sql('expired').all(Math.max(keepAtMost, keepNewest), keepNewest, clock.now() - keepForMs)) {
      const id = row['id'] as SQLInputValue;
      sql('dropRecords').run(id);
      sql('dropSaga').run(id);
    }
    for (const topic of topics) sql('dropFacts').run(topic, keepFacts);
  };
  const append: Journal['append'] = (records, documents = []) =>
    transact(() => {
      const stored = storedEpoch();
      if (stored !== epoch)
        throw new JournalError(
          'journal-fenced',
          `cannot write to the journal as epoch ${epoch}: it was opened again since and is at epoch ${stored}`,
        );
      let seq = Number(sql('nextSeq').get()?.['seq']);
      for (const record of records) write(record, seq++);
      for (const change of documents) writeDocument(change);
      const topics = new Set(records.flatMap((record) => (record.kind === 'fact' ? [record.topic] : [])));
      if (topics.size > 0 || records.some(({ kind }) => kind === 'saga-ended')) compact(topics);
    });

  return {
    epoch,
    get hostEpoch() {
      return hostEpoch;
    },
    renewHostEpoch: (next) => {
      transact(() => sql('setHostEpoch').run(next, rowCheck('host-epoch', next)));
      hostEpoch = next;
    },
    append,
    recordsOf: (saga) =>
      ask('read', () =>
        sql('records')
          .all(saga)
          .map((row) => parseSagaRecord(saga, String(row['json']))),
      ),
    openSagas: () =>
      ask('read', () =>
        sql('open')
          .all()
          .map((row) => String(row['id'])),
      ),
    recentSagas: (limit) =>
      ask('read', () =>
        sql('recent')
          .all(limit)
          .map((row) => String(row['id'])),
      ),
    facts: (topic, limit) =>
      ask('read', () =>
        sql('facts')
          .all(topic, limit)
          .map((row) => JSON.parse(String(row['json'])) as FactRecord),
      ),
    get: (key) =>
      ask('read', () => {
        const row = sql('document').get(key);
        return row === undefined ? undefined : documentOf(row);
      }),
    list: (prefix) => ask('read', () => sql('documents').all(prefix).map(documentOf)),
    put: (document) => append([], [{ put: document }]),
    remove: (key) => append([], [{ remove: key }]),
    storedEpoch: () => ask('read', storedEpoch),
    close: () => database.close(),
  };
}

function documentOf(row: Row): StoredDocument {
  return { key: String(row['key']), v: Number(row['v']), body: JSON.parse(String(row['json'])) as unknown };
}
