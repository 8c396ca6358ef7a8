import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertList } from '@felhom/protocol';
import type { AlertList } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { renderAlerts } from './alerts.ts';

const plain = createStyle(false);
const now = 1_000_000_000;
const quiet: AlertList = alertList.parse({
  v: 1,
  now,
  watchedAt: now - 3000,
  open: [],
  recent: [],
  routes: [],
  heartbeat: { is: 'off' },
  hosts: [],
});
const open = {
  id: 'a'.repeat(16),
  cause: 'silence:alpha',
  host: 'alpha',
  severity: 'critical',
  title: 'alpha is silent',
  text: 'The host did not poll.',
  next: 'look at the box',
  since: now - 600_000,
  openedAt: now - 600_000,
  lastContactAt: now - 900_000,
  levels: 1,
} as const;

test('a quiet hub says so, and what is missing for the day on which it is not', () => {
  assert.equal(
    renderAlerts(quiet, plain),
    [
      'Nothing is the matter.',
      '',
      'No route is configured: nobody is told. See docs/how-to/alerts.md',
      '',
      'No heartbeat is configured: nobody notices when the hub itself is gone.',
      '',
    ].join('\n'),
  );
});

test('a hub that does not look any more is not taken for a quiet one', () => {
  const { watchedAt: _watchedAt, ...off } = quiet;
  assert.match(renderAlerts(off, plain), /^The hub does not watch/);
  assert.match(renderAlerts({ ...quiet, watchedAt: now - 61_000 }, plain), /^The hub last looked 1 min 1 s ago/);
});

test('an open alert shows since when, the last contact, who takes it and what to do', () => {
  const text = renderAlerts(alertList.parse({ ...quiet, open: [open] }), plain);
  assert.match(
    text,
    /^critical alpha is silent\n {2}since 10 min ago, last contact 15 min ago; not acknowledged \(felhom alerts ack a{16}\)\n/,
  );
  assert.match(text, /next: look at the box/);
  const taken = renderAlerts(alertList.parse({ ...quiet, open: [{ ...open, ack: { at: now, by: 'ann' } }] }), plain);
  assert.match(taken, /acknowledged by ann/);
});

test('a route shows how it is doing, a heartbeat when it is late, a snoozed host how long', () => {
  const text = renderAlerts(
    alertList.parse({
      ...quiet,
      routes: [
        {
          name: 'ops',
          kind: 'webhook',
          health: 'degraded',
          lastSuccessAt: now - 3_600_000,
          lastFailure: { at: now - 5000, text: 'it answered with status 500' },
          failures: 2,
          waiting: 3,
          held: 0,
          lost: 1,
        },
      ],
      heartbeat: {
        is: 'on',
        everySeconds: 60,
        lastSuccessAt: now - 600_000,
        lastFailure: { at: now, text: 'status 500' },
      },
      hosts: [{ hostId: 'alpha', state: 'up', windowSeconds: 159, snoozedUntil: now + 7_200_000 }],
    }),
    plain,
  );
  assert.match(text, /ops +webhook +degraded +1 h ago +3 +- +1 +5 s ago: it answered with status 500/);
  assert.match(text, /Heartbeat of the hub: 10 min ago; status 500/);
  assert.match(text, /Snoozed: alpha \(2 h left\)/);
});

test('words of a host neither move the cursor nor forge a line', () => {
  const hostile = '\u001b[2J\r\nforged';
  const closed = { ...open, id: 'b'.repeat(16), closedAt: now };
  const list = alertList.parse({
    ...quiet,
    open: [{ ...open, title: hostile, text: hostile, next: hostile }],
    recent: [{ ...closed, title: hostile }],
  });
  const text = renderAlerts(list, plain);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f]/);
  assert.doesNotMatch(text, /^\s*forged/m);
});
