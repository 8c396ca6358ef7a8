import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planPrune } from '../catalogue/retention.ts';
import { day, record, tierOf, uidOf } from '../catalogue/test/builders.ts';
import { retentionFindings } from './retention-findings.ts';

const now = 100 * day;

test('copies that a mass change holds are told, those that nothing holds are not', () => {
  for (const [massChange, told] of [
    [true, /^31 copies of guest web on tier nightly are past their time and kept: .*mass change/],
    [false, undefined],
  ] as const) {
    const records = Array.from({ length: 40 }, (_, n) =>
      record(String.fromCodePoint(97 + (n % 26)) + (n < 26 ? 'a' : 'b'), now - n * day, {
        massChange: massChange && n === 1,
      }),
    );
    const plan = planPrune({
      records,
      tier: tierOf('*-*-* 03:00', { keep: { days: 7, weeks: 4, months: 0, onDemand: 2 } }),
      floors: undefined,
      policy: { snapshotsPerGuest: 3, checkpointHours: 24 },
      now,
      listed: new Set(records.map(({ archive }) => archive)),
      inUse: new Set(),
      acknowledged: new Set(),
    });
    const [finding] = retentionFindings([{ guest: { uid: uidOf('a'), name: 'web' }, tier: 'nightly', plan }], now);
    if (told === undefined) assert.equal(finding, undefined);
    else assert.match(finding?.text ?? '', told);
  }
});
