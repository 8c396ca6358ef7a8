import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolRow } from '../ports/host-facts.ts';
import { judgePools } from './judge-pools.ts';
import type { PoolMemory } from './judge-pools.ts';

const zfs = (change: object = {}): PoolRow => ({
  is: 'zfs',
  name: 'rpool',
  health: 'ONLINE',
  usedPercent: 40,
  errors: 'No known data errors',
  ...change,
});
const thin = (usedPercent: number, metadataPercent = 10): PoolRow => ({
  is: 'lvm-thin',
  name: 'pve/data',
  usedPercent,
  metadataPercent,
});

const rows: readonly [name: string, pools: readonly PoolRow[], want: readonly string[]][] = [
  ['no pool at all', [], []],
  ['all is well', [zfs(), thin(40)], []],
  ['only the kernel tells', [zfs({ usedPercent: undefined, errors: undefined })], []],
  ['a disk is lost', [zfs({ health: 'DEGRADED' })], ['pool.unwell rpool warning']],
  ['too many are', [zfs({ health: 'FAULTED', usedPercent: undefined })], ['pool.unwell rpool critical']],
  ['it hangs', [zfs({ health: 'SUSPENDED' })], ['pool.unwell rpool critical']],
  ['data is lost', [zfs({ errors: '3 data errors, use -v for a list' })], ['pool.data-errors rpool critical']],
  ['it fills', [zfs({ usedPercent: 80 })], ['pool.full rpool warning']],
  ['it is full', [zfs({ usedPercent: 97 })], ['pool.full rpool critical']],
  ['a thin pool fills', [thin(85)], ['pool.full pve/data warning']],
  ['its metadata is full', [thin(10, 95)], ['pool.metadata-full pve/data critical']],
  [
    'everything at once',
    [zfs({ health: 'DEGRADED', errors: 'List of errors unavailable', usedPercent: 93 })],
    ['pool.unwell rpool warning', 'pool.data-errors rpool critical', 'pool.full rpool critical'],
  ],
];
for (const [name, pools, want] of rows)
  test(`pools: ${name}`, () => {
    const { findings } = judgePools(pools, new Set(), 5);
    assert.deepEqual(
      findings.map(({ key, subject, severity }) => `${key} ${subject} ${severity}`),
      want,
    );
    assert.ok(findings.every(({ advice, since }) => advice.command !== undefined && since === 5));
  });

test('one that goes up and down about its mark does not come and go', () => {
  let memory: PoolMemory = new Set();
  const told = [79, 80, 79, 78, 76, 79, 80, 92, 90, 88].map((percent) => {
    const judged = judgePools([thin(percent)], memory, 1);
    memory = judged.memory;
    return judged.findings[0]?.severity ?? '-';
  });
  assert.deepEqual(told, [
    '-',
    'warning',
    'warning',
    'warning',
    '-',
    '-',
    'warning',
    'critical',
    'critical',
    'warning',
  ]);
});
