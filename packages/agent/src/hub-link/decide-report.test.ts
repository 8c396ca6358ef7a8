import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfText } from '@felhom/protocol';
import { decideReport, meteredReportMs } from './decide-report.ts';
import type { ReportDigests, SaidReport } from './decide-report.ts';

const [a, b] = [digestOfText('a'), digestOfText('b')];
const now = 1_000_000_000;
const said = (more: Partial<SaidReport> = {}): SaidReport => ({ state: a, matter: a, at: now - 1000, ...more });
const same: ReportDigests = { state: a, matter: a };
const changed: ReportDigests = { state: b, matter: a };
const matters: ReportDigests = { state: b, matter: b };

const rows: readonly (readonly [
  what: string,
  metered: boolean,
  said: SaidReport | undefined,
  current: ReportDigests,
  is: 'report' | 'heartbeat',
])[] = [
  ['the hub has none', false, undefined, same, 'report'],
  ['nothing changed', false, said(), same, 'heartbeat'],
  ['nothing changed for a year', false, said({ at: 0 }), same, 'heartbeat'],
  ['something changed', false, said(), changed, 'report'],
  ['something changed that matters', false, said(), matters, 'report'],
  ['metered: the hub has none, or asks', true, undefined, same, 'report'],
  ['metered: nothing changed', true, said(), same, 'heartbeat'],
  ['metered: nothing changed for a year', true, said({ at: 0 }), same, 'heartbeat'],
  ['metered: what changed does not matter', true, said(), changed, 'heartbeat'],
  ['metered: it matters', true, said(), matters, 'report'],
  ['metered: a moment before the hour', true, said({ at: now - meteredReportMs + 1 }), changed, 'heartbeat'],
  ['metered: after an hour', true, said({ at: now - meteredReportMs }), changed, 'report'],
  ['metered: the clock was set back by a day', true, said({ at: now + 24 * meteredReportMs }), changed, 'report'],
];
for (const [what, metered, before, current, is] of rows)
  test(`report or heartbeat: ${what} → ${is}`, () => {
    const decision = decideReport(metered, before, current, now);
    assert.equal(decision.is, is);
    if (decision.is === 'heartbeat')
      assert.equal(decision.standing, before?.state, 'what the hub holds is what is signed');
  });
