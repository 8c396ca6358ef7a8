/** Nothing that a hub in the wrong hands does comes to anything, and all of it can be found afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSshKeygen } from '../stage/openssh.ts';
import { tricks } from './catalog.ts';
import { checkTheJudge } from './control.ts';
import { withFolder } from './folder.ts';
import { placesOf, playAll } from './play-all.ts';
import { isBad } from './run-trick.ts';

const tool = findSshKeygen();

test('a hub in the wrong hands gets nothing', { skip: tool.is === 'missing' ? tool.text : false }, async () => {
  await withFolder(async (folder) => {
    assert.equal(await checkTheJudge(folder), undefined);
    const verdicts = await playAll(placesOf(undefined), folder);
    assert.equal(verdicts.length, tricks.length);
    const bad = verdicts.filter(isBad);
    assert.deepEqual(bad, [], JSON.stringify(bad, undefined, 1));
  });
});

test('every trick has a name of its own', () => {
  assert.equal(new Set(tricks.map(({ name }) => name)).size, tricks.length);
});
