import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { StorageId } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/index.ts';
import { chooseSource, classOf } from './choose-source.ts';
import { copy, day, hour, targets } from './test/copies.ts';

const proven = (id: string, storage: string, takenAt: number, over: Partial<BackupRecord> = {}): BackupRecord =>
  copy(id, storage, takenAt, { proven: { at: takenAt, evidence: 'e' as never, rtoMs: 1 }, ...over });

const failedTest = (at: number) => ({ at, evidence: 'e' as never, text: 'its unit crash-loops' });
const choices: readonly [string, readonly BackupRecord[], string | undefined, boolean][] = [
  ['none', [], undefined, false],
  ['the newest of one tier', [proven('a', 'fast', 1), proven('b', 'fast', 2)], 'b', true],
  ['the fast tier at the same age', [proven('a', 'slow', day), proven('b', 'fast', day)], 'b', true],
  ['the fast tier though a day older', [proven('a', 'slow', 2 * day), proven('b', 'fast', day)], 'b', true],
  ['the slow tier when more than a day newer', [proven('a', 'slow', 2 * day + 1), proven('b', 'fast', day)], 'a', true],
  ['proven before newer', [proven('a', 'slow', 1), copy('b', 'fast', 9 * day)], 'a', true],
  ['unproven where no proven one is left', [copy('a', 'slow', 1), copy('b', 'fast', 2)], 'b', false],
  [
    'unproven where the proven one is corrupt',
    [proven('a', 'fast', 2, { integrity: { at: 3, is: 'corrupt', text: 'x' } }), copy('b', 'slow', 1)],
    'b',
    false,
  ],
  ['not a missing one', [proven('a', 'fast', 2, { integrity: { at: 3, is: 'missing', text: 'x' } })], undefined, false],
  ['one that was read back', [proven('a', 'fast', 2, { integrity: { at: 3, is: 'ok', text: '' } })], 'a', true],
  [
    'not one whose last test failed',
    [proven('a', 'fast', 2, { failedTest: failedTest(3) }), proven('b', 'fast', 1)],
    'b',
    true,
  ],
  ['one that passed after a failure', [proven('a', 'fast', 4, { failedTest: failedTest(3) })], 'a', true],
  [
    'not one that a token cannot restore',
    [copy('a', 'fast', 1, { risk: { tokenCanRestore: false, refusals: [], comesBackEmpty: [], devices: false } })],
    undefined,
    false,
  ],
  ['a storage that is no target any more, as slow', [proven('a', 'gone', 1), proven('b', 'fast', 1)], 'b', true],
];
for (const [name, records, id, isProven] of choices)
  test(`chosen: ${name}`, () => {
    for (const order of [records, records.toReversed()]) {
      const choice = chooseSource(order, targets);
      assert.equal(choice.chosen?.id, id);
      assert.equal(choice.proven, isProven);
    }
  });

test('what is left out is named with its reason', () => {
  const { skipped } = chooseSource(
    [
      proven('a', 'fast', 2, { integrity: { at: 3, is: 'corrupt', text: 'another SHA-256' } }),
      proven('b', 'fast', 1, { failedTest: failedTest(3) }),
      proven('c', 'fast', hour),
    ],
    targets,
  );
  assert.deepEqual(
    skipped.map(({ record, why }) => [record.id, why]),
    [
      ['a', 'corrupt: another SHA-256'],
      ['b', 'its last test failed: its unit crash-loops'],
    ],
  );
});

test('a storage that two targets name is as fast as the faster one', () => {
  const both = { ...targets, archive: { storage: 'fast' as StorageId, class: 'slow' as const, offsite: false } };
  assert.equal(classOf({ storage: 'fast' as StorageId }, both), 'fast');
});
