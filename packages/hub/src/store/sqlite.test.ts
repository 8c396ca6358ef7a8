import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfText, hostId } from '@felhom/protocol';
import { matches, mintCredential, mintLineage, readCredential } from '../credentials.ts';
import { createRateLimiter } from '../rate-limit.ts';
import { openSqliteStore } from './sqlite.ts';
import type { DesiredRow, HubStore } from './store.ts';

const alpha = hostId.parse('alpha');
const lineage = 'a'.repeat(26);
const row = (generation: number, text = `g${generation}`): DesiredRow => ({
  lineage,
  generation,
  digest: digestOfText(text),
  text,
  replaces: undefined,
  putAt: generation,
  putBy: 'admin',
});

function fileIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-store-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'hub.db');
}
async function withHost(file = ':memory:'): Promise<HubStore> {
  const store = openSqliteStore(file);
  await store.addHost({ hostId: alpha, secret: { salt: '00', hash: '11' }, createdAt: 5 });
  return store;
}

test('everything about a host survives a restart', async (t) => {
  const file = fileIn(t);
  const store = await withHost(file);
  await store.putDesired(alpha, row(1), undefined, { clearStale: false });
  await store.recordContact(
    alpha,
    { at: 9, hostEpoch: 'e', sequence: 3, agentVersion: '1', held: '{}' },
    {
      report: { at: 9, digest: 'd', text: 'r' },
      stale: { lineage, generation: 7, digest: 'x', since: 8, text: undefined },
      fork: { since: 4, text: 'twice' },
    },
  );
  const before = await store.host('alpha');
  await store.close();
  const again = openSqliteStore(file);
  assert.deepEqual(await again.host('alpha'), before);
  assert.deepEqual(before, {
    hostId: alpha,
    secret: { salt: '00', hash: '11' },
    createdAt: 5,
    contact: { at: 9, hostEpoch: 'e', sequence: 3, agentVersion: '1', held: '{}' },
    report: { at: 9, digest: 'd', text: 'r' },
    desired: row(1),
    stale: { lineage, generation: 7, digest: 'x', since: 8, text: undefined },
    fork: { since: 4, text: 'twice' },
    auditFork: undefined,
    snoozedUntil: undefined,
    expectSeconds: undefined,
  });
  await again.close();
});

test('a contact without news keeps the report and the marks', async () => {
  const store = await withHost();
  const contact = { at: 1, hostEpoch: 'e', sequence: 1, agentVersion: '1', held: '{}' };
  await store.recordContact(alpha, contact, { report: { at: 1, digest: 'd', text: 'r' } });
  await store.recordContact(alpha, { ...contact, at: 2, sequence: 2 }, {});
  const host = await store.host('alpha');
  assert.equal(host?.contact?.at, 2);
  assert.equal(host?.report?.at, 1);
});

const bases: [name: string, base: { lineage: string; generation: number } | undefined, is: string][] = [
  ['none', undefined, 'conflict'],
  ['the current one', { lineage, generation: 2 }, 'put'],
  ['an older one', { lineage, generation: 1 }, 'conflict'],
  ['another lineage', { lineage: 'b'.repeat(26), generation: 2 }, 'conflict'],
];
for (const [name, base, is] of bases)
  test(`putting over generation 2 from ${name} → ${is}`, async () => {
    const store = await withHost();
    await store.putDesired(alpha, row(1), undefined, { clearStale: false });
    await store.putDesired(alpha, row(2), { lineage, generation: 1 }, { clearStale: false });
    const put = await store.putDesired(alpha, row(3), base, { clearStale: false });
    assert.equal(put.is, is);
    const current = (await store.host('alpha'))?.desired?.generation;
    assert.equal(current, is === 'put' ? 3 : 2);
    if (put.is === 'conflict') assert.equal(put.current?.generation, 2);
  });

test('the last hundred documents are kept, the current one among them', async () => {
  const store = await withHost();
  for (let generation = 1; generation <= 130; generation += 1) {
    const base = generation === 1 ? undefined : { lineage, generation: generation - 1 };
    await store.putDesired(alpha, row(generation), base, { clearStale: false });
  }
  assert.equal(await store.desiredAt(alpha, { lineage, generation: 30 }), undefined);
  assert.equal((await store.desiredAt(alpha, { lineage, generation: 31 }))?.text, 'g31');
  assert.equal((await store.host('alpha'))?.desired?.text, 'g130');
});

test('a database of a later release is refused and left as it is', async (t) => {
  const file = fileIn(t);
  await (await withHost(file)).close();
  const db = new DatabaseSync(file);
  db.exec('PRAGMA user_version = 99');
  db.close();
  assert.throws(() => openSqliteStore(file), /schema 99, this release knows \d+/);
});

test('a damaged database is refused and left as it is', async (t) => {
  const file = fileIn(t);
  await (await withHost(file)).close();
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.fill(0xff, 4096, 12_288));
  truncateSync(file, 20_480);
  const before = readFileSync(file);
  assert.throws(() => openSqliteStore(file), /cannot open the hub's database/);
  assert.deepEqual(readFileSync(file), before);
});

test('credentials: kinds do not mix, one changed character does not match', () => {
  const random = (count: number) => Uint8Array.from({ length: count }, (_, i) => i * 7);
  const { text, stored } = mintCredential('host', 'alpha', random);
  const read = readCredential('host', text);
  assert.equal(read?.id, 'alpha');
  assert.equal(matches(stored, read?.secret ?? ''), true);
  assert.equal(matches(stored, `B${(read?.secret ?? '').slice(1)}`), false);
  assert.equal(matches(undefined, read?.secret ?? ''), false);
  assert.equal(readCredential('operator', text), undefined);
  for (const odd of ['', 'x', `${text}x`, text.slice(0, -1), text.replace('alpha', '../a')])
    assert.equal(readCredential('host', odd), undefined, odd);
});

test('a lineage is all of its 128 bits', () => {
  const of = (bytes: number[]) => mintLineage(() => Uint8Array.from(bytes));
  assert.equal(of(Array.from({ length: 16 }, () => 0)), 'a'.repeat(26));
  // The last character carries three bits.
  assert.equal(of(Array.from({ length: 16 }, () => 255)), `${'7'.repeat(25)}4`);
  const seen = new Set<string>();
  for (let bit = 0; bit < 128; bit += 1)
    seen.add(of(Array.from({ length: 16 }, (_, i) => (i === bit >> 3 ? 1 << (bit & 7) : 0))));
  assert.equal(seen.size, 128);
  for (const text of seen) assert.match(text, /^[a-z2-7]{26}$/);
});

test('a rate limit refills, forgets nobody too early, and stays small', () => {
  let now = 0;
  const limiter = createRateLimiter({ perSecond: 1, burst: 2 }, () => now);
  assert.deepEqual([limiter.take('a'), limiter.take('a'), limiter.take('a')], [0, 0, 1]);
  assert.equal(limiter.take('b'), 0);
  now += 1000;
  assert.equal(limiter.take('a'), 0);
  assert.equal(limiter.take('a'), 1);
  now -= 60_000;
  assert.equal(limiter.take('a'), 1, 'a clock that jumps back gives nothing and takes nothing');
});
