import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carrySince, finding } from './finding.ts';
import type { Finding } from './finding.ts';

const one: Finding = {
  key: 'guest.absent-from-desired',
  severity: 'warning',
  subject: 'photos',
  text: 'guest photos is on this host but not in desired state',
  advice: { text: 'put it back, or remove it by a signed job', command: 'felhom plan' },
  since: 1000,
};

for (const [name, change, ok] of [
  ['as it should be', {}, true],
  ['without a command', { advice: { text: 'wait' } }, true],
  ['without advice', { advice: undefined }, false],
  ['with empty advice', { advice: { text: '' } }, false],
  ['with a key in prose', { key: 'Guest gone!' }, false],
  ['of unknown severity', { severity: 'fatal' }, false],
  ['of endless text', { text: 'x'.repeat(1001) }, false],
  ['with a field more', { volid: 'a:b' }, false],
] as const)
  test(`a finding ${name} is ${ok ? 'taken' : 'refused'}`, () => {
    assert.equal(finding.safeParse({ ...one, ...change }).success, ok);
  });

test('a finding that stays keeps its first day; another subject, or one that had left, starts anew', () => {
  const later = { ...one, since: 5000 };
  assert.deepEqual(carrySince([later], [one]), [one]);
  assert.deepEqual(carrySince([{ ...later, subject: 'mail' }], [one]), [{ ...later, subject: 'mail' }]);
  assert.deepEqual(carrySince([later], []), [later]);
});
