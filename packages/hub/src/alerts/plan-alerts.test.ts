import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import type { HostId } from '@felhom/protocol';
import type { Cause, KeptAlert } from './alert.ts';
import { planAlerts, settleTime } from './plan-alerts.ts';

const minute = 60_000;
const alpha = hostId.parse('alpha');
const silence: Cause = {
  key: 'silence:alpha',
  source: 'silence',
  host: alpha,
  severity: 'critical',
  title: 'alpha is silent',
  text: 'no poll',
  next: 'look',
  lastContactAt: 1,
  afterMs: 0,
};
const parked: Cause = {
  ...silence,
  key: 'parked:alpha:s1',
  source: 'report',
  severity: 'warning',
  afterMs: 60 * minute,
};

/** Plays rounds one after the other, as the loop does, and tells what was told: "minute kind cause". */
function play(options: { readonly levels?: number } = {}) {
  let kept: KeptAlert[] = [];
  let closed: { cause: string; at: number }[] = [];
  let minted = 0;
  const told: string[] = [];
  let writes = 0;
  return {
    told,
    writes: () => writes,
    alerts: () => kept,
    ack: () => void (kept = kept.map((alert) => ({ ...alert, ack: { at: 1, by: 'ann' } }))),
    round(atMinute: number, causes: readonly Cause[], more: { snoozed?: readonly HostId[]; undecided?: boolean } = {}) {
      const now = atMinute * minute;
      closed = closed.filter(({ at }) => at > now - 360 * minute);
      const plan = planAlerts({
        now,
        causes,
        alerts: kept,
        closures: new Map(
          [...Map.groupBy(closed, ({ cause }) => cause)].map(([cause, times]) => [cause, times.length]),
        ),
        undecided: () => more.undecided ?? false,
        snoozed: new Set(more.snoozed),
        levels: options.levels ?? 1,
        escalateAfterMs: 30 * minute,
        mintId: () => `${(minted += 1)}`,
      });
      writes += plan.changed.length;
      const changed = new Map(plan.changed.map((alert) => [alert.id, alert]));
      for (const alert of plan.changed) if (alert.state === 'closed') closed.push({ cause: alert.cause, at: now });
      kept = [
        ...kept.map((alert) => {
          const next = changed.get(alert.id);
          return next === undefined ? alert : { ...next, ack: alert.ack };
        }),
        ...plan.changed.filter(({ id }) => !kept.some((alert) => alert.id === id)),
      ].filter(({ id, state }) => state !== 'closed' && !plan.removed.includes(id));
      told.push(...plan.notices.map(({ kind, alert }) => `${atMinute} ${kind} ${alert.cause}`));
    },
  };
}

test('a silence is told once, however often it is seen, and its end once', () => {
  const w = play();
  for (let at = 0; at < 100; at += 1) w.round(at, [silence]);
  assert.equal(w.writes(), 1, 'nothing is written where nothing changed');
  for (let at = 100; at < 110; at += 1) w.round(at, []);
  assert.deepEqual(w.told, ['0 opened silence:alpha', '101 recovered silence:alpha']);
});

test('a cause that has to last is told after that, and one that passes is never told', () => {
  const w = play();
  for (let at = 0; at <= 60; at += 10) w.round(at, [parked]);
  assert.deepEqual(w.told, ['60 opened parked:alpha:s1']);
  const brief = play();
  for (let at = 0; at < 60; at += 10) brief.round(at, [parked]);
  brief.round(60, []);
  brief.round(70, [parked]);
  assert.deepEqual(brief.told, []);
});

test('what nobody can tell ends nothing and begins nothing', () => {
  const w = play();
  w.round(0, [silence]);
  for (let at = 1; at < 60; at += 1) w.round(at, [], { undecided: true });
  w.round(60, [silence]);
  w.round(61, []);
  w.round(61.5, [], { undecided: true });
  w.round(62, []);
  assert.deepEqual(w.told, ['0 opened silence:alpha'], 'the time that it has to be gone begins anew');
  w.round(63, []);
  assert.deepEqual(w.told.slice(1), ['63 recovered silence:alpha']);
});

test('what a host last said does not become an alert while the host is not heard', () => {
  const w = play();
  w.round(0, [parked]);
  w.round(70, [parked], { undecided: true });
  assert.deepEqual(w.told, []);
  w.round(71, [parked]);
  assert.deepEqual(w.told, ['71 opened parked:alpha:s1']);
});

test('what flaps is one alert until it is steady', () => {
  const w = play();
  // Ten minutes down, five minutes up, all day long.
  for (let at = 0; at < 24 * 60; at += 1) w.round(at, at % 15 < 10 ? [silence] : []);
  const opened = w.told.filter((line) => line.includes('opened'));
  assert.ok(opened.length <= 16, `told ${opened.length} times instead of 96`);
  assert.deepEqual(
    [0, 1, 2, 3, 6, 12, 40].map((lately) => settleTime('silence', lately) / minute),
    [1, 2, 4, 8, 60, 60, 60],
  );
});

test('nothing about a snoozed host opens; what is still so at the end of the snooze does', () => {
  const w = play();
  w.round(0, [silence], { snoozed: [alpha] });
  w.round(1, [silence], { snoozed: [alpha] });
  assert.deepEqual(w.told, []);
  w.round(2, [silence]);
  assert.deepEqual(w.told, ['2 opened silence:alpha']);
});

test('an open alert does not escalate while its host is snoozed, and its end is told', () => {
  const w = play({ levels: 2 });
  w.round(0, [silence]);
  w.round(40, [silence], { snoozed: [alpha] });
  w.round(50, [], { snoozed: [alpha] });
  w.round(52, [], { snoozed: [alpha] });
  assert.deepEqual(w.told, ['0 opened silence:alpha', '52 recovered silence:alpha']);
});

const escalations: [name: string, cause: Cause, ackAt: number | undefined, expect: string[]][] = [
  ['critical, nobody takes it', silence, undefined, ['0 opened', '30 escalated', '60 escalated']],
  ['critical, taken at once', silence, 0, ['0 opened']],
  ['critical, taken after the first step', silence, 40, ['0 opened', '30 escalated']],
  ['a warning', { ...silence, severity: 'warning' }, undefined, ['0 opened']],
];
for (const [name, cause, ackAt, expect] of escalations)
  test(`escalation: ${name}`, () => {
    const w = play({ levels: 3 });
    for (let at = 0; at < 200; at += 1) {
      w.round(at, [cause]);
      if (at === ackAt) w.ack();
    }
    assert.deepEqual(
      w.told,
      expect.map((line) => `${line} silence:alpha`),
    );
  });

test('a warning that becomes critical is told again, and milder words do not take that back', () => {
  const w = play();
  const trust: Cause = { ...silence, key: 'trust:alpha', source: 'mark', severity: 'warning' };
  w.round(0, [trust]);
  w.round(1, [{ ...trust, severity: 'critical' }]);
  w.round(2, [trust]);
  assert.equal(w.alerts()[0]?.severity, 'critical');
  w.round(3, [{ ...trust, severity: 'critical' }]);
  w.round(4, []);
  assert.deepEqual(w.told, ['0 opened trust:alpha', '1 raised trust:alpha', '4 recovered trust:alpha']);
});

test('one cause named twice is one alert', () => {
  const w = play();
  w.round(0, [silence, { ...silence, text: 'other words' }]);
  assert.deepEqual(w.told, ['0 opened silence:alpha']);
});

test('a clock that is set back ends nothing early and wedges nothing', () => {
  const w = play();
  w.round(1000, [silence]);
  w.round(1001, []);
  w.round(500, []);
  assert.equal(w.told.length, 1);
  w.round(502, []);
  assert.equal(w.told.length, 2);
});
