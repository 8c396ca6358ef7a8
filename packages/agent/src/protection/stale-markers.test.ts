import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestUid } from '@felhom/protocol';
import { memoryJournal } from '../guests/test/memory-journal.ts';
import { createStaleMarkers } from './stale-markers.ts';

const uid = guestUid.parse('a'.repeat(26));
const other = guestUid.parse('b'.repeat(26));
const of = (archive: string, guest = uid) => ({ guest, archive: `backup:backup/${archive}` });

test('what was there at the first look is not due, and what came since is, until the marker is written', () => {
  const journal = memoryJournal();
  assert.deepEqual(createStaleMarkers(journal).due([of('old')]), []);
  const markers = createStaleMarkers(journal);
  assert.deepEqual(markers.due([of('old'), of('new')]), [uid]);
  // Refused, or the process died: nobody has renewed anything.
  assert.deepEqual(markers.due([of('old'), of('new')]), [uid]);
  assert.deepEqual(createStaleMarkers(journal).due([of('old'), of('new')]), [uid]);
  assert.deepEqual(markers.due([of('old'), of('new'), of('theirs', other)]), [uid, other]);
  markers.renewed(uid);
  assert.deepEqual(markers.due([of('old'), of('new'), of('theirs', other)]), [other]);
  assert.deepEqual(createStaleMarkers(journal).due([of('old'), of('new'), of('theirs', other)]), [other]);
});

test('one that came while the marker was being written is due again', () => {
  const markers = createStaleMarkers(memoryJournal());
  markers.due([]);
  assert.deepEqual(markers.due([of('first')]), [uid]);
  markers.renewed(uid);
  assert.deepEqual(markers.due([of('first'), of('second')]), [uid]);
});
