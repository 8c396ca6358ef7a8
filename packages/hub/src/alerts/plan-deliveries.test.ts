import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import type { Alert, Notice } from './alert.ts';
import type { HeldDelivery, RouteRecord } from './alert-store.ts';
import { noticeMessage } from './message.ts';
import { digestEveryMs, planDeliveries } from './plan-deliveries.ts';
import { nextTry, routeCauses, routeHealth } from './route-health.ts';
import { alertSettings, heartbeatSettings, rankedRoutes } from './settings.ts';

const night = Date.parse('2026-01-10T23:00:00Z');
const noon = Date.parse('2026-01-10T12:00:00Z');
const quietHours = { from: '22:00', to: '07:00', timeZone: 'UTC' };
const hook = { type: 'webhook', url: 'https://a.example/x', secretFile: '/s' };

function alertOf(more: Partial<Alert> = {}): Alert {
  return {
    v: 1,
    id: 'a'.repeat(16),
    cause: 'silence:alpha',
    source: 'silence',
    host: hostId.parse('alpha'),
    severity: 'critical',
    title: 'alpha is silent',
    text: 'The host did not poll.',
    next: 'look at the box',
    lastContactAt: noon - 600_000,
    state: 'open',
    since: noon - 300_000,
    openedAt: noon - 300_000,
    levels: 1,
    levelAt: noon,
    ...more,
  };
}
const notice = (more: Partial<Alert> = {}, kind: Notice['kind'] = 'opened'): Notice => ({
  kind,
  alert: alertOf(more),
  lately: 0,
});
const record: RouteRecord = {
  lastSuccessAt: noon,
  lastFailure: undefined,
  failures: 0,
  failingSince: undefined,
  testedAt: noon,
  digestAt: undefined,
  lost: 0,
  waiting: 0,
  held: 0,
};

function plan(
  routes: Record<string, object>,
  notices: readonly Notice[],
  more: { now?: number; sent?: number; held?: readonly HeldDelivery[]; records?: Record<string, RouteRecord> } = {},
) {
  const ranked = rankedRoutes(alertSettings.parse({ routes })).routes;
  let minted = 0;
  const known = more.records ?? Object.fromEntries(Object.keys(routes).map((name) => [name, record]));
  return planDeliveries({
    now: more.now ?? noon,
    notices,
    routes: ranked,
    records: new Map(Object.entries(known)),
    sent: new Map(Object.keys(routes).map((name) => [name, more.sent ?? 0])),
    held: more.held ?? [],
    mintId: () => `d${(minted += 1)}`,
  });
}
const summary = (planned: ReturnType<typeof plan>) =>
  planned.deliveries.map(
    ({ route, message, heldBy }) => `${route} ${message.kind}${heldBy === undefined ? '' : ` held:${heldBy}`}`,
  );

const threeLevels = {
  first: hook,
  also: hook,
  boss: { ...hook, level: 5 },
  loud: { ...hook, minSeverity: 'critical' },
};
const rows: [
  name: string,
  routes: Record<string, object>,
  notice: Notice,
  now: number,
  sent: number,
  expect: string[],
][] = [
  ['opened: the first level', threeLevels, notice(), noon, 0, ['first opened', 'also opened', 'loud opened']],
  [
    'a warning: not where critical is asked for',
    threeLevels,
    notice({ severity: 'warning' }),
    noon,
    0,
    ['first opened', 'also opened'],
  ],
  ['escalated: the next level alone', threeLevels, notice({ levels: 2 }, 'escalated'), noon, 0, ['boss escalated']],
  [
    'recovered: everybody who was told',
    threeLevels,
    notice({ levels: 2 }, 'recovered'),
    noon,
    0,
    ['first recovered', 'also recovered', 'boss recovered', 'loud recovered'],
  ],
  [
    'recovered before it escalated',
    threeLevels,
    notice({}, 'recovered'),
    noon,
    0,
    ['first recovered', 'also recovered', 'loud recovered'],
  ],
  [
    'a route that fails is told over all the others',
    threeLevels,
    notice({ source: 'route', route: 'first' }),
    noon,
    0,
    ['also opened', 'boss opened', 'loud opened'],
  ],
  [
    'a warning in quiet hours waits',
    { a: { ...hook, quietHours } },
    notice({ severity: 'warning' }),
    night,
    0,
    ['a opened held:quiet'],
  ],
  ['a critical alert does not', { a: { ...hook, quietHours } }, notice(), night, 0, ['a opened']],
  ['nor does its end', { a: { ...hook, quietHours } }, notice({}, 'recovered'), night, 0, ['a recovered']],
  ['by day nothing waits', { a: { ...hook, quietHours } }, notice({ severity: 'warning' }), noon, 0, ['a opened']],
  ['the last one of the hour', { a: { ...hook, perHour: 5 } }, notice(), noon, 4, ['a opened']],
  ['one too many for the hour', { a: { ...hook, perHour: 5 } }, notice(), noon, 5, ['a opened held:rate']],
];
for (const [name, routes, given, now, sent, expect] of rows)
  test(`deliveries: ${name}`, () => assert.deepEqual(summary(plan(routes, [given], { now, sent })), expect));

const held = (count: number, heldBy: 'quiet' | 'rate'): HeldDelivery[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `h${index}`,
    route: 'a',
    heldBy,
    message: noticeMessage(notice({ title: `thing ${index}`, severity: 'warning' }), noon),
  }));

test('what quiet hours held back comes out as one message after them', () => {
  const routes = { a: { ...hook, quietHours } };
  assert.deepEqual(summary(plan(routes, [], { now: night, held: held(3, 'quiet') })), []);
  const after = plan(routes, [], { held: held(3, 'quiet') });
  assert.deepEqual(summary(after), ['a digest']);
  assert.deepEqual(after.releasedHeld, ['h0', 'h1', 'h2']);
  assert.match(after.deliveries[0]?.message.text ?? '', /thing 0[\s\S]*thing 2/);
  assert.deepEqual(summary(plan(routes, [], { held: held(1, 'quiet') })), ['a opened'], 'a single one as it was');
});

test('a flood goes out as one message every ten minutes, and what does not even fit is counted', () => {
  const routes = { a: { ...hook, perHour: 5 } };
  const digestAt = noon - digestEveryMs + 1;
  assert.deepEqual(summary(plan(routes, [], { held: held(3, 'rate'), records: { a: { ...record, digestAt } } })), []);
  const due = plan(routes, [], { held: held(80, 'rate'), records: { a: { ...record, digestAt: digestAt - 1 } } });
  assert.deepEqual(summary(due), ['a digest']);
  assert.equal(due.routes[0]?.digestAt, noon);
  assert.match(due.deliveries[0]?.message.text ?? '', /and 30 more/);
  const records = { a: { ...record, digestAt: noon } };
  const full = plan(routes, [notice(), notice()], { sent: 5, held: held(499, 'rate'), records });
  assert.deepEqual([full.deliveries.length, full.routes[0]?.addLost], [1, 1]);
});

test('a route without traffic gets a message of its own once a week, never in quiet hours, and one with traffic none', () => {
  const week = 7 * 86_400_000;
  const routes = { a: { ...hook, quietHours } };
  const at = (now: number, of: Partial<RouteRecord>) => plan(routes, [], { now, records: { a: { ...record, ...of } } });
  assert.deepEqual(summary(at(noon + week, {})), ['a test']);
  assert.equal(at(noon + week, {}).routes[0]?.testedAt, noon + week);
  assert.deepEqual(summary(at(noon + week - 1, {})), []);
  assert.deepEqual(summary(at(noon + week, { lastSuccessAt: noon + 1 })), []);
  assert.deepEqual(summary(at(night + week, {})), []);
  assert.deepEqual(
    plan(routes, [], { records: {} }).routes,
    [{ route: 'a', testedAt: noon }],
    'a new route starts its clock',
  );
  assert.deepEqual(summary(plan({ a: { ...hook, selfTestEveryHours: 0 } }, [], { now: noon + 9 * week })), []);
});

test('a message says what, which host, since when, last contact and what to do next', () => {
  const { subject, text } = noticeMessage(notice(), noon);
  assert.equal(subject, '[felhom] alert: alpha is silent');
  assert.equal(
    text,
    [
      'The host did not poll.',
      '',
      'Host: alpha',
      'Since: 2026-01-10 11:55 UTC (5 min)',
      'Last contact before: 2026-01-10 11:50 UTC (10 min ago)',
      'Next: look at the box',
      'Take it: felhom alerts ack aaaaaaaaaaaaaaaa',
    ].join('\n'),
  );
  const over = noticeMessage({ ...notice({ clearSince: noon, closedAt: noon }, 'recovered'), lately: 2 }, noon);
  assert.match(over.text, /^Over: alpha is silent. It lasted 5 min\./);
  assert.match(over.text, /came and went 2 times/);
});

test('tries are spread, grow to a quarter of an hour, and end after a day', () => {
  const waits = [0, 1, 2, 10].map((attempts) => nextTry(attempts, 0, 0, 0.5));
  assert.deepEqual(waits, [{ dueAt: 10_000 }, { dueAt: 20_000 }, { dueAt: 40_000 }, { dueAt: 900_000 }]);
  assert.deepEqual([nextTry(0, 0, 0, 0), nextTry(0, 0, 0, 0.999)], [{ dueAt: 5000 }, { dueAt: 14_990 }]);
  assert.equal(nextTry(100, 0, 86_400_000 - 900_000 + 1, 0.5), 'lost');
});

test('a route that fails for half an hour is the matter itself', () => {
  const { routes } = rankedRoutes(alertSettings.parse({ routes: { a: hook, b: hook } }));
  const failing = (minutes: number) =>
    new Map([['a', { ...record, failures: 3, failingSince: noon - minutes * 60_000 }]]);
  assert.deepEqual(routeCauses(routes, failing(29), noon), []);
  assert.deepEqual(
    routeCauses(routes, failing(30), noon).map(({ key }) => key),
    ['route:a'],
  );
  assert.deepEqual(
    [undefined, { ...record, lastSuccessAt: undefined }, record, failing(5).get('a'), failing(30).get('a')].map((of) =>
      routeHealth(of, noon),
    ),
    ['untried', 'untried', 'ok', 'degraded', 'failing'],
  );
});

const mail = {
  type: 'smtp',
  host: 'mail.example',
  port: 587,
  security: 'starttls',
  from: 'hub@a.example',
  to: ['b@a.example'],
};
const refused: [name: string, route: object][] = [
  ['a webhook in the clear', { ...hook, url: 'http://a.example/' }],
  ['credentials in an address', { ...hook, url: 'https://u:p@a.example/' }],
  ['no address', { ...hook, url: 'nonsense' }],
  ['another scheme', { ...hook, url: 'file:///etc/passwd' }],
  ['a secret in the configuration', { ...hook, secret: 'x' }],
  ['mail in the clear beyond loopback', { ...mail, security: 'none' }],
  ['a user without a password', { ...mail, userFile: '/u' }],
  ['a recipient that would add a header', { ...mail, to: ['b@a.example\r\nBcc: c@a.example'] }],
  ['no recipient', { ...mail, to: [] }],
  ['a time zone that does not exist', { ...hook, quietHours: { ...quietHours, timeZone: 'Mars/Olympus' } }],
  ['a time that does not exist', { ...hook, quietHours: { ...quietHours, from: '24:00' } }],
  ['quiet all day', { ...hook, quietHours: { ...quietHours, to: '22:00' } }],
];
for (const [name, route] of refused)
  test(`configuration: ${name} is refused`, () =>
    assert.equal(alertSettings.safeParse({ routes: { a: route } }).success, false));

test('configuration: what is right is taken', () => {
  const local = { type: 'ntfy', url: 'http://127.0.0.1:1/', topic: 'felhom' };
  const routes = { a: hook, b: mail, c: { ...mail, host: 'localhost', security: 'none' }, d: local };
  assert.equal(alertSettings.safeParse({ routes }).success, true);
  assert.equal(heartbeatSettings.safeParse({ url: 'https://a.example/ping' }).success, true);
  assert.equal(heartbeatSettings.safeParse({ url: 'https://a.example/ping', urlFile: '/f' }).success, false);
  assert.equal(heartbeatSettings.safeParse({}).success, false);
});
