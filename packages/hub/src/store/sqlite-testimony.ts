/** Statements and audit copies in SQLite. */
import type { DatabaseSync } from 'node:sqlite';
import { digest as digestSchema, signedStatement } from '@felhom/protocol';
import { inTransaction, integer, text } from './sqlite-rows.ts';
import type { Row } from './sqlite-rows.ts';
import type { AuditCopy, KeptStatement, StatementToKeep, TestimonyStore } from './testimony-store.ts';

export const testimonyTables = `
  ALTER TABLE host ADD COLUMN audit_fork_since INTEGER;
  ALTER TABLE host ADD COLUMN audit_fork_text TEXT;
  CREATE TABLE newest_statement (
    host_id TEXT PRIMARY KEY REFERENCES host (host_id), text TEXT NOT NULL, signature TEXT NOT NULL
  ) STRICT;
  CREATE TABLE highest_statement (
    host_id TEXT NOT NULL REFERENCES host (host_id), epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    count INTEGER NOT NULL, head TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (host_id, epoch)
  ) STRICT;
  CREATE TABLE statement_head (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host_id TEXT NOT NULL REFERENCES host (host_id), epoch TEXT NOT NULL,
    sequence INTEGER NOT NULL, count INTEGER NOT NULL, head TEXT NOT NULL, at INTEGER NOT NULL,
    text TEXT NOT NULL, signature TEXT NOT NULL
  ) STRICT;
  CREATE INDEX statement_head_age ON statement_head (host_id, id);
  CREATE INDEX statement_head_count ON statement_head (host_id, epoch, count);
  CREATE TABLE audit_copy (
    host_id TEXT NOT NULL REFERENCES host (host_id), epoch TEXT NOT NULL,
    count INTEGER NOT NULL, bytes INTEGER NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (host_id, epoch)
  ) STRICT;
  CREATE TABLE audit_entry (
    host_id TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (host_id, epoch, seq),
    FOREIGN KEY (host_id, epoch) REFERENCES audit_copy (host_id, epoch)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE audit_conflict (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host_id TEXT NOT NULL REFERENCES host (host_id), epoch TEXT NOT NULL,
    seq INTEGER NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL,
    UNIQUE (host_id, epoch, seq, text)
  ) STRICT;
`;

/** What a row costs beyond its text, so that empty entries are not free. */
const rowBytes = 100;
const dayMs = 24 * 60 * 60_000;

export function testimonyOn(db: DatabaseSync): TestimonyStore {
  const statements = statementsOn(db);
  const audit = auditOn(db);
  const setFork = db.prepare(
    'UPDATE host SET audit_fork_since = ?, audit_fork_text = ? WHERE host_id = ? AND audit_fork_since IS NULL',
  );
  const clearFork = db.prepare('UPDATE host SET audit_fork_since = NULL, audit_fork_text = NULL WHERE host_id = ?');
  return {
    ...statements,
    ...audit,
    async markAuditFork(hostId, mark) {
      setFork.run(mark.since, mark.text, hostId);
    },
    async clearAuditFork(hostId) {
      clearFork.run(hostId);
    },
  };
}

type Statements = Pick<
  TestimonyStore,
  'newestStatement' | 'highestStatement' | 'forgetHigherStatements' | 'headsBetween' | 'lastHead'
>;

function statementsOn(db: DatabaseSync): Statements {
  const newest = db.prepare('SELECT text, signature FROM newest_statement WHERE host_id = ?');
  const highest = db.prepare('SELECT * FROM highest_statement WHERE host_id = ? AND epoch = ?');
  const forget = db.prepare('DELETE FROM highest_statement WHERE host_id = ? AND epoch = ? AND sequence > ?');
  const lastHead = db.prepare('SELECT * FROM statement_head WHERE host_id = ? AND epoch = ? ORDER BY id DESC LIMIT 1');
  const headsBetween = db.prepare(
    'SELECT * FROM statement_head WHERE host_id = ? AND epoch = ? AND count BETWEEN ? AND ? ORDER BY id',
  );
  return {
    async newestStatement(hostId) {
      return signedStatement.safeParse(newest.get(hostId)).data;
    },
    async highestStatement(hostId, epoch) {
      return toStatement(highest.get(hostId, epoch));
    },
    async forgetHigherStatements(hostId, epoch, sequence) {
      forget.run(hostId, epoch, sequence);
    },
    async headsBetween(hostId, epoch, from, to) {
      return headsBetween.all(hostId, epoch, from, to).flatMap((row) => toStatement(row) ?? []);
    },
    async lastHead(hostId, epoch) {
      return toStatement(lastHead.get(hostId, epoch));
    },
  };
}

/** What it answers runs within a transaction of its caller: a poll is one commit, because each of them waits for the disk. */
export function statementKeeperOn(db: DatabaseSync): (hostId: string, statement: StatementToKeep) => void {
  const setNewest = db.prepare('INSERT OR REPLACE INTO newest_statement VALUES (?, ?, ?)');
  const setHighest = db.prepare(
    'INSERT INTO highest_statement VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host_id, epoch) DO UPDATE SET ' +
      'sequence = excluded.sequence, count = excluded.count, head = excluded.head, at = excluded.at, ' +
      'text = excluded.text, signature = excluded.signature WHERE excluded.sequence > highest_statement.sequence',
  );
  const dropEpochs = db.prepare(
    'DELETE FROM highest_statement WHERE host_id = ? AND epoch NOT IN ' +
      '(SELECT epoch FROM highest_statement WHERE host_id = ? ORDER BY at DESC, epoch LIMIT ?)',
  );
  const addHead = db.prepare(
    'INSERT INTO statement_head (host_id, epoch, sequence, count, head, at, text, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const outOfBounds = db.prepare(
    'SELECT id, at FROM statement_head WHERE host_id = ? ORDER BY id DESC LIMIT 2 OFFSET ?',
  );
  const dropHead = db.prepare('DELETE FROM statement_head WHERE id = ?');
  /** Of two neighbours that the bound has passed the older one goes, unless it is the last of its day. */
  function thinHeads(hostId: string, most: number): void {
    const [younger, older] = outOfBounds.all(hostId, most);
    if (younger === undefined || older === undefined) return;
    if (Math.floor(integer(older, 'at') / dayMs) === Math.floor(integer(younger, 'at') / dayMs))
      dropHead.run(integer(older, 'id'));
  }
  return (hostId, { signed, highest, head, bounds }) => {
    setNewest.run(hostId, signed.text, signed.signature);
    if (highest !== undefined) {
      setHighest.run(hostId, ...columnsOf(highest));
      dropEpochs.run(hostId, hostId, bounds.epochs);
    }
    if (head !== undefined) {
      addHead.run(hostId, ...columnsOf(head));
      thinHeads(hostId, bounds.heads);
    }
  };
}

function columnsOf({ epoch, sequence, count, head, at, signed }: KeptStatement) {
  return [epoch, sequence, count, head, at, signed.text, signed.signature] as const;
}

/** A row that is no statement is none: it must not travel to the host as one. */
function toStatement(row: Row | undefined): KeptStatement | undefined {
  if (row === undefined) return undefined;
  const head = digestSchema.safeParse(row['head']);
  const signed = signedStatement.safeParse({ text: row['text'], signature: row['signature'] });
  if (!head.success || !signed.success) return undefined;
  return {
    epoch: text(row, 'epoch'),
    sequence: integer(row, 'sequence'),
    count: integer(row, 'count'),
    head: head.data,
    at: integer(row, 'at'),
    signed: signed.data,
  };
}

type Audit = Pick<
  TestimonyStore,
  'auditCopy' | 'auditCopies' | 'auditBytes' | 'auditEntries' | 'appendAudit' | 'auditConflicts' | 'keepConflicts'
>;

function auditOn(db: DatabaseSync): Audit {
  const copy = db.prepare('SELECT * FROM audit_copy WHERE host_id = ? AND epoch = ?');
  const copies = db.prepare('SELECT * FROM audit_copy WHERE host_id = ? ORDER BY since, epoch');
  const bytes = db.prepare('SELECT coalesce(sum(bytes), 0) AS bytes FROM audit_copy WHERE host_id = ?');
  const entries = db.prepare(
    'SELECT text FROM audit_entry WHERE host_id = ? AND epoch = ? AND seq >= ? ORDER BY seq LIMIT ?',
  );
  const grow = db.prepare(
    'INSERT INTO audit_copy (host_id, epoch, count, bytes, since) VALUES (?, ?, ?, ?, ?) ' +
      'ON CONFLICT (host_id, epoch) DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes',
  );
  const addEntry = db.prepare('INSERT INTO audit_entry VALUES (?, ?, ?, ?)');
  const conflicts = db.prepare('SELECT epoch, seq, text, at FROM audit_conflict WHERE host_id = ? ORDER BY id');
  const conflictCount = db.prepare('SELECT count(*) AS held FROM audit_conflict WHERE host_id = ?');
  const addConflict = db.prepare(
    'INSERT INTO audit_conflict (host_id, epoch, seq, text, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
  );
  return {
    async auditCopy(hostId, epoch) {
      const row = copy.get(hostId, epoch);
      return row === undefined ? undefined : toCopy(row);
    },
    async auditCopies(hostId) {
      return copies.all(hostId).map(toCopy);
    },
    async auditBytes(hostId) {
      return integer(bytes.get(hostId) ?? {}, 'bytes');
    },
    async auditEntries(hostId, epoch, from, limit) {
      return entries.all(hostId, epoch, from, limit).map((row) => text(row, 'text'));
    },
    async appendAudit(hostId, epoch, count, texts, now) {
      return inTransaction(db, () => {
        const row = copy.get(hostId, epoch);
        if ((row === undefined ? 0 : integer(row, 'count')) !== count) return 'moved-on';
        const size = texts.reduce((sum, entry) => sum + rowBytes + Buffer.byteLength(entry, 'utf8'), 0);
        grow.run(hostId, epoch, texts.length, size, now);
        for (const [at, entry] of texts.entries()) addEntry.run(hostId, epoch, count + 1 + at, entry);
        return 'appended';
      });
    },
    async auditConflicts(hostId) {
      return conflicts.all(hostId).map((row) => ({
        epoch: text(row, 'epoch'),
        seq: integer(row, 'seq'),
        text: text(row, 'text'),
        at: integer(row, 'at'),
      }));
    },
    async keepConflicts(hostId, found, bounds) {
      inTransaction(db, () => {
        let held = integer(conflictCount.get(hostId) ?? {}, 'held');
        for (const conflict of found) {
          if (held >= bounds.conflicts) return;
          held += Number(addConflict.run(hostId, conflict.epoch, conflict.seq, conflict.text, conflict.at).changes);
        }
      });
    },
  };
}

function toCopy(row: Row): AuditCopy {
  return { epoch: text(row, 'epoch'), count: integer(row, 'count'), since: integer(row, 'since') };
}
