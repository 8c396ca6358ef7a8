/**
 * The directory that the journal lies in: one owner at a time, and a memory of its own that a journal once existed.
 *
 * The lock is a SQLite file held in an exclusive transaction, which is a POSIX lock of the kernel: it ends with the
 * process however that ends, also by kill -9, and knows nothing of process ids that somebody else may have by then.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JournalError } from '../../kernel/journal.ts';

export interface StateDirectory {
  readonly journalPath: string;
  /** Whether a journal was ever completed here. */
  hasMarker(): boolean;
  /** Remembers that one was; durable when it returns. */
  writeMarker(): void;
  release(): void;
}

const markerText =
  'A journal was created beside this file. While this file is here, a missing journal.db is an error and never a ' +
  'reason to begin a new one.\n';

/** Creates the directory where it is missing, and takes its lock. Throws `JournalError` when another process has it. */
export function holdStateDirectory(directory: string): StateDirectory {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new JournalError('journal-io', `cannot create state directory ${directory}: ${String(cause)}`, { cause });
  }
  const lock = takeLock(directory);
  const markerPath = join(directory, 'journal.exists');
  return {
    journalPath: join(directory, 'journal.db'),
    hasMarker: () => existsSync(markerPath),
    writeMarker: () => {
      const file = openSync(markerPath, 'w', 0o600);
      writeSync(file, markerText);
      fsyncSync(file);
      closeSync(file);
      syncDirectory(directory);
    },
    release: () => {
      lock.close();
    },
  };
}

/** A name in a directory is durable only when the directory is. */
export function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  fsyncSync(handle);
  closeSync(handle);
}

function takeLock(directory: string): DatabaseSync {
  const path = join(directory, 'lock.db');
  let lock: DatabaseSync | undefined;
  try {
    closeSync(openSync(path, 'a', 0o600));
    lock = new DatabaseSync(path, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock?.close();
    if (/database is locked/.test(String(cause)))
      throw new JournalError(
        'journal-locked',
        `cannot open state directory ${directory}: another felhom-agent holds it; ` +
          'stop that one first, or ask it over its admin socket',
        { cause },
      );
    throw new JournalError('journal-io', `cannot lock state directory ${directory} (${path}): ${String(cause)}`, {
      cause,
    });
  }
}
