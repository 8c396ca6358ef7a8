import assert from 'node:assert/strict';
import { it } from 'node:test';
import { endOverdue, readStandstill, writeStandstill } from './standstill.ts';
import { handClock } from './test/hand-clock.ts';
import { memoryApps } from './test/memory-apps.ts';
import { memoryFiles } from './test/memory-files.ts';

const minute = 60_000;

it('apps go on at the end of their standstill, and at once where the clock was set back meanwhile', async () => {
  for (const [untilIn, ended] of [
    [2 * minute, 'none'],
    [10 * minute, 'none'],
    [-1, 'ended'],
    [8 * 60 * minute, 'ended'],
  ] as const) {
    const needs = { files: memoryFiles(), apps: memoryApps(), clock: handClock() };
    await writeStandstill(needs.files, { until: needs.clock.now() + untilIn, stacks: [] });
    assert.equal(await endOverdue(needs, 0), ended, String(untilIn));
    assert.equal((await readStandstill(needs.files)) === 'none', ended === 'ended');
  }
});
