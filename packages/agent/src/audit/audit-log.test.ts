/** The log on a real journal: what is appended is durable, linked, and comes back after a restart. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { guestUid, verifyChain } from '@felhom/protocol';
import { openJournalOn } from '../adapters/sqlite-journal/index.ts';
import { createAuditLog } from './audit-log.ts';

const photos = guestUid.parse('a'.repeat(26));
const mail = guestUid.parse('b'.repeat(26));

function machine() {
  const disk = new DatabaseSync(':memory:');
  let seed = 0;
  const clock = { now: () => 1_800_000_000_000, monotonicMs: () => 0, bootMs: () => 0, sleep: async () => {} };
  const random = { bytes: (count: number) => new Uint8Array(count).fill((seed += 1)) };
  return () => {
    const journal = openJournalOn(disk, { clock, random });
    return { journal, log: createAuditLog(journal) };
  };
}

const event = (text: string, guest?: typeof photos) => ({ at: 7, kind: 'test.said', text, detail: {}, guest });

test('entries of the host and of each guest follow each other over a restart', () => {
  const boot = machine();
  const first = boot();
  first.log.append(event('one'));
  first.log.append(event('two', photos));
  first.log.append(event('three', mail));
  const { log, journal } = boot();
  log.append(event('four', photos));
  assert.equal(log.head().count, 4);
  const texts = log.from(1, 10);
  assert.deepEqual(verifyChain(texts), { is: 'whole', head: log.head() });
  const own = texts.filter((text) => text.includes(photos));
  assert.equal(verifyChain(own, undefined, photos).is, 'whole');
  assert.equal(own.length, 2);
  assert.equal(createAuditLog(journal).ofGuest(photos, 5).length, 2);
  assert.deepEqual(
    log.newest(2).map(({ text }) => text),
    ['three', 'four'],
  );
});

test('a cut, an edit and another order are each named with their place', () => {
  const { log } = machine()();
  for (const text of ['one', 'two', 'three', 'four']) log.append(event(text));
  const texts = log.from(1, 10);
  const [one = '', two = '', three = '', four = ''] = texts;
  const rows: [string, string[], number, string][] = [
    ['cut', [one, three, four], 2, 'cut'],
    ['edited', [one, two.replace('two', 'too'), three], 3, 'edited'],
    ['re-written', [one, two.replace('"v":1', '"v": 1')], 2, 'unreadable'],
    ['swapped', [one, three, two], 2, 'cut'],
    ['twice', [one, two, two], 3, 'forked'],
    ['no entry', [one, '{}'], 2, 'unreadable'],
  ];
  for (const [name, log, at, why] of rows) {
    const check = verifyChain(log);
    assert.ok(check.is === 'broken', name);
    assert.deepEqual([check.at, check.why], [at, why], name);
  }
});

test('what goes with an entry is durable with it, and neither where it cannot be written', () => {
  const { log, journal } = machine()();
  log.append(event('one'), { documents: [{ put: { key: 'x', v: 1, body: 1 } }] });
  assert.equal(journal.get('x')?.body, 1);
  const broken = createAuditLog({
    ...journal,
    append: () => {
      throw new Error('disk full');
    },
  });
  assert.throws(() => broken.append(event('two')), /disk full/);
  assert.equal(broken.head().count, 1);
});

test('a text that is too long is cut, a lone surrogate is mended, and the entry is there', () => {
  const { log } = machine()();
  const entry = log.append({
    at: 1.5,
    kind: 'test.said',
    text: 'x'.repeat(5000),
    detail: { a: `\ud800${'y'.repeat(3000)}`, list: Array.from({ length: 99 }, () => 'z') },
  });
  assert.equal(entry.text.length, 1000);
  assert.equal(verifyChain(log.from(1, 1)).is, 'whole');
});

test('a hub that is behind is served from where it stands, and one that is ahead gets nothing', () => {
  const { log } = machine()();
  for (let n = 0; n < 700; n += 1) log.append(event(String(n)));
  assert.equal(log.from(1, 100).length, 100);
  assert.equal(log.from(650, 100).length, 51);
  assert.deepEqual(log.from(701, 100), []);
  assert.deepEqual(log.from(9_999, 100), []);
});
