/**
 * The journal on SQLite.
 *
 * Owns: the state directory and its lock, the file's schema and upgrades, proof that the file is whole, its bounds.
 * Never does: replace, truncate or repair a file; decide what records mean.
 * Read in this order: open-journal.ts, state-directory.ts, journal-on.ts, schema.ts.
 */
export { openJournal, openJournalOn } from './open-journal.ts';
export type { JournalOptions } from './open-journal.ts';
export type { JournalBounds } from './journal-on.ts';
