/** What root remembers of the agent's log only grows, outlives every process, and is believed only where root alone writes. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { epochWasLeft, witnessIn } from './witness-count.ts';

function place(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-witness-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'root', 'witness');
}

const [first, second] = ['a'.repeat(32), 'b'.repeat(32)];

test('it answers what it knew, and keeps the larger', (t) => {
  const file = place(t);
  const said = [0, 7, 3, 7, 9].map((count) => witnessIn(file).raise(first, count));
  assert.deepEqual(said, [0, 0, 7, 7, 7]);
  assert.equal(witnessIn(file).raise(first, 0), 9);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a new epoch begins at nothing, and one that was left is never right again', (t) => {
  const file = place(t);
  witnessIn(file).raise(first, 40);
  assert.equal(witnessIn(file).raise(second, 2), 0);
  assert.equal(witnessIn(file).raise(second, 1), 2);
  assert.equal(witnessIn(file).raise(first, 50), epochWasLeft);
  assert.equal(witnessIn(file).raise(second, 3), 2);
});

test('no epoch is forgotten for another one', (t) => {
  const file = place(t);
  const epoch = (at: number): string => at.toString(16).padStart(32, '0');
  witnessIn(file).raise(epoch(0), 1);
  const all = Array.from({ length: 1000 }, (_, at) => `${epoch(at)} 1\n`).join('');
  writeFileSync(file, all);
  assert.throws(() => witnessIn(file).raise(epoch(1000), 1), /1000 epochs/);
  assert.equal(readFileSync(file, 'utf8'), all);
  assert.equal(witnessIn(file).raise(epoch(999), 2), 1);
  assert.equal(witnessIn(file).raise(epoch(0), 2), epochWasLeft);
});

test('what others may write, or does not read, is an error and never a smaller count', (t) => {
  const file = place(t);
  witnessIn(file).raise(first, 5);
  writeFileSync(file, 'many\n');
  assert.throws(() => witnessIn(file).raise(first, 0), /does not read/);
  writeFileSync(file, `${first} 5\n`);
  chmodSync(file, 0o622);
  assert.throws(() => witnessIn(file).raise(first, 0), /others may write it/);
});
