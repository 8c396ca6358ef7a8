import { test } from 'node:test';
import type { TestContext } from 'node:test';
import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consumedJobsIn } from './consumed-jobs.ts';

function place(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-consumed-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'consumed-jobs');
}
const [first, second] = ['a'.repeat(26), 'b'.repeat(26)];

test('what was added is there for the next process', (t) => {
  const file = place(t);
  assert.equal(consumedJobsIn(file).has(first), false);
  consumedJobsIn(file).add(first, 0);
  assert.equal(consumedJobsIn(file).has(first), true);
  assert.equal(consumedJobsIn(file).has(second), false);
  assert.equal(consumedJobsIn(file).has('a'.repeat(25)), false);
  assert.equal(readFileSync(file, 'utf8'), `${first} 1970-01-01T00:00:00.000Z\n`);
});

test('half a line of a power cut does not swallow the next', (t) => {
  const file = place(t);
  consumedJobsIn(file).add(first, 0);
  truncateSync(file, 10);
  consumedJobsIn(file).add(second, 0);
  assert.equal(consumedJobsIn(file).has(second), true);
});

test('a list that others may write, or that is a link, is no list', (t) => {
  const file = place(t);
  writeFileSync(file, '');
  chmodSync(file, 0o666);
  assert.throws(() => consumedJobsIn(file).has(first), /others may write it/);
  chmodSync(file, 0o600);
  appendFileSync(file, `${first} x\n`);
  symlinkSync(file, `${file}-link`);
  assert.throws(() => consumedJobsIn(`${file}-link`).has(first), /ELOOP/);
  assert.throws(() => consumedJobsIn(`${file}-link`).add(first, 0), /ELOOP/);
});
