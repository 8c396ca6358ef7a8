/**
 * A check sum per row. SQLite finds damage in its own structure; a byte that changed inside a text is still a sound
 * file to it, and would be somebody else's VMID to us.
 */
import { crc32 } from 'node:zlib';
import type { DatabaseSync } from 'node:sqlite';

/** The parts are what identifies the row and what it says; a row that was moved is as wrong as one that was changed. */
export function rowCheck(...parts: readonly (string | number | null)[]): number {
  return crc32(JSON.stringify(parts));
}

/** What each table's check covers, and how a bad row is named to people. */
const tables = [
  { name: 'meta', columns: ['key', 'value'], called: 'setting' },
  { name: 'sagas', columns: ['id', 'started_seq', 'ended_at'], called: 'saga' },
  { name: 'records', columns: ['seq', 'saga', 'topic', 'at', 'json'], called: 'record' },
  { name: 'documents', columns: ['key', 'v', 'json'], called: 'document' },
] as const;

/** Reads every row once; says which one is not as it was written. */
export function firstDamage(database: DatabaseSync): string | undefined {
  for (const { name, columns, called } of tables)
    for (const row of database.prepare(`SELECT ${columns.join(', ')}, crc FROM ${name}`).iterate()) {
      const values = columns.map((column) => row[column] as string | number | null);
      if (rowCheck(...values) !== row['crc']) return `${called} ${String(values[0])} is not as it was written`;
    }
  return undefined;
}
