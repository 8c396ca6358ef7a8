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

/** Reads every row once; says which one is not as it was written. */
export function firstDamage(database: DatabaseSync): string | undefined {
  const records = database.prepare('SELECT seq, saga, topic, at, json, crc FROM records ORDER BY seq');
  for (const row of records.iterate()) {
    const { seq, saga, topic, at, json, crc } = row as Record<string, string | number | null>;
    if (rowCheck(seq ?? null, saga ?? null, topic ?? null, at ?? null, json ?? null) !== crc)
      return `record ${String(seq)}${saga === null ? '' : ` of saga ${String(saga)}`} is not as it was written`;
  }
  const documents = database.prepare('SELECT key, v, json, crc FROM documents ORDER BY key');
  for (const row of documents.iterate()) {
    const { key, v, json, crc } = row as Record<string, string | number | null>;
    if (rowCheck(key ?? null, v ?? null, json ?? null) !== crc)
      return `document ${String(key)} is not as it was written`;
  }
  return undefined;
}
