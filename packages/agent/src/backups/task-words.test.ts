/** The lines are those of the recordings 24 and 36. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hear, noWords, tellLine } from './task-words.ts';
import type { TaskWords } from './task-words.ts';

const after = (lines: readonly string[]): TaskWords => lines.reduce(hear, noWords);

const begun = ['INFO: starting new backup job: vzdump 110 --mode snapshot', 'INFO: Starting Backup of VM 110 (lxc)'];
const cases: Readonly<Record<string, [lines: readonly string[], expected: Partial<TaskWords>]>> = {
  'just begun': [begun, { mode: undefined, archiving: false, waitsForOther: false }],
  'behind another one': [['INFO: trying to get global lock - waiting...'], { waitsForOther: true, archiving: false }],
  'its turn at last': [
    ['INFO: trying to get global lock - waiting...', 'INFO: got global lock', ...begun],
    { waitsForOther: false },
  ],
  'snapshot taken, archive not begun': [
    [...begun, 'INFO: backup mode: snapshot', "INFO: create storage snapshot 'vzdump'"],
    { mode: 'snapshot', archiving: false, fellBack: false },
  ],
  'copying while the guest runs': [
    [
      'INFO: mode failure - some volumes do not support snapshots',
      "INFO: trying 'suspend' mode instead",
      'INFO: backup mode: suspend',
      'INFO: starting first sync /proc/31196/root/ to /srv/felhom/dump/vzdump-lxc-100-2026_11_23-23_27_22.tmp',
    ],
    { mode: 'suspend', archiving: false, fellBack: true },
  ],
  archiving: [
    [
      'INFO: backup mode: stop',
      "INFO: creating vzdump archive '/srv/felhom/dump/vzdump-lxc-100-2026_11_23-23_27_22.tar.zst'",
    ],
    { mode: 'stop', archiving: true },
  ],
  'to a backup server': [
    ["INFO: creating Proxmox Backup Server archive 'ct/100/2026-11-23T23:27:22Z'"],
    { archiving: true },
  ],
  warned: [['WARN: unable to set notes', 'TASK WARNINGS: 1'], { warnings: ['unable to set notes'] }],
  failed: [
    ['ERROR: Backup of VM 100 failed - CT is locked (backup)', 'TASK ERROR: job errors'],
    { errors: ['Backup of VM 100 failed - CT is locked (backup)'] },
  ],
};

for (const [name, [lines, expected]] of Object.entries(cases))
  test(`the log of a backup: ${name}`, () => {
    const words = after(lines);
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(words[key as keyof TaskWords], value, key);
  });

test('a log without end is heard to an end', () => {
  const words = after(Array.from({ length: 1000 }, (_, n) => `WARN: ${n} ${'x'.repeat(1000)}`));
  assert.equal(words.warnings.length, 20);
  assert.ok(words.warnings.every((text) => text.length <= 300));
});

test('waiting behind another one is said in words', () => {
  assert.match(tellLine('INFO: trying to get global lock - waiting...'), /another backup job/);
  assert.equal(tellLine('INFO: got global lock'), 'INFO: got global lock');
});
