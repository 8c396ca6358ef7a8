import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childTicks, cpuTicks, field, processNow, stateAndParent } from './process-cost.ts';

test('CPU time is found behind a name with spaces and brackets', () => {
  const stat = '42 (node (a b) c) S 1 42 42 0 -1 4194560 9000 0 3 0 120 30 1 2 20 0 11 0 100 1 2';
  assert.equal(cpuTicks(stat), 150);
  assert.equal(childTicks(stat), 3);
  assert.deepEqual(stateAndParent(stat), { state: 'S', parent: 1 });
});

test('a process and its children of now', () => {
  const { rssMiB, children, stuck } = processNow(process.pid);
  assert.ok(rssMiB > 10);
  assert.deepEqual([children, stuck], [0, 0]);
});

test('a field of a status is found by its whole name', () => {
  const status = 'Name:\tnode\nVmRSS:\t  61976 kB\nRssAnon:\t   15448 kB\nThreads:\t7\n';
  assert.equal(field(status, 'RssAnon'), 15_448);
  assert.equal(field(status, 'Threads'), 7);
  assert.throws(() => field(status, 'Rss'), /cannot read Rss/);
});
