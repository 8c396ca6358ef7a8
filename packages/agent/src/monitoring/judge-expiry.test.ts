import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeExpiry } from './judge-expiry.ts';

test('what ends is told in time, and more urgently in the last days', () => {
  const now = Date.UTC(2026, 10, 26, 12);
  const day = 24 * 3_600_000;
  const advice = { text: 'Renew it.' };
  for (const [days, want] of [
    [30, undefined],
    [10.1, undefined],
    [10, 'warning'],
    [3.1, 'warning'],
    [3, 'critical'],
    [-400, 'critical'],
  ] as const) {
    const [finding] = judgeExpiry([{ what: 'token of the agent', endsAt: now + days * day, advice }], 10, now);
    assert.equal(finding?.severity, want, String(days));
    if (finding !== undefined) assert.match(finding.text, days < 0 ? /ended on 2025-10-/ : /ends on 2026-1[12]-/);
  }
});
