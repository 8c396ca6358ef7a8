/**
 * Opening the journal: take the directory, prove the file whole, upgrade it, raise the epoch. Whatever is wrong with a
 * file that exists, or should exist, ends in an error that names it. Nothing here ever replaces or truncates one: an
 * agent that forgot its guests would take every one of them for a stranger's, or worse, for free space.
 */
import { closeSync, existsSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JournalError } from '../../kernel/journal.ts';
import type { Journal } from '../../kernel/journal.ts';
import type { Clock, Random } from '../../kernel/clock.ts';
import { applicationId, schemaOf, upgrade } from './schema.ts';
import { holdStateDirectory, syncDirectory } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';
import { defaultBounds, journalOn } from './journal-on.ts';
import type { JournalBounds } from './journal-on.ts';
import { firstDamage, rowCheck } from './row-check.ts';

export interface JournalOptions {
  /** State directory, e.g. /var/lib/felhom-agent. Created when missing; held for the journal's life. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
  readonly bounds?: JournalBounds;
}

/** Opens the journal of a state directory, or begins one where there never was one. Throws `JournalError`. */
export function openJournal(options: JournalOptions): Journal {
  const directory = holdStateDirectory(options.directory);
  try {
    const database = openFile(directory);
    try {
      const journal = prepare(database, directory.journalPath, options);
      if (!directory.hasMarker()) {
        syncDirectory(options.directory);
        directory.writeMarker();
      }
      return closedBy(journal, () => {
        journal.close();
        directory.release();
      });
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    directory.release();
    throw asJournalError(error, directory.journalPath);
  }
}

/**
 * The same journal on a database that the caller holds, typically `new DatabaseSync(':memory:')`: the disk of a
 * simulated machine. Opening it again is a restart: the epoch rises and the journal opened before is fenced.
 */
export function openJournalOn(database: DatabaseSync, options: Omit<JournalOptions, 'directory'>): Journal {
  return closedBy(prepare(database, 'in memory', options), () => undefined);
}

/** The same journal with another end. A spread alone would keep the host epoch that it had when it was opened. */
function closedBy(journal: Journal, close: () => void): Journal {
  return {
    ...journal,
    get hostEpoch() {
      return journal.hostEpoch;
    },
    close,
  };
}

function prepare(database: DatabaseSync, path: string, options: Omit<JournalOptions, 'directory'>): Journal {
  upgrade(database, path, (born) => {
    born.exec(`PRAGMA application_id = ${applicationId}`);
    const put = born.prepare('INSERT INTO meta (key, value, crc) VALUES (?, ?, ?)');
    const hostEpoch = Buffer.from(options.random.bytes(16)).toString('hex');
    put.run('host-epoch', hostEpoch, rowCheck('host-epoch', hostEpoch));
    put.run('epoch', '0', rowCheck('epoch', '0'));
  });
  return journalOn(database, options.clock, options.bounds ?? defaultBounds);
}

function openFile(directory: StateDirectory): DatabaseSync {
  const path = directory.journalPath;
  const size = existsSync(path) ? statSync(path).size : undefined;
  if (directory.hasMarker() && size === undefined)
    throw damaged(path, 'the file is missing, and journal.exists beside it says that there was one');
  if (directory.hasMarker() && size === 0) throw damaged(path, 'the file is empty');
  if (size === undefined) {
    closeSync(openSync(path, 'wx', 0o600));
    syncDirectory(dirname(path));
  }
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    const tables = Number(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
    if (schemaOf(database) === 0 && (tables > 0 || directory.hasMarker()))
      throw damaged(path, 'it is no journal, or one that lost its content');
    if (tables > 0) prove(database, path);
    // Last, because it writes to the file's header.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Everything that can be known to be wrong is found here, before anything acts on what the file says. */
function prove(database: DatabaseSync, path: string): void {
  const id = Number(database.prepare('PRAGMA application_id').get()?.['application_id']);
  if (id !== applicationId) throw damaged(path, 'it is a SQLite file, but no journal');
  // Not quick_check: that one does not compare indexes with their tables, and a saga that its index no longer finds
  // would be forgotten in silence.
  const verdict = String(database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']);
  if (verdict !== 'ok') throw damaged(path, verdict);
  // A newer release may have other columns; `upgrade` refuses it by name.
  if (schemaOf(database) > 1) return;
  const found = firstDamage(database);
  if (found !== undefined) throw damaged(path, found);
}

function damaged(path: string, what: string, options?: ErrorOptions): JournalError {
  return new JournalError(
    'journal-damaged',
    `cannot open journal ${path}: ${what}. Nothing was changed. Keep the whole directory aside (cp -a), then see ` +
      '`felhom-agent journal --help` for what can be read from it and how guests are adopted again',
    options,
  );
}

function asJournalError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof JournalError) return error;
  if (/malformed|not a database|disk image/.test(error.message)) return damaged(path, error.message, { cause: error });
  if ('errcode' in error || 'syscall' in error)
    return new JournalError('journal-io', `cannot open journal ${path}: ${error.message}`, { cause: error });
  return error;
}
