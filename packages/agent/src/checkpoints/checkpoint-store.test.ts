import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestName, GuestUid } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { memoryJournal } from '../guests/test/memory-journal.ts';
import { createCheckpoints, expiredCheckpoints } from './checkpoint-store.ts';

const uid = 'a'.repeat(26) as GuestUid;
const guest = { uid, incarnation: 1, name: 'web' as GuestName };
const hour = 3_600_000;

test('checkpoints are found by name, oldest first, and noted once', () => {
  const store = createCheckpoints(memoryJournal());
  store.note(guest, { name: 'later', takenAt: 2, purpose: 'deploy' });
  store.note(guest, { name: 'sooner', takenAt: 1, purpose: 'update' });
  store.note(guest, { name: 'later', takenAt: 9, purpose: 'update' });
  assert.deepEqual(
    store.of(uid).map(({ name, takenAt, by }) => [name, takenAt, by]),
    [
      ['sooner', 1, 'snapshot'],
      ['later', 2, 'snapshot'],
    ],
  );
  assert.equal(store.find(uid, 'later')?.purpose, 'deploy');
  store.remove(uid, 'later');
  assert.equal(store.find(uid, 'later'), undefined);
});

test('a rollback carries its snapshots into the next incarnation, and nothing of an earlier life', () => {
  const store = createCheckpoints(memoryJournal());
  store.note(guest, { name: 'old', takenAt: 1, purpose: 'deploy' });
  store.note({ ...guest, incarnation: 2 }, { name: 'now', takenAt: 2, purpose: 'deploy' });
  store.note({ ...guest, incarnation: 2 }, { name: 'backup', takenAt: 3, purpose: 'deploy', by: 'backup' });
  for (const _ of [1, 2]) {
    store.carryOver({ ...guest, incarnation: 3 });
    assert.deepEqual(
      store.of(uid).map(({ name, incarnation }) => [name, incarnation]),
      [
        ['old', 1],
        ['now', 3],
        ['backup', 2],
      ],
    );
  }
});

test('what has run out goes, backups too: each counts against the quota', () => {
  const store = createCheckpoints(memoryJournal());
  store.note(guest, { name: 'old', takenAt: 0, purpose: 'deploy' });
  store.note(guest, { name: 'bold', takenAt: 1, purpose: 'deploy', by: 'backup' });
  store.note(guest, { name: 'young', takenAt: 2, purpose: 'deploy' });
  const expired = expiredCheckpoints(store, [guest as GuestRecord], { checkpointHours: 2 }, 2 * hour + 1);
  assert.deepEqual(expired, [
    { guest, name: 'old' },
    { guest, name: 'bold' },
  ]);
});
