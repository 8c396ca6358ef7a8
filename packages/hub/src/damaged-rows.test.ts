/**
 * Somebody with write access to the hub's database may put anything into any row. What leaves for a host must still be
 * an answer of the wire's shape, made of documents, envelopes and statements as opaque bytes, or an error.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { digestOfText, maxPollAnswerBytes, pollAnswer, problem } from '@felhom/protocol';
import { hubWorld, logOf, statementOf } from './world.fixture.ts';

const guest = {
  name: 'web',
  golden: 'debian-13',
  hostname: 'web',
  cores: 1,
  memoryMiB: 512,
  rootfs: { storage: 'local', sizeGiB: 4 },
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
};
const junk = {
  TEXT: ['', '{"is":"held","extra":[1]}\u0000', 'x'.repeat(20_000)],
  INTEGER: [-1, Number.MAX_SAFE_INTEGER],
} as const;
const isJunkType = (type: unknown): type is keyof typeof junk => type === 'TEXT' || type === 'INTEGER';
/** The fields of an answer that are documents of others. */
const opaque = (answer: unknown): unknown => {
  const { desired, envelopes, newerStatement, ...own } = pollAnswer.parse(answer);
  return { ...own, desired: desired.is, envelopes: envelopes.length, newerStatement: typeof newerStatement };
};

test('whatever stands in a row, the answer to a poll is of the shape of the wire, and of nothing else', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-damaged-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'hub.db');
  const w = await hubWorld(t, file);
  await w.call('PUT', '/v1/hosts/alpha/desired', { v: 1, base: null, guests: [guest] });
  for (const text of ['one', 'two']) await w.call('POST', '/v1/hosts/alpha/envelopes', { v: 1, text });
  const log = logOf(3);
  await w.poll({ audit: { from: 1, entries: log }, statement: statementOf(1, log), taken: [digestOfText('one')] });
  const again = { sequence: 1, statement: statementOf(1, log) };
  const usual = opaque((await w.rawPoll(again)).json());

  const db = new DatabaseSync(file, { enableForeignKeyConstraints: false });
  t.after(() => db.close());
  db.exec('PRAGMA synchronous = OFF');
  let spoiled = 0;
  let answered = 0;
  const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").all();
  for (const { name: table } of tables)
    for (const { name: column, type } of db.prepare('SELECT name, type FROM pragma_table_info(?)').all(String(table))) {
      if (!isJunkType(type)) continue;
      const rows = `SELECT * FROM "${String(table)}"`;
      const before = db.prepare(rows).all();
      for (const value of junk[type]) {
        try {
          db.prepare(`UPDATE "${String(table)}" SET "${String(column)}" = ?`).run(value);
        } catch {
          continue; // A constraint of the table holds this off.
        }
        spoiled += 1;
        const answer = await w.rawPoll({ ...again, audit: { from: 2, entries: log.slice(1) } });
        assert.ok(Buffer.byteLength(answer.text) < maxPollAnswerBytes);
        if (answer.status === 200) {
          answered += 1;
          pollAnswer.parse(answer.json());
        } else problem.strict().parse(answer.json());
        const shown = await w.call('GET', '/v1/hosts');
        if (shown.status !== 200) problem.strict().parse(shown.json());
        restore(db, String(table), before);
      }
    }
  assert.ok(spoiled > 200, `${spoiled} rows were spoiled`);
  assert.ok(answered > 150, `${answered} polls were answered`);
  assert.deepEqual(opaque((await w.rawPoll(again)).json()), usual, 'and mended it is as before');
});

function restore(db: DatabaseSync, table: string, rows: readonly Record<string, unknown>[]): void {
  db.exec(`DELETE FROM "${table}"`);
  for (const row of rows) {
    const columns = Object.keys(row);
    db.prepare(
      `INSERT INTO "${table}" (${columns.map((name) => `"${name}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
    ).run(...(Object.values(row) as (string | number | null)[]));
  }
}
