/**
 * The shape of the journal file and how older shapes become it. Upgraders are numbered and additive: a release may add
 * tables and columns, never drop or reinterpret one, so that a slot that is flipped back still understands what it wrote.
 */
import type { DatabaseSync } from 'node:sqlite';
import { JournalError } from '../../kernel/journal.ts';

/** "FelJ"; tells a journal from any other SQLite file. */
export const applicationId = 0x46656c4a;

/** Entry n brings a file of schema n to n + 1. Released entries never change. */
const upgraders: readonly string[] = [
  `CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE sagas (
     id TEXT PRIMARY KEY, started_seq INTEGER NOT NULL, ended_at INTEGER, crc INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX sagas_by_end ON sagas (ended_at, started_seq);
   CREATE TABLE records (
     seq INTEGER PRIMARY KEY, saga TEXT, topic TEXT, at INTEGER NOT NULL, json TEXT NOT NULL, crc INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX records_by_saga ON records (saga, seq) WHERE saga IS NOT NULL;
   CREATE INDEX records_by_topic ON records (topic, seq) WHERE topic IS NOT NULL;
   CREATE TABLE documents (
     key TEXT PRIMARY KEY, v INTEGER NOT NULL, json TEXT NOT NULL, crc INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

export const newestSchema = upgraders.length;

/** The schema of an open file; 0 = nothing was ever created in it. */
export function schemaOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

/**
 * Brings the file to the newest schema, each step in a transaction of its own with its number. `mint` writes what a
 * journal is born with, together with its first schema. Throws `JournalError` for a file of a newer release.
 */
export function upgrade(database: DatabaseSync, path: string, mint: (database: DatabaseSync) => void): void {
  const found = schemaOf(database);
  if (found > newestSchema)
    throw new JournalError(
      'journal-newer',
      `cannot open journal ${path}: it has schema ${found}, this release knows 1 to ${newestSchema}; ` +
        'start the newer release again, or keep the file aside',
    );
  for (const [at, statements] of upgraders.entries()) {
    if (at < found) continue;
    database.exec('BEGIN IMMEDIATE');
    database.exec(statements);
    if (at === 0) mint(database);
    database.exec(`PRAGMA user_version = ${at + 1}`);
    database.exec('COMMIT');
  }
}
