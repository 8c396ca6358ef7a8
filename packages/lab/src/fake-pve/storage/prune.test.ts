import { test } from 'node:test';
import assert from 'node:assert/strict';
import { utc } from './naming.ts';
import { markBackups, parseKeepPolicy, showPolicy, type PruneCandidate } from './prune.ts';

function policy(text: string) {
  const parsed = parseKeepPolicy(text);
  assert.ok(parsed.is === 'policy', text);
  return parsed.policy;
}
const on = (iso: string, extra: Partial<PruneCandidate> = {}): PruneCandidate => ({
  ctime: Date.parse(`${iso}Z`) / 1000,
  protected: false,
  standardName: true,
  ...extra,
});

const mornings = [
  on('2026-11-20T02:00:00'),
  on('2026-11-21T02:00:00'),
  on('2026-11-22T02:00:00'),
  on('2026-11-23T02:00:00'),
  on('2026-11-23T14:00:00'),
];

test('which backups stay', () => {
  const cases: [string, string][] = [
    ['keep-last=1', 'remove remove remove remove keep'],
    ['keep-last=2', 'remove remove remove keep keep'],
    ['keep-daily=2', 'remove remove keep remove keep'],
    ['keep-last=1,keep-daily=2', 'remove keep keep remove keep'],
    ['keep-hourly=3', 'remove remove keep keep keep'],
    ['keep-yearly=1,keep-daily=1', 'remove remove remove remove keep'],
    ['keep-weekly=2', 'remove remove keep remove keep'],
    ['keep-monthly=5', 'remove remove remove remove keep'],
    ['keep-all=1', 'keep keep keep keep keep'],
    ['', 'keep keep keep keep keep'],
  ];
  for (const [text, want] of cases) assert.equal(markBackups(mornings, policy(text), utc).join(' '), want, text);
});

test('protected and renamed archives are left alone and do not count', () => {
  const list = [on('2026-11-20T02:00:00'), on('2026-11-23T02:00:00', { protected: true })];
  assert.deepEqual(markBackups(list, policy('keep-last=1'), utc), ['keep', 'protected']);
  const renamed = [on('2026-11-20T02:00:00'), on('2026-11-23T02:00:00', { standardName: false })];
  assert.deepEqual(markBackups(renamed, policy('keep-last=1'), utc), ['keep', 'renamed']);
});

test('of two backups of one second the first in the listing survives', () => {
  const twins = [on('2026-11-23T23:33:36'), on('2026-11-23T23:33:36')];
  assert.deepEqual(markBackups(twins, policy('keep-last=1'), utc), ['keep', 'remove']);
});

test('what a policy text means', () => {
  assert.equal(showPolicy(policy('keep-last=3,keep-daily=7')), 'keep-daily=7, keep-last=3');
  const invalid: [string, RegExp][] = [
    ['keep-last=abc', /^format error\nprune-backups\.keep-last: type check \('integer'\) failed - got 'abc'\n$/],
    ['keep-all=1,keep-last=2', /^keep-all cannot be set together with other options\.\n$/],
    ['keep-none=1', /not defined in schema/],
  ];
  for (const [text, want] of invalid) {
    const parsed = parseKeepPolicy(text);
    assert.ok(parsed.is === 'invalid');
    assert.match(parsed.text, want);
  }
});
