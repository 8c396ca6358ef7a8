/** Envelopes in SQLite. */
import type { DatabaseSync } from 'node:sqlite';
import { digest as digestSchema } from '@felhom/protocol';
import type { EnvelopeRow, MailboxStore } from './mailbox-store.ts';
import { inTransaction, integer, optionalInteger, text } from './sqlite-rows.ts';
import type { Row } from './sqlite-rows.ts';

/** Texts come last: what stands behind a long one in a row is slow to read. */
export const mailboxTables = `
  CREATE TABLE envelope (
    place INTEGER PRIMARY KEY AUTOINCREMENT, host_id TEXT NOT NULL REFERENCES host (host_id),
    digest TEXT NOT NULL, turn INTEGER NOT NULL, bytes INTEGER NOT NULL,
    put_at INTEGER NOT NULL, put_by TEXT NOT NULL, taken_at INTEGER, text TEXT NOT NULL,
    UNIQUE (host_id, digest)
  ) STRICT;
  CREATE INDEX envelope_turn ON envelope (host_id, turn);
  CREATE INDEX envelope_taken ON envelope (host_id, taken_at);
`;

export function mailboxOn(db: DatabaseSync): MailboxStore {
  const one = db.prepare('SELECT taken_at FROM envelope WHERE host_id = ? AND digest = ?');
  const counts = db.prepare(
    'SELECT count(*) - count(taken_at) AS waiting, count(taken_at) AS taken FROM envelope WHERE host_id = ?',
  );
  const insert = db.prepare(
    'INSERT INTO envelope (host_id, digest, text, bytes, put_at, put_by, turn) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const waiting = db.prepare('SELECT place, bytes FROM envelope WHERE host_id = ? AND taken_at IS NULL ORDER BY turn');
  const waitingWhole = db.prepare('SELECT * FROM envelope WHERE host_id = ? AND taken_at IS NULL ORDER BY place');
  const taken = db.prepare(
    'SELECT * FROM envelope WHERE host_id = ? AND taken_at IS NOT NULL ORDER BY taken_at DESC, place DESC LIMIT ?',
  );
  const lastTurn = db.prepare('SELECT coalesce(max(turn), 0) AS turn FROM envelope WHERE host_id = ?');
  const setTurn = db.prepare('UPDATE envelope SET turn = ? WHERE host_id = ? AND place = ?');
  const textAt = db.prepare('SELECT text FROM envelope WHERE host_id = ? AND place = ?');
  const take = db.prepare('UPDATE envelope SET taken_at = ? WHERE host_id = ? AND digest = ? AND taken_at IS NULL');
  const drop = db.prepare('DELETE FROM envelope WHERE host_id = ? AND taken_at < ?');
  const withdraw = db.prepare('DELETE FROM envelope WHERE host_id = ? AND digest = ? AND taken_at IS NULL');
  const turnsOf = (hostId: string) => integer(lastTurn.get(hostId) ?? {}, 'turn');
  const countsOf = (hostId: string) => {
    const row = counts.get(hostId) ?? {};
    return { waiting: integer(row, 'waiting'), taken: integer(row, 'taken') };
  };
  return {
    async putEnvelope(hostId, row, mostWaiting) {
      return inTransaction(db, () => {
        if (one.get(hostId, row.digest) !== undefined) return 'there-already';
        if (countsOf(hostId).waiting >= mostWaiting) return 'full';
        const bytes = Buffer.byteLength(JSON.stringify(row.text), 'utf8');
        insert.run(hostId, row.digest, row.text, bytes, row.putAt, row.putBy, turnsOf(hostId) + 1);
        return 'put';
      });
    },
    async envelopes(hostId, mostTaken) {
      return [...waitingWhole.all(hostId), ...taken.all(hostId, mostTaken)].map(toEnvelope);
    },
    async withdrawEnvelope(hostId, digest) {
      return inTransaction(db, () => {
        if (withdraw.run(hostId, digest).changes === 1) return 'withdrawn';
        return one.get(hostId, digest) === undefined ? 'unknown' : 'taken';
      });
    },
    async waitingEnvelopes(hostId) {
      return waiting.all(hostId).map((row) => ({ place: integer(row, 'place'), bytes: integer(row, 'bytes') }));
    },
    async textsAt(hostId, places) {
      return places.flatMap((place) => {
        const row = textAt.get(hostId, place);
        return row === undefined ? [] : [text(row, 'text')];
      });
    },
    async moveToBack(hostId, places) {
      inTransaction(db, () => {
        const last = turnsOf(hostId);
        for (const [at, place] of places.entries()) setTurn.run(last + 1 + at, hostId, place);
      });
    },
    async markTaken(hostId, digests, now, keepFrom) {
      inTransaction(db, () => {
        for (const digest of digests) take.run(now, hostId, digest);
        drop.run(hostId, keepFrom);
      });
    },
    async mailboxCounts(hostId) {
      return countsOf(hostId);
    },
  };
}

function toEnvelope(row: Row): EnvelopeRow {
  return {
    digest: digestSchema.parse(row['digest']),
    text: text(row, 'text'),
    putAt: integer(row, 'put_at'),
    putBy: text(row, 'put_by'),
    takenAt: optionalInteger(row, 'taken_at'),
  };
}
