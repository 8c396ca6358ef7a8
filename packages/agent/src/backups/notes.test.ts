import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestUid } from '@felhom/protocol';
import { formatNotes, hashOfUid, parseNotes } from './notes.ts';

const uid = 'abcdefghijklmnopqrstuvwxy2' as GuestUid;
const id = 'abcdefgh234567zz';

test('notes hold a hash and a nonce, and come back', () => {
  const notes = formatNotes(uid, id);
  assert.match(notes, /^felhom [0-9a-f]{16} [a-z2-7]{16}$/);
  assert.ok(!notes.includes(uid));
  assert.deepEqual(parseNotes(`${notes}\n`), { guest: hashOfUid(uid), id });
});

test('what anybody else wrote is not ours', () => {
  for (const notes of [
    undefined,
    '',
    'web',
    `felhom ${id}`,
    `x ${formatNotes(uid, id)}`,
    `${formatNotes(uid, id)} web`,
  ])
    assert.equal(parseNotes(notes), undefined, String(notes));
});
