import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archivesInUse } from './under-way.ts';

test('what is read is in use, what is being pruned is not for that', () => {
  const work = [
    { name: 'prune-backup', archive: 'backup:backup/a' },
    { name: 'restore-test', archive: 'backup:backup/b' },
    { name: 'backup', archive: undefined },
  ];
  assert.deepEqual([...archivesInUse(work)], ['backup:backup/b']);
  const both = [...work, { name: 'recover-guest', archive: 'backup:backup/a' }];
  assert.deepEqual([...archivesInUse(both)].toSorted(), ['backup:backup/a', 'backup:backup/b']);
});
