/** The store on SQLite: WAL, synchronous=FULL, one numbered upgrade per schema version. */
import { DatabaseSync } from 'node:sqlite';
import { digest as digestSchema, hostId as hostIdSchema } from '@felhom/protocol';
import { alertStoreOn, alertTables } from './sqlite-alerts.ts';
import { mailboxOn, mailboxTables } from './sqlite-mailbox.ts';
import { inTransaction, integer, optionalInteger, optionalText, text } from './sqlite-rows.ts';
import type { Row } from './sqlite-rows.ts';
import { statementKeeperOn, testimonyOn, testimonyTables } from './sqlite-testimony.ts';
import type { ContactRow, DesiredRow, HostRow, HubStore, OperatorRow, Role, StaleMark } from './store.ts';

const upgrades: readonly string[] = [
  `
  CREATE TABLE operator (
    name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('operator', 'reader')),
    salt TEXT NOT NULL, hash TEXT NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE host (
    host_id TEXT PRIMARY KEY, salt TEXT NOT NULL, hash TEXT NOT NULL, created_at INTEGER NOT NULL,
    contact_at INTEGER, host_epoch TEXT, sequence INTEGER, agent_version TEXT, held TEXT,
    report_at INTEGER, report_digest TEXT, report_text TEXT,
    lineage TEXT, generation INTEGER,
    stale_lineage TEXT, stale_generation INTEGER, stale_digest TEXT, stale_since INTEGER, stale_text TEXT,
    fork_since INTEGER, fork_text TEXT
  ) STRICT;
  CREATE TABLE desired (
    host_id TEXT NOT NULL REFERENCES host (host_id), lineage TEXT NOT NULL, generation INTEGER NOT NULL,
    digest TEXT NOT NULL, text TEXT NOT NULL, replaces TEXT, put_at INTEGER NOT NULL, put_by TEXT NOT NULL,
    PRIMARY KEY (host_id, lineage, generation)
  ) STRICT;
  `,
  mailboxTables + testimonyTables,
  alertTables,
  'ALTER TABLE host ADD COLUMN heartbeat TEXT; ALTER TABLE host ADD COLUMN metered INTEGER NOT NULL DEFAULT 0;',
];

const keptDocuments = 100;

/**
 * Opens or creates the database. `:memory:` is for tests and the lab. Throws on a file that is damaged or written by a
 * later release: a hub that starts over in silence would serve nothing to every host.
 */
export function openSqliteStore(file: string): HubStore {
  const db = new DatabaseSync(file, { timeout: 5000 });
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    upgrade(db, file);
  } catch (error) {
    db.close();
    throw new Error(
      `cannot open the hub's database ${file}: ${error instanceof Error ? error.message : String(error)}. ` +
        'It was left as it is; restore it from a backup or name another file',
      { cause: error },
    );
  }
  return storeOn(db);
}

function upgrade(db: DatabaseSync, file: string): void {
  const check = db.prepare('PRAGMA quick_check').get();
  if (check?.['quick_check'] !== 'ok') throw new Error(`it is damaged: ${String(check?.['quick_check'])}`);
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > upgrades.length)
    throw new Error(`${file} has schema ${version}, this release knows ${upgrades.length}; use the later release`);
  for (let next = version; next < upgrades.length; next += 1)
    inTransaction(db, () => {
      db.exec(upgrades[next] ?? '');
      db.exec(`PRAGMA user_version = ${next + 1}`);
    });
}

function storeOn(db: DatabaseSync): HubStore {
  const joined =
    'SELECT host.*, d.digest, d.text, d.replaces, d.put_at, d.put_by, w.snoozed_until, w.expect_seconds ' +
    'FROM host LEFT JOIN desired d ' +
    'ON d.host_id = host.host_id AND d.lineage = host.lineage AND d.generation = host.generation ' +
    'LEFT JOIN host_watch w ON w.host_id = host.host_id';
  const oneHost = db.prepare(`${joined} WHERE host.host_id = ?`);
  const allHosts = db.prepare(`${joined} ORDER BY host.host_id`);
  const oneOperator = db.prepare('SELECT * FROM operator WHERE name = ?');
  const oneDesired = db.prepare('SELECT * FROM desired WHERE host_id = ? AND lineage = ? AND generation = ?');
  const highest = db.prepare(
    'SELECT coalesce(max(generation), 0) AS highest FROM desired WHERE host_id = ? AND lineage = ?',
  );
  const contact = db.prepare(
    'UPDATE host SET contact_at = ?, host_epoch = ?, sequence = ?, agent_version = ?, held = ?, heartbeat = ?, ' +
      'metered = ? WHERE host_id = ?',
  );
  const report = db.prepare('UPDATE host SET report_at = ?, report_digest = ?, report_text = ? WHERE host_id = ?');
  const stale = db.prepare(
    'UPDATE host SET stale_lineage = ?, stale_generation = ?, stale_digest = ?, stale_since = ?, stale_text = ? WHERE host_id = ?',
  );
  const keepStatement = statementKeeperOn(db);
  const fork = db.prepare('UPDATE host SET fork_since = ?, fork_text = ? WHERE host_id = ?');
  const setStale = (hostId: string, mark: StaleMark | undefined) =>
    stale.run(
      mark?.lineage ?? null,
      mark?.generation ?? null,
      mark?.digest ?? null,
      mark?.since ?? null,
      mark?.text ?? null,
      hostId,
    );
  return {
    ...mailboxOn(db),
    ...testimonyOn(db),
    alerts: alertStoreOn(db),
    async addOperator(row) {
      const added = db
        .prepare('INSERT INTO operator VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING')
        .run(row.name, row.role, row.secret.salt, row.secret.hash, row.createdAt);
      return added.changes === 1 ? 'added' : 'exists';
    },
    async operator(name) {
      const row = oneOperator.get(name);
      return row === undefined ? undefined : toOperator(row);
    },
    async addHost(row) {
      const added = db
        .prepare('INSERT INTO host (host_id, salt, hash, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')
        .run(row.hostId, row.secret.salt, row.secret.hash, row.createdAt);
      return added.changes === 1 ? 'added' : 'exists';
    },
    async setHostSecret(hostId, secret) {
      const set = db
        .prepare('UPDATE host SET salt = ?, hash = ? WHERE host_id = ?')
        .run(secret.salt, secret.hash, hostId);
      return set.changes === 1 ? 'set' : 'no-such-host';
    },
    async host(hostId) {
      const row = oneHost.get(hostId);
      return row === undefined ? undefined : toHost(row);
    },
    async hosts() {
      return allHosts.all().map(toHost);
    },
    async recordContact(hostId, row, changes) {
      inTransaction(db, () => {
        contact.run(
          row.at,
          row.hostEpoch,
          row.sequence,
          row.agentVersion,
          row.held,
          row.heartbeat ?? null,
          row.metered === true ? 1 : 0,
          hostId,
        );
        if (changes.report !== undefined)
          report.run(changes.report.at, changes.report.digest, changes.report.text, hostId);
        if (changes.stale !== undefined) setStale(hostId, changes.stale);
        if (changes.fork !== undefined) fork.run(changes.fork.since, changes.fork.text, hostId);
        if (changes.statement !== undefined) keepStatement(hostId, changes.statement);
      });
    },
    async putDesired(hostId, row, base, options) {
      return inTransaction(db, () => {
        const host = oneHost.get(hostId);
        if (host === undefined) throw new Error(`cannot put desired state: there is no host ${hostId}`);
        const current = toDesired(host);
        if (current?.lineage !== base?.lineage || current?.generation !== base?.generation)
          return { is: 'conflict', current } as const;
        db.prepare('INSERT INTO desired VALUES (?, ?, ?, ?, ?, ?, ?, ?)').run(
          hostId,
          row.lineage,
          row.generation,
          row.digest,
          row.text,
          row.replaces ?? null,
          row.putAt,
          row.putBy,
        );
        db.prepare('UPDATE host SET lineage = ?, generation = ? WHERE host_id = ?').run(
          row.lineage,
          row.generation,
          hostId,
        );
        if (options.clearStale) setStale(hostId, undefined);
        db.prepare(
          'DELETE FROM desired WHERE host_id = ? AND rowid NOT IN ' +
            '(SELECT rowid FROM desired WHERE host_id = ? ORDER BY rowid DESC LIMIT ?)',
        ).run(hostId, hostId, keptDocuments);
        return { is: 'put' } as const;
      });
    },
    async desiredAt(hostId, ref) {
      const row = oneDesired.get(hostId, ref.lineage, ref.generation);
      return row === undefined ? undefined : toDesired(row);
    },
    async highestGeneration(hostId, lineage) {
      const row = highest.get(hostId, lineage);
      return row === undefined ? 0 : integer(row, 'highest');
    },
    async clearFork(hostId) {
      fork.run(null, null, hostId);
    },
    async close() {
      db.close();
    },
  };
}

function toHost(row: Row): HostRow {
  const reportText = optionalText(row, 'report_text');
  const forkText = optionalText(row, 'fork_text');
  const auditForkText = optionalText(row, 'audit_fork_text');
  return {
    hostId: hostIdSchema.parse(row['host_id']),
    secret: { salt: text(row, 'salt'), hash: text(row, 'hash') },
    createdAt: integer(row, 'created_at'),
    contact: toContact(row),
    report:
      reportText === undefined
        ? undefined
        : { at: integer(row, 'report_at'), digest: text(row, 'report_digest'), text: reportText },
    desired: toDesired(row),
    stale: toStale(row),
    fork: forkText === undefined ? undefined : { since: integer(row, 'fork_since'), text: forkText },
    auditFork:
      auditForkText === undefined ? undefined : { since: integer(row, 'audit_fork_since'), text: auditForkText },
    snoozedUntil: optionalInteger(row, 'snoozed_until'),
    expectSeconds: optionalInteger(row, 'expect_seconds'),
  };
}

function toContact(row: Row): ContactRow | undefined {
  if (row['contact_at'] === null) return undefined;
  return {
    at: integer(row, 'contact_at'),
    hostEpoch: text(row, 'host_epoch'),
    sequence: integer(row, 'sequence'),
    agentVersion: text(row, 'agent_version'),
    held: text(row, 'held'),
    ...(row['heartbeat'] === null ? {} : { heartbeat: text(row, 'heartbeat') }),
    ...(row['metered'] === 1 ? { metered: true } : {}),
  };
}

function toDesired(row: Row): DesiredRow | undefined {
  if (row['lineage'] === null) return undefined;
  return {
    lineage: text(row, 'lineage'),
    generation: integer(row, 'generation'),
    digest: digestSchema.parse(row['digest']),
    text: text(row, 'text'),
    replaces: optionalText(row, 'replaces'),
    putAt: integer(row, 'put_at'),
    putBy: text(row, 'put_by'),
  };
}

function toStale(row: Row): StaleMark | undefined {
  if (row['stale_lineage'] === null) return undefined;
  return {
    lineage: text(row, 'stale_lineage'),
    generation: integer(row, 'stale_generation'),
    digest: text(row, 'stale_digest'),
    since: integer(row, 'stale_since'),
    text: optionalText(row, 'stale_text'),
  };
}

function toOperator(row: Row): OperatorRow {
  const role: Role = row['role'] === 'operator' ? 'operator' : 'reader';
  return {
    name: text(row, 'name'),
    role,
    secret: { salt: text(row, 'salt'), hash: text(row, 'hash') },
    createdAt: integer(row, 'created_at'),
  };
}
