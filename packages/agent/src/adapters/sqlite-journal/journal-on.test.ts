import { test } from 'node:test';
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import type { JournalRecord } from '../../kernel/records.ts';
import { JournalError } from '../../kernel/journal.ts';
import { openJournalOn } from './index.ts';
import type { JournalBounds } from './index.ts';

const random = { bytes: (count: number) => new Uint8Array(count).fill(7) };

function memory(bounds?: JournalBounds) {
  let now = 1000;
  const disk = new DatabaseSync(':memory:');
  const clock = { now: () => now };
  const open = () => openJournalOn(disk, { clock, random, ...(bounds === undefined ? {} : { bounds }) });
  return { disk, open, at: (ms: number) => (now = ms) };
}

const started = (saga: string, at = 1000): JournalRecord => ({
  v: 1,
  kind: 'saga-started',
  at,
  saga,
  name: 'toy',
  version: 1,
  params: null,
  lanes: [],
  purpose: 'change',
});
const ended = (saga: string, at = 1000): JournalRecord => ({
  v: 1,
  kind: 'saga-ended',
  at,
  saga,
  end: { is: 'completed' },
});

test('a journal that was opened again refuses the writer before', () => {
  const { open } = memory();
  const old = open();
  const young = open();
  assert.equal(young.epoch, old.epoch + 1);
  assert.throws(
    () => old.append([started('late')]),
    (error) => error instanceof JournalError && error.code === 'journal-fenced',
  );
  assert.equal(old.storedEpoch(), young.epoch);
  young.append([started('mine')]);
  assert.deepEqual(young.openSagas(), ['mine']);
});

test('an append is whole or not at all', () => {
  const { open } = memory();
  const journal = open();
  journal.put({ key: 'guest/a', v: 1, body: 'before' });
  assert.throws(() =>
    journal.append(
      [started('s')],
      [{ put: { key: 'guest/a', v: 1, body: 'after' } }, { put: { key: 'b', v: 1, body: 1n } }],
    ),
  );
  assert.deepEqual(journal.openSagas(), []);
  assert.equal(journal.get('guest/a')?.body, 'before');
  journal.append([started('s')]);
  assert.deepEqual(journal.openSagas(), ['s']);
});

test('documents are found by key and by prefix, replaced and removed', () => {
  const journal = memory().open();
  for (const key of ['guest/b', 'guest/a', 'guest_/x', 'job/1']) journal.put({ key, v: 2, body: { key } });
  assert.deepEqual(
    journal.list('guest/').map(({ key }) => key),
    ['guest/a', 'guest/b'],
  );
  journal.put({ key: 'guest/a', v: 3, body: null });
  assert.deepEqual(journal.get('guest/a'), { key: 'guest/a', v: 3, body: null });
  journal.remove('guest/a');
  assert.equal(journal.get('guest/a'), undefined);
});

test('a record of another release is handed back as unreadable, with what is known of it', () => {
  const { open, disk } = memory();
  const journal = open();
  journal.append([started('s'), { ...ended('s'), v: 2 as 1 }]);
  const [, second] = journal.recordsOf('s');
  assert.equal(second?.kind, 'unreadable');
  assert.match(second?.kind === 'unreadable' ? second.text : '', /record version 2/);
  disk.close();
});

test('ended sagas are kept while they are new or few, and never beyond the limit', () => {
  const { open, at } = memory({ keepNewest: 5, keepForMs: 1000, keepAtMost: 20, keepFacts: 10 });
  const journal = open();
  journal.append([started('open-for-ever')]);
  for (let n = 0; n < 100; n += 1) journal.append([started(`young-${n}`), ended(`young-${n}`)]);
  assert.equal(journal.recentSagas(1000).length, 1 + 20, 'the limit');
  at(10_000);
  journal.append([started('last', 10_000), ended('last', 10_000)]);
  assert.deepEqual(journal.recentSagas(1000), [
    'last',
    'young-99',
    'young-98',
    'young-97',
    'young-96',
    'open-for-ever',
  ]);
  assert.deepEqual(journal.recordsOf('young-95'), []);
  assert.equal(journal.recordsOf('young-96').length, 2);
  for (let n = 0; n < 50; n += 1) journal.append([{ v: 1, kind: 'fact', at: n, topic: 'pass', body: n }]);
  assert.deepEqual(
    journal.facts('pass', 100).map(({ body }) => body),
    [49, 48, 47, 46, 45, 44, 43, 42, 41, 40],
  );
});

test('the file stops growing', () => {
  const { open, disk } = memory({ keepNewest: 50, keepForMs: 0, keepAtMost: 50, keepFacts: 50 });
  const journal = open();
  const pages = (): number => Number(disk.prepare('PRAGMA page_count').get()?.['page_count']);
  const live = (from: number, sagas: number): void => {
    for (let n = from; n < from + sagas; n += 1) {
      journal.append([started(`s${n}`)]);
      journal.append([{ v: 1, kind: 'step-intent', at: 1, saga: `s${n}`, step: 'a', value: 'x'.repeat(500) }]);
      journal.append([ended(`s${n}`)], [{ put: { key: 'latest', v: 1, body: n } }]);
    }
  };
  live(0, 200);
  const settled = pages();
  live(200, 1000);
  assert.ok(pages() <= settled * 1.25, `${settled} pages became ${pages()}`);
});
