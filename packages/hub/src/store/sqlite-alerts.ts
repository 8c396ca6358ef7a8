/** The watch's store on the hub's SQLite database. */
import type { DatabaseSync } from 'node:sqlite';
import { hostId as hostIdSchema } from '@felhom/protocol';
import { alert as alertSchema } from '../alerts/alert.ts';
import type { KeptAlert } from '../alerts/alert.ts';
import { watchMemory } from '../alerts/alert-store.ts';
import type { AlertStore, RouteRecord, WatchedHost, WatchMemory } from '../alerts/alert-store.ts';
import { message as messageSchema } from '../alerts/message.ts';
import { inTransaction, integer, optionalInteger, optionalText, text } from './sqlite-rows.ts';
import type { Row } from './sqlite-rows.ts';

/** One upgrade of the hub's schema. */
export const alertTables = `
  CREATE TABLE alert (
    id TEXT PRIMARY KEY, cause TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('pending', 'open', 'closed')),
    closed_at INTEGER, text TEXT NOT NULL, acked_at INTEGER, acked_by TEXT
  ) STRICT;
  CREATE UNIQUE INDEX alert_of_cause ON alert (cause) WHERE state <> 'closed';
  CREATE INDEX alert_closed ON alert (closed_at) WHERE state = 'closed';
  CREATE TABLE alert_delivery (
    id TEXT PRIMARY KEY, route TEXT NOT NULL, created_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'waiting', 'sent', 'lost')), held_by TEXT,
    due_at INTEGER NOT NULL, attempts INTEGER NOT NULL, text TEXT NOT NULL
  ) STRICT;
  CREATE INDEX alert_delivery_of_route ON alert_delivery (route, state, created_at);
  CREATE TABLE alert_route (
    route TEXT PRIMARY KEY, success_at INTEGER, failure_at INTEGER, failure_text TEXT,
    failures INTEGER NOT NULL DEFAULT 0, failing_since INTEGER, tested_at INTEGER, digest_at INTEGER,
    lost INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE host_watch (
    host_id TEXT PRIMARY KEY REFERENCES host (host_id), snoozed_until INTEGER, expect_seconds INTEGER
  ) STRICT;
  CREATE TABLE watch_memory (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL) STRICT;
`;

export function alertStoreOn(db: DatabaseSync): AlertStore {
  const hosts = db.prepare(
    'SELECT h.host_id, h.contact_at, h.metered, h.report_digest, h.fork_since, h.fork_text, ' +
      'h.audit_fork_since, h.audit_fork_text, h.stale_since, h.stale_generation, ' +
      'w.snoozed_until, w.expect_seconds FROM host h LEFT JOIN host_watch w ON w.host_id = h.host_id ORDER BY h.host_id',
  );
  const standing = db.prepare("SELECT * FROM alert WHERE state <> 'closed' ORDER BY rowid");
  const closures = db.prepare(
    "SELECT cause, count(*) AS times FROM alert WHERE state = 'closed' AND closed_at > ? GROUP BY cause",
  );
  const routes = db.prepare(
    'SELECT r.*, ' +
      "(SELECT count(*) FROM alert_delivery d WHERE d.route = r.route AND d.state = 'waiting') AS waiting, " +
      "(SELECT count(*) FROM alert_delivery d WHERE d.route = r.route AND d.state = 'held') AS held FROM alert_route r",
  );
  const sent = db.prepare(
    "SELECT route, count(*) AS times FROM alert_delivery WHERE state <> 'held' AND created_at > ? GROUP BY route",
  );
  const held = db.prepare("SELECT * FROM alert_delivery WHERE state = 'held' ORDER BY created_at, rowid");
  const memory = db.prepare('SELECT text FROM watch_memory WHERE id = 1');
  const report = db.prepare('SELECT report_text FROM host WHERE host_id = ?');
  const putAlert = db.prepare(
    'INSERT INTO alert (id, cause, state, closed_at, text) VALUES (?, ?, ?, ?, ?) ' +
      'ON CONFLICT (id) DO UPDATE SET state = excluded.state, closed_at = excluded.closed_at, text = excluded.text',
  );
  const removeAlert = db.prepare("DELETE FROM alert WHERE id = ? AND state = 'pending'");
  const addDelivery = db.prepare('INSERT INTO alert_delivery VALUES (?, ?, ?, ?, ?, ?, 0, ?)');
  const removeHeld = db.prepare("DELETE FROM alert_delivery WHERE id = ? AND state = 'held'");
  const putRoute = db.prepare(
    'INSERT INTO alert_route (route, tested_at, digest_at, lost) VALUES (?, ?, ?, ?) ON CONFLICT (route) DO UPDATE SET ' +
      'tested_at = coalesce(excluded.tested_at, tested_at), digest_at = coalesce(excluded.digest_at, digest_at), ' +
      'lost = lost + excluded.lost',
  );
  const putMemory = db.prepare(
    'INSERT INTO watch_memory VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text',
  );
  const forgetAlerts = db.prepare("DELETE FROM alert WHERE state = 'closed' AND closed_at < ?");
  const forgetDeliveries = db.prepare("DELETE FROM alert_delivery WHERE state IN ('sent', 'lost') AND created_at < ?");
  const due = db.prepare(
    "SELECT * FROM alert_delivery WHERE route = ? AND state = 'waiting' AND due_at <= ? ORDER BY created_at, rowid LIMIT ?",
  );
  const settle = db.prepare(
    'UPDATE alert_delivery SET state = ?, attempts = attempts + 1, due_at = ? WHERE id = ? AND route = ?',
  );
  const succeeded = db.prepare(
    'INSERT INTO alert_route (route, success_at) VALUES (?, ?) ON CONFLICT (route) DO UPDATE SET ' +
      'success_at = excluded.success_at, failures = 0, failing_since = NULL',
  );
  const failed = db.prepare(
    'INSERT INTO alert_route (route, failure_at, failure_text, failures, failing_since, lost) VALUES (?, ?, ?, 1, ?, ?) ' +
      'ON CONFLICT (route) DO UPDATE SET failure_at = excluded.failure_at, failure_text = excluded.failure_text, ' +
      'failures = failures + 1, failing_since = coalesce(failing_since, excluded.failing_since), lost = lost + excluded.lost',
  );
  const recent = db.prepare("SELECT * FROM alert WHERE state = 'closed' ORDER BY closed_at DESC, rowid DESC LIMIT ?");
  const ack = db.prepare(
    "UPDATE alert SET acked_at = coalesce(acked_at, ?), acked_by = coalesce(acked_by, ?) WHERE id = ? AND state = 'open'",
  );
  const oneAlert = db.prepare('SELECT * FROM alert WHERE id = ?');
  const snooze = db.prepare(
    'INSERT INTO host_watch (host_id, snoozed_until) SELECT host_id, ? FROM host WHERE host_id = ? ' +
      'ON CONFLICT (host_id) DO UPDATE SET snoozed_until = excluded.snoozed_until',
  );
  const expect = db.prepare(
    'INSERT INTO host_watch (host_id, expect_seconds) SELECT host_id, ? FROM host WHERE host_id = ? ' +
      'ON CONFLICT (host_id) DO UPDATE SET expect_seconds = excluded.expect_seconds',
  );
  return {
    async load({ closedAfter, sentAfter }) {
      return {
        hosts: hosts.all().map(toHost),
        alerts: standing.all().map(toAlert),
        closures: new Map(closures.all(closedAfter).map((row) => [text(row, 'cause'), integer(row, 'times')])),
        routes: new Map(routes.all().map((row) => [text(row, 'route'), toRoute(row)])),
        sent: new Map(sent.all(sentAfter).map((row) => [text(row, 'route'), integer(row, 'times')])),
        held: held.all().map((row) => ({
          id: text(row, 'id'),
          route: text(row, 'route'),
          heldBy: row['held_by'] === 'rate' ? ('rate' as const) : ('quiet' as const),
          message: messageSchema.parse(JSON.parse(text(row, 'text'))),
        })),
        memory: toMemory(memory.get()),
      };
    },
    async reportText(hostId) {
      const row = report.get(hostId);
      return row === undefined ? undefined : optionalText(row, 'report_text');
    },
    async commit(changes) {
      inTransaction(db, () => {
        for (const id of changes.removedAlerts) removeAlert.run(id);
        for (const one of changes.alerts)
          putAlert.run(one.id, one.cause, one.state, one.closedAt ?? null, JSON.stringify(one));
        for (const id of changes.releasedHeld) removeHeld.run(id);
        for (const one of changes.deliveries)
          addDelivery.run(
            one.id,
            one.route,
            one.createdAt,
            one.heldBy === undefined ? 'waiting' : 'held',
            one.heldBy ?? null,
            one.createdAt,
            JSON.stringify(one.message),
          );
        for (const one of changes.routes)
          putRoute.run(one.route, one.testedAt ?? null, one.digestAt ?? null, one.addLost ?? 0);
        putMemory.run(JSON.stringify(changes.memory));
        forgetAlerts.run(changes.forgetBefore);
        forgetDeliveries.run(changes.forgetBefore);
      });
    },
    async due(route, now, limit) {
      return due.all(route, now, limit).map((row) => ({
        id: text(row, 'id'),
        createdAt: integer(row, 'created_at'),
        attempts: integer(row, 'attempts'),
        message: messageSchema.parse(JSON.parse(text(row, 'text'))),
      }));
    },
    async recordAttempt(route, id, attempt) {
      inTransaction(db, () => {
        if (attempt.is === 'delivered') {
          settle.run('sent', attempt.at, id, route);
          succeeded.run(route, attempt.at);
          return;
        }
        const lost = attempt.next === 'lost';
        settle.run(lost ? 'lost' : 'waiting', attempt.next === 'lost' ? attempt.at : attempt.next.dueAt, id, route);
        failed.run(route, attempt.at, attempt.text, attempt.at, lost ? 1 : 0);
      });
    },
    async recent(limit) {
      return recent.all(limit).map(toAlert);
    },
    async acknowledge(id, { at, by }) {
      return inTransaction(db, () => {
        if (ack.run(at, by, id).changes === 0) return undefined;
        const row = oneAlert.get(id);
        return row === undefined ? undefined : toAlert(row);
      });
    },
    async setSnooze(hostId, until) {
      return snooze.run(until ?? null, hostId).changes === 1;
    },
    async setExpected(hostId, seconds) {
      return expect.run(seconds ?? null, hostId).changes === 1;
    },
  };
}

function toHost(row: Row): WatchedHost {
  const forkText = optionalText(row, 'fork_text');
  const auditForkText = optionalText(row, 'audit_fork_text');
  const staleSince = optionalInteger(row, 'stale_since');
  return {
    hostId: hostIdSchema.parse(row['host_id']),
    contactAt: optionalInteger(row, 'contact_at'),
    ...(row['metered'] === 1 ? { metered: true } : {}),
    reportDigest: optionalText(row, 'report_digest'),
    fork: forkText === undefined ? undefined : { since: integer(row, 'fork_since'), text: forkText },
    auditFork:
      auditForkText === undefined ? undefined : { since: integer(row, 'audit_fork_since'), text: auditForkText },
    stale: staleSince === undefined ? undefined : { since: staleSince, generation: integer(row, 'stale_generation') },
    snoozedUntil: optionalInteger(row, 'snoozed_until'),
    expectSeconds: optionalInteger(row, 'expect_seconds'),
  };
}

function toAlert(row: Row): KeptAlert {
  const at = optionalInteger(row, 'acked_at');
  const kept = alertSchema.parse(JSON.parse(text(row, 'text')));
  return at === undefined ? kept : { ...kept, ack: { at, by: text(row, 'acked_by') } };
}

function toRoute(row: Row): RouteRecord {
  const failedAt = optionalInteger(row, 'failure_at');
  return {
    lastSuccessAt: optionalInteger(row, 'success_at'),
    lastFailure: failedAt === undefined ? undefined : { at: failedAt, text: text(row, 'failure_text') },
    failures: integer(row, 'failures'),
    failingSince: optionalInteger(row, 'failing_since'),
    testedAt: optionalInteger(row, 'tested_at'),
    digestAt: optionalInteger(row, 'digest_at'),
    lost: integer(row, 'lost'),
    waiting: integer(row, 'waiting'),
    held: integer(row, 'held'),
  };
}

/** A memory that cannot be read is none: the watch then begins as after a long absence, which pages nobody wrongly. */
function toMemory(row: Row | undefined): WatchMemory | undefined {
  if (row === undefined) return undefined;
  try {
    return watchMemory.safeParse(JSON.parse(text(row, 'text'))).data;
  } catch {
    return undefined;
  }
}
