import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCatalogue, explain, isErrorCode, reason } from './errors.ts';

test('every row has a well-formed code, a title and advice that reads as sentences', () => {
  for (const [code, entry] of Object.entries(errorCatalogue)) {
    assert.match(code, /^[a-z]+(?:-[a-z]+)*\.[a-z]+(?:-[a-z]+)*$/);
    assert.match(entry.title, /^(?:[A-Z]|pveproxy)[^.]+$/, code);
    assert.match(entry.advice, /^\S.*\.$/, code);
  }
});

test('a reason takes its retry class from the catalogue and keeps the detail apart from the text', () => {
  assert.deepEqual(reason('pve.vmid-taken', 'cannot restore CT 9001: it exists'), {
    code: 'pve.vmid-taken',
    text: 'cannot restore CT 9001: it exists',
    retry: 'never',
  });
  assert.equal(reason('pve.unauthorized', 'cannot read', 'more').detail, 'more');
});

test('a code of another version explains nothing instead of failing', () => {
  assert.equal(explain('pve.from-the-future'), undefined);
  assert.equal(explain('toString'), undefined);
  assert.equal(isErrorCode('pve.timeout'), true);
});
