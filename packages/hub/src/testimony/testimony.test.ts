import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import {
  auditAnswer,
  auditEntry,
  chainStart,
  digestOfEntry,
  digestOfText,
  maxAuditEntriesPerPoll,
  verifyChain,
} from '@felhom/protocol';
import type { AuditAnswer, SignedStatement } from '@felhom/protocol';
import { openSqliteStore } from '../store/sqlite.ts';
import type { KeptStatement } from '../store/testimony-store.ts';
import { alpha, epochA, epochB, hubWorld, logOf, statementOf } from '../world.fixture.ts';
import { testimonyBounds } from './hear-testimony.ts';
import { findOtherHead, judgeAudit } from './judge-audit.ts';
import { compareStatement, readStatement } from './judge-statement.ts';

type World = Awaited<ReturnType<typeof hubWorld>>;
const url = '/v1/hosts/alpha/audit';
const log = logOf(10);
const other = logOf(10, ' in another tale', 4);
const read = async (w: World, query = ''): Promise<AuditAnswer> =>
  auditAnswer.parse((await w.call('GET', `${url}${query}`, undefined, w.readerToken)).json());
const send = (from: number, entries: readonly string[]) => ({ audit: { from, entries } });

function fileIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-testimony-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'hub.db');
}

test('the digest of an entry is that of its text', () => {
  for (const text of log) assert.equal(digestOfEntry(auditEntry.parse(JSON.parse(text))), digestOfText(text));
});

const unreadable = ['{"v":2,"what":"a later release"}', 'no JSON'];
const judged: [
  name: string,
  held: readonly string[],
  from: number,
  sent: readonly string[],
  appended: number,
  conflicts: number[],
][] = [
  ['the first ones', [], 1, log.slice(0, 3), 3, []],
  ['the next ones', log.slice(0, 3), 4, log.slice(3), 7, []],
  ['behind a gap', log.slice(0, 3), 5, log.slice(4), 0, []],
  ['behind a gap of everything', [], 2, log.slice(1), 0, []],
  ['the same again', log.slice(0, 3), 1, log.slice(0, 3), 0, []],
  ['the same and more', log.slice(0, 3), 2, log.slice(1, 6), 0, []],
  ['other texts for held numbers', log.slice(0, 6), 3, other.slice(2, 8), 0, [4, 5, 6]],
  ['a tale that does not follow', log.slice(0, 6), 7, other.slice(6), 0, [7]],
  ['one that stops following', log.slice(0, 2), 3, [...log.slice(2, 5), ...other.slice(5)], 3, [6]],
  ['a number left out', log.slice(0, 2), 3, [...log.slice(2, 4), ...log.slice(5)], 2, [5]],
  ['a log that does not begin', [], 1, log.slice(1), 0, [1]],
  ['what this release cannot read', log.slice(0, 2), 3, unreadable, 2, []],
];
for (const [name, held, from, sent, appended, conflicts] of judged)
  test(`audit entries: ${name} → ${appended} taken, ${conflicts.length} against`, () => {
    const overlap = from > held.length ? [] : held.slice(from - 1, from - 1 + sent.length);
    const verdict = judgeAudit({ from, entries: sent }, { count: held.length, last: held.at(-1), overlap });
    assert.deepEqual(verdict.append, sent.slice(0, appended));
    assert.deepEqual(
      verdict.conflicts.map(({ seq }) => seq),
      conflicts,
    );
    assert.equal(verdict.contradiction !== undefined, conflicts.length > 0);
    for (const { seq, text } of verdict.conflicts) assert.equal(text, sent[seq - from]);
  });

const own = { hostId: alpha, hostEpoch: epochA, sequence: 5 };
const reads: [name: string, signed: SignedStatement, is: string][] = [
  ['of this poll', statementOf(5, log), 'statement'],
  ['of another number', statementOf(6, log), 'foreign'],
  ['of another epoch', statementOf(5, log, { hostEpoch: epochB }), 'foreign'],
  ['of another host', statementOf(5, log, { host: 'bravo' as typeof alpha }), 'foreign'],
  ['of a later release', { text: '{"v":2}', signature: '' }, 'opaque'],
  ['of no meaning', { text: '{{{', signature: '' }, 'opaque'],
  ['empty', { text: '', signature: '' }, 'opaque'],
];
for (const [name, signed, is] of reads)
  test(`a statement ${name} → ${is}`, () => {
    assert.equal(readStatement(own, signed, 1).is, is);
  });

function kept(sequence: number, said: readonly string[], more: Partial<KeptStatement> = {}): KeptStatement {
  const heard = readStatement({ ...own, sequence }, statementOf(sequence, said), 1);
  assert.ok(heard.is === 'statement');
  return { ...heard.statement, ...more };
}
const compared: [name: string, said: KeptStatement, before: KeptStatement | undefined, marks: string][] = [
  ['the first one', kept(1, log.slice(0, 3)), undefined, 'highest head'],
  ['with more entries', kept(9, log.slice(0, 5)), kept(8, log.slice(0, 3)), 'highest head'],
  ['without news', kept(9, log), kept(8, log), 'highest'],
  ['of a lower number', kept(7, log.slice(0, 2)), kept(8, log), 'head'],
  ['of the same number', kept(8, log), kept(8, log), ''],
  ['with fewer entries', kept(9, log.slice(0, 2)), kept(8, log.slice(0, 3)), 'highest head contradiction'],
  ['with another head', kept(9, other), kept(8, log), 'highest head contradiction'],
  ['with another head, of a lower number', kept(7, other), kept(8, log), 'head contradiction'],
  ['with a head of nothing', kept(1, [], { head: digestOfText('x') }), undefined, 'highest head contradiction'],
];
for (const [name, said, before, marks] of compared)
  test(`a statement ${name} → ${marks}`, () => {
    const sameCount = before?.count === said.count ? [before] : [];
    const verdict = compareStatement(said, { highest: before, lastHead: before, sameCount });
    const found = [
      verdict.isHighest && 'highest',
      verdict.isNewHead && 'head',
      verdict.contradiction !== undefined && 'contradiction',
    ];
    assert.equal(found.filter(Boolean).join(' '), marks);
  });

test('a head is that of the entry it counts to', () => {
  assert.equal(findOtherHead(3, log.slice(2, 6), [kept(1, log.slice(0, 2)), kept(2, log.slice(0, 4))]), undefined);
  assert.match(findOtherHead(3, log.slice(2, 6), [kept(2, other.slice(0, 5))]) ?? '', /another entry 5/);
  assert.equal(findOtherHead(3, log.slice(2, 6), [kept(2, other.slice(0, 9))]), undefined, 'not held');
});

test('a log arrives in pieces, and is handed out as the host wrote it, with the statements about it', async (t) => {
  const w = await hubWorld(t);
  assert.equal((await w.call('GET', url)).code(), 'audit.none');
  assert.equal((await w.poll()).auditCount, 0);
  assert.equal(
    (await w.poll({ ...send(1, log.slice(0, 4)), statement: statementOf(2, log.slice(0, 4)) })).auditCount,
    4,
  );
  const gap = await w.poll({ ...send(6, log.slice(5)), statement: statementOf(3, log.slice(0, 4)) });
  assert.equal(gap.auditCount, 4);
  const lost = await w.poll({ ...send(1, log.slice(0, 4)), statement: statementOf(4, log.slice(0, 4)) });
  assert.equal(lost.auditCount, 4, 'sent again because the answer was lost');
  assert.equal((await w.poll({ ...send(5, log.slice(4)), statement: statementOf(5, log) })).auditCount, 10);
  const all = await read(w);
  assert.deepEqual(all.entries, log);
  assert.deepEqual(all.heads, [statementOf(2, log.slice(0, 4)), statementOf(5, log)]);
  assert.deepEqual(all.conflicts, []);
  assert.deepEqual(all.epochs, [{ epoch: epochA, count: 10, since: 1_000_000 }]);
  assert.equal(verifyChain(all.entries).is, 'whole');
  const rest = await read(w, '?from=8');
  assert.deepEqual(rest.entries, log.slice(7));
  assert.deepEqual(rest.heads, [statementOf(5, log)]);
  assert.deepEqual((await read(w, '?from=11')).entries, []);
  const detail = await w.host();
  assert.deepEqual(detail.statement, statementOf(5, log));
  assert.equal(detail.hostEpoch, epochA);
  assert.deepEqual(detail.auditCopy, { count: 10, full: false });
  assert.equal(detail.auditFork, undefined);
  assert.equal(detail.fork, undefined);
  for (const query of ['?from=0', '?from=x', '?epoch=x', '?more=1'])
    assert.equal((await w.call('GET', `${url}${query}`)).code(), 'request.invalid', query);
});

test('the copy of a log is for operators and readers', async (t) => {
  const w = await hubWorld(t);
  await w.poll(send(1, log));
  assert.equal((await w.call('GET', url, undefined, w.readerToken)).status, 200);
  assert.equal((await w.call('GET', url, undefined, w.apiKey)).status, 401);
  assert.equal((await w.call('GET', '/v1/hosts/zulu/audit')).code(), 'host.unknown');
  assert.equal((await w.call('DELETE', '/v1/hosts/alpha/audit-fork', undefined, w.apiKey)).status, 401);
});

test('a long log comes in pages, each with the statements that are about it', async (t) => {
  const w = await hubWorld(t);
  const long = logOf(1250);
  for (let at = 0; at < long.length; at += maxAuditEntriesPerPoll) {
    const sent = long.slice(at, at + maxAuditEntriesPerPoll);
    const statement = statementOf(at / maxAuditEntriesPerPoll + 1, long.slice(0, at + sent.length));
    await w.poll({ ...send(at + 1, sent), statement });
  }
  const first = await read(w);
  assert.equal(first.count, 1250);
  assert.equal(first.entries.length, 1000);
  assert.equal(first.heads.length, 10);
  const second = await read(w, '?from=1001');
  assert.deepEqual([...first.entries, ...second.entries], long);
  assert.equal(second.heads.length, 4, 'the one that the page before ended with, and three');
});

test('another epoch is another log, and the one before stays readable', async (t) => {
  const w = await hubWorld(t);
  await w.poll(send(1, log));
  w.advance(5);
  const fresh = logOf(2, ' anew');
  assert.equal((await w.poll({ hostEpoch: epochB, ...send(1, fresh) })).auditCount, 2);
  assert.deepEqual((await read(w)).entries, fresh);
  assert.deepEqual((await read(w, `?epoch=${epochA}`)).entries, log);
  assert.deepEqual(
    (await read(w)).epochs.map(({ epoch, count }) => [epoch, count]),
    [
      [epochA, 10],
      [epochB, 2],
    ],
  );
  assert.equal((await w.host()).auditFork, undefined);
});

const tales: [name: string, polls: (w: World) => Promise<unknown>, text: RegExp][] = [
  ['another text for a held entry', (w) => w.poll(send(4, other.slice(3))), /entry 4 .* two texts/],
  ['an entry that does not follow', (w) => w.poll(send(11, logOf(12, ' else', 1).slice(10))), /entry 11 .* not follow/],
  [
    'fewer entries',
    (w) => w.poll({ statement: statementOf(2, log.slice(0, 9)) }),
    /has 9 entries, statement 1 said 10/,
  ],
  ['another head', (w) => w.poll({ statement: statementOf(2, other) }), /two different entries 10/],
  [
    'a head of the past that is another one',
    (w) => w.poll({ sequence: 1, statement: statementOf(1, other.slice(0, 7)) }),
    /statement 1 names another entry 7/,
  ],
  [
    'a head that the log turns out not to have',
    async (w) => {
      const longer = logOf(12);
      await w.poll({ statement: statementOf(2, logOf(12, ' else', 12)) });
      assert.equal((await w.host()).auditFork, undefined, 'nothing to compare it with yet');
      await w.poll(send(11, longer.slice(10)));
    },
    /statement 2 names another entry 12/,
  ],
];
for (const [name, polls, text] of tales)
  test(`two tales: ${name}`, async (t) => {
    const file = fileIn(t);
    const w = await hubWorld(t, file);
    await w.poll({ ...send(1, log), statement: statementOf(1, log) });
    await polls(w);
    const { auditFork, state } = await w.host();
    assert.match(auditFork?.text ?? '', text);
    assert.equal(state, 'forked');
    assert.match(w.lines.join(''), text, 'the log says it');
    assert.deepEqual((await read(w)).entries.slice(0, 10), log, 'what was held first stands');
    const evidence = await read(w);
    await w.restart();
    assert.deepEqual(await read(w), evidence);
    assert.deepEqual((await w.host()).auditFork, auditFork);
    assert.equal((await w.call('DELETE', '/v1/hosts/alpha/audit-fork', undefined, w.readerToken)).status, 403);
    assert.equal((await w.call('DELETE', '/v1/hosts/alpha/audit-fork')).status, 204);
    assert.equal((await w.host()).auditFork, undefined);
    assert.deepEqual(await read(w), evidence, 'clearing the mark clears no evidence');
  });

test('both texts are kept, each once, and the first mark stands', async (t) => {
  const w = await hubWorld(t);
  await w.poll(send(1, log));
  await w.poll(send(4, other.slice(3)));
  w.advance(1000);
  await w.poll(send(4, other.slice(3)));
  await w.poll(send(9, logOf(10, ' third', 1).slice(8)));
  const { conflicts, entries } = await read(w);
  assert.deepEqual(entries, log);
  assert.deepEqual(
    conflicts.map(({ seq }) => seq),
    [4, 5, 6, 7, 8, 9, 9, 10, 10],
  );
  assert.equal(conflicts[0]?.text, other[3]);
  assert.equal((await w.host()).auditFork?.since, 1_000_000);
});

test('a poll that is not ahead of what the host has said is answered with what it said', async (t) => {
  const file = fileIn(t);
  const w = await hubWorld(t, file);
  const said = statementOf(500, log.slice(0, 2));
  assert.equal((await w.poll({ sequence: 500, statement: said })).newerStatement, undefined);
  for (const sequence of [500, 499, 1])
    assert.deepEqual((await w.poll({ sequence })).newerStatement, said, `poll ${sequence}`);
  await w.restart();
  assert.deepEqual((await w.poll({ sequence: 2, statement: statementOf(2, log.slice(0, 2)) })).newerStatement, said);
  assert.deepEqual((await w.host()).statement, statementOf(2, log.slice(0, 2)), 'what the host said last');
  assert.equal((await w.poll({ sequence: 1, hostEpoch: epochB })).newerStatement, undefined, 'a new epoch starts over');
  assert.deepEqual((await w.poll({ sequence: 3 })).newerStatement, said, 'back in the old one');
  assert.match((await w.host()).fork?.text ?? '', /poll 500 came after 500/);
  assert.equal((await w.poll({ sequence: 501 })).newerStatement, undefined);
});

test('a host that goes back to an epoch it had left is shown as two agents', async (t) => {
  const w = await hubWorld(t);
  await w.poll({ sequence: 1, statement: statementOf(1) });
  await w.poll({ sequence: 1, hostEpoch: epochB });
  assert.equal((await w.host()).fork, undefined);
  await w.poll({ sequence: 2, statement: statementOf(2) });
  assert.match((await w.host()).fork?.text ?? '', /an epoch that this host had left/);
});

test('a statement of another poll is not kept, and shown as two agents', async (t) => {
  const w = await hubWorld(t);
  await w.poll({ sequence: 1, statement: statementOf(1, log) });
  await w.poll({ sequence: 2, statement: statementOf(Number.MAX_SAFE_INTEGER, log) });
  const host = await w.host();
  assert.match(host.fork?.text ?? '', /poll 2 brought a statement that is not its own/);
  assert.deepEqual(host.statement, statementOf(1, log));
  assert.equal((await w.poll({ sequence: 3 })).newerStatement, undefined);
});

test('an unreadable statement is shown as the newest one and stands in the way of nothing', async (t) => {
  const w = await hubWorld(t);
  await w.poll({ sequence: 1, statement: statementOf(1, log) });
  const odd = { text: '{"v":2}', signature: 'of a later release' };
  await w.poll({ sequence: 2, statement: odd });
  const host = await w.host();
  assert.deepEqual(host.statement, odd);
  assert.equal(host.fork ?? host.auditFork, undefined);
  assert.deepEqual((await w.poll({ sequence: 1 })).newerStatement, statementOf(1, log));
});

test('a number that a thief made up stops no host for ever: clearing the fork lets go of it', async (t) => {
  const w = await hubWorld(t);
  await w.poll({ sequence: 1, statement: statementOf(1) });
  const forged = Number.MAX_SAFE_INTEGER;
  await w.poll({ sequence: forged, statement: statementOf(forged) });
  assert.deepEqual((await w.poll({ sequence: 2, statement: statementOf(2) })).newerStatement, statementOf(forged));
  assert.equal((await w.host()).state, 'forked');
  await w.call('DELETE', '/v1/hosts/alpha/fork');
  assert.equal((await w.poll({ sequence: 3, statement: statementOf(3) })).newerStatement, undefined);
  assert.deepEqual((await w.poll({ sequence: 3 })).newerStatement, statementOf(3));
});

test('entries of every kind: giant, empty, of odd characters, and too many', async (t) => {
  const w = await hubWorld(t);
  const odd = ['', 'x'.repeat(8192), '\u0000\uD800', '𝄞'.repeat(100)];
  assert.equal((await w.poll(send(1, odd))).auditCount, 4);
  assert.equal((await w.poll(send(1, odd))).auditCount, 4);
  assert.equal((await w.host()).auditFork, undefined, 'the same texts again');
  assert.deepEqual(
    (await read(w)).entries,
    odd.map((text) => text.toWellFormed()),
  );
  const refused: [string, object][] = [
    ['too long', send(5, ['x'.repeat(8193)])],
    [
      'too many',
      send(
        5,
        Array.from({ length: maxAuditEntriesPerPoll + 1 }, () => ''),
      ),
    ],
    ['none', send(5, [])],
    ['from nowhere', send(0, [''])],
    ['a statement too long', { statement: { text: 'x'.repeat(4097), signature: '' } }],
  ];
  for (const [name, more] of refused) assert.equal((await w.rawPoll(more)).status, 400, name);
  const full = Array.from({ length: maxAuditEntriesPerPoll }, (_, at) => `${at}`.padEnd(8192, '\u0001'));
  assert.equal((await w.poll(send(5, full))).auditCount, 104);
  assert.equal((await w.poll(send(Number.MAX_SAFE_INTEGER, ['']))).auditCount, 104);
});

test('what one host can make the hub keep is bounded', async () => {
  const store = openSqliteStore(':memory:');
  await store.addHost({ hostId: alpha, secret: { salt: '00', hash: '11' }, createdAt: 1 });
  const bounds = { epochs: 3, heads: 10, conflicts: 5 };
  const contact = { at: 1, hostEpoch: epochA, sequence: 1, agentVersion: '1', held: '{}' };
  const day = 24 * 60 * 60_000;
  const count = 60;
  for (let i = 1; i <= count; i += 1) {
    const at = Math.floor((i * day) / 4);
    const head = { epoch: epochA, sequence: i, count: i, head: chainStart, at, signed: statementOf(i) };
    const highest = { ...head, epoch: `${i % 7}`.repeat(32) };
    await store.recordContact(alpha, contact, { statement: { signed: head.signed, head, highest, bounds } });
    await store.keepConflicts(alpha, [{ epoch: epochA, seq: i, text: `${i}`, at }], bounds);
  }
  const heads = (await store.headsBetween(alpha, epochA, 0, count)).map(({ count: at }) => at);
  assert.deepEqual(heads.slice(-10), [51, 52, 53, 54, 55, 56, 57, 58, 59, 60]);
  assert.deepEqual(heads.slice(0, -11), [3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47], 'the last of each day');
  assert.equal((await store.auditConflicts(alpha)).length, 5);
  const epochs = await Promise.all(
    Array.from({ length: 7 }, (_, i) => store.highestStatement(alpha, `${i}`.repeat(32))),
  );
  assert.equal(epochs.filter((found) => found !== undefined).length, 3);
  await store.close();
});

test('a host whose copy is full is told the same count for ever, and shown so', async (t) => {
  const file = fileIn(t);
  const w = await hubWorld(t, file);
  await w.poll(send(1, log.slice(0, 2)));
  const db = new DatabaseSync(file);
  db.prepare('UPDATE audit_copy SET bytes = ?').run(testimonyBounds.auditBytes);
  db.close();
  assert.equal((await w.poll(send(3, log.slice(2)))).auditCount, 2);
  assert.equal((await w.poll({ hostEpoch: epochB, ...send(1, log) })).auditCount, 0, 'also in another epoch');
  assert.equal((await w.host()).auditCopy.full, true);
});

test('appending is refused when the copy has moved on', async () => {
  const store = openSqliteStore(':memory:');
  await store.addHost({ hostId: alpha, secret: { salt: '00', hash: '11' }, createdAt: 1 });
  assert.equal(await store.appendAudit(alpha, epochA, 0, log.slice(0, 2), 1), 'appended');
  assert.equal(await store.appendAudit(alpha, epochA, 0, other.slice(0, 5), 1), 'moved-on');
  assert.equal(await store.appendAudit(alpha, epochA, 3, log.slice(3), 1), 'moved-on');
  assert.deepEqual(await store.auditEntries(alpha, epochA, 1, 9), log.slice(0, 2));
  await store.close();
});
