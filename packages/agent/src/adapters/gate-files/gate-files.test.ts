import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGateFiles } from './index.ts';

test('the files of the gate are read anew each time; what does not read is as if it were not there', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-gate-files-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const read = createGateFiles(folder);
  assert.deepEqual(read(), { trial: undefined, last: undefined });
  const write = (name: string, ...lines: string[]): void => writeFileSync(join(folder, name), `${lines.join('\n')}\n`);

  const about = ['slot=a', 'previous=base', 'build=0.2.0+abc'];
  write('trial', ...about, 'phase=try', 'began=1800000000');
  const trial = { slot: 'a', previous: 'base', build: '0.2.0+abc', why: 'none', since: 1_800_000_000_000 };
  assert.deepEqual(read().trial, { ...trial, watched: 'trial' });
  write('trial', ...about, 'phase=control', 'why=proxmox', 'began=1800000000', 'seconds=4', 'boot=x');
  assert.deepEqual(read().trial, { ...trial, watched: 'previous', why: 'proxmox' });

  write('last', 'verdict=reverted', ...about, 'why=crash-loop', 'pinned=yes', 'at=1800000100');
  const last = { ...trial, verdict: 'reverted', why: 'crash-loop', pinned: true, since: 1_800_000_100_000 };
  assert.deepEqual(read().last, { ...last, inForce: undefined });
  write('last', 'verdict=reverted', ...about, 'in_force=base', 'why=crash-loop', 'pinned=yes', 'at=1800000100');
  assert.deepEqual(read().last, { ...last, inForce: 'base' });

  for (const bad of ['verdict=perhaps', 'at=soon', 'build=a b', 'slot=../x', 'in_force=/tmp']) {
    write('last', 'verdict=good', ...about, 'why=none', 'pinned=no', 'at=1', bad);
    assert.equal(read().last, undefined, bad);
  }
});
