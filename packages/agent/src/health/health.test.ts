import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WitnessSample } from '../ports/guest-witness.ts';
import { emptyHistory, withEvent, withSample } from './history.ts';
import type { History } from './history.ts';
import { judge } from './judge.ts';
import type { Health, Terms } from './judge.ts';
import { readFacts } from './witness-facts.ts';

const t0 = 1_795_481_000_000;
const markers = { 'felhom-ready.service': '100', 'felhom-witness.service': '101' };

type Units = Readonly<Record<string, string | { readonly inode: string; readonly populated: boolean }>>;
interface Look {
  readonly boot?: string;
  readonly frozen?: boolean;
  readonly init?: boolean;
  readonly units?: Units;
  /** Without beats; one of the time of the look is put in. */
  readonly facts?: readonly string[];
  readonly beat?: readonly number[];
  readonly oomKills?: number;
}

const seen = (at: number, look: Look): WitnessSample => ({
  is: 'seen',
  boot: look.boot ?? 'b1',
  frozen: look.frozen ?? false,
  init: look.init ?? true,
  units: new Map(
    Object.entries(look.units ?? markers).map(([unit, as]) => [
      unit,
      typeof as === 'string' ? { inode: as, populated: true } : as,
    ]),
  ),
  facts: [...(look.beat ?? [0]).map((s) => `beat.${Math.floor(at / 1000) + s}`), 'main', ...(look.facts ?? ['ok.web'])],
  oomKills: look.oomKills ?? 0,
});

const stopped: WitnessSample = { is: 'stopped' };
type Step = Look | WitnessSample | { readonly event: readonly [string, 'came' | 'went'] };

/** A look every five seconds; events fall between two looks. */
function fold(steps: readonly Step[]): { history: History; now: number } {
  let history = emptyHistory;
  let now = t0;
  for (const step of steps) {
    if ('event' in step) history = withEvent(history, now + 1, ...step.event);
    else {
      now += 5_000;
      history = withSample(history, { at: now, sample: 'is' in step ? step : seen(now, step) });
    }
  }
  return { history, now };
}

const times = (n: number, ...steps: readonly Step[]): readonly Step[] => Array.from({ length: n }, () => steps).flat();

function judged(steps: readonly Step[], terms: Partial<Terms> = {}): Health {
  const { history, now } = fold(steps);
  return judge(history, { expectedUnits: [], now, startedAt: t0, bootMs: 600_000, healthyMs: 300_000, ...terms });
}

/** In short: what it is, its trouble, and `!` where waiting longer is of no use. */
function said(health: Health): string {
  const end = health.final ? '!' : '';
  if (health.is !== 'booted') return health.is + end;
  const { witness, degraded, unknown, crashLoops, absent } = health.trouble;
  const parts = [
    witness === 'stale' ? 'stale' : '',
    ...degraded.map((name) => `no ${name}`),
    ...unknown.map((name) => `? ${name}`),
    ...crashLoops.map((name) => `loop ${name}`),
    ...absent.map((name) => `absent ${name}`),
  ].filter((part) => part !== '');
  return ['booted' + end, ...parts].join(', ');
}

const app = 'app.service';
const withApp = (inode: string): Look => ({ units: { ...markers, [app]: inode } });
const appGone: Look = {};
const noReady: Look = { units: { 'dbus.service': '9' } };
const empty = { inode: '102', populated: false };
const scope = `docker-${'a'.repeat(64)}.scope`;

const rows: readonly [string, readonly Step[], string, Partial<Terms>?][] = [
  ['nothing was seen yet', [], 'booting'],
  ['it does not run yet', [stopped], 'stopped'],
  ['it does not come up within the grace', times(13, stopped), 'stopped!'],
  ['it reboots: gone for a moment', [...times(13, {}), stopped], 'stopped'],
  ['it went down and stays down', [...times(13, {}), ...times(3, stopped)], 'stopped!'],
  ['frozen, with every unit populated', times(5, { frozen: true }), 'frozen'],
  ['frozen until it is late', times(5, { frozen: true }), 'frozen!', { healthyMs: 10_000 }],
  ['it may not be read', times(4, { is: 'unreadable', text: 'no' }), 'unreadable'],
  ['it may not be read until it is late', times(4, { is: 'unreadable', text: 'no' }), 'unreadable!', { bootMs: 9_000 }],
  ['no init yet', [{ init: false, units: {} }], 'booting'],
  ['no systemd inside', times(13, { init: false, units: {} }), 'no-systemd'],
  ['no systemd until it is late', times(13, { init: false, units: {} }), 'no-systemd!', { bootMs: 60_000 }],
  ['services are there, the marker is not', times(10, noReady), 'booting'],
  ['the marker never comes', times(10, noReady), 'boot-timeout!', { bootMs: 50_000 }],
  [
    'the marker is there without a process',
    times(3, { units: { ...markers, 'felhom-ready.service': empty } }),
    'booting',
  ],
  ['booted and one good look', times(1, {}), 'booted'],
  ['booted and two good looks', times(2, {}), 'booted'],
  ['three good looks in a row', times(3, {}), 'healthy!'],
  ['one bad look in between', [...times(2, {}), { facts: ['no.web'] }, ...times(2, {})], 'booted'],
  ['one bad look after health', [...times(5, {}), { facts: ['no.web'] }], 'booted, no web'],
  ['not well until it is late', times(5, { facts: ['no.web'] }), 'booted!, no web', { healthyMs: 20_000 }],
  // The witness.
  ['two beats while the next is made', times(3, { beat: [-5, 0] }), 'healthy!'],
  ['an old beat, as of a frozen or dead witness', times(3, { beat: [-20] }), 'booted, stale, ? web'],
  ['a beat from the future', times(3, { beat: [20] }), 'booted, stale, ? web'],
  ['three beats', times(3, { beat: [-5, 0, 1] }), 'booted, stale, ? web'],
  ['no beat', times(3, { beat: [] }), 'booted, stale, ? web'],
  [
    'a fresh beat without the unit that makes it',
    times(3, { units: { 'felhom-ready.service': '100' } }),
    'booted, stale, ? web, absent felhom-witness.service',
  ],
  [
    'the marker went later, as in rescue',
    [{}, ...times(3, { units: { 'felhom-witness.service': '101' } })],
    'booted, absent felhom-ready.service',
  ],
  ['a check that was named is no more', [...times(3, {}), { facts: [] }], 'booted, ? web'],
  ['a check that should be and never was', times(3, {}), 'booted, ? db', { expectedChecks: ['db', 'web'] }],
  [
    'names outside the alphabet',
    times(3, { facts: ['no.', 'no.A', 'no.a/b', 'no...', `no.${'a'.repeat(33)}`] }),
    'healthy!',
  ],
  // Units.
  ['an expected unit that stays', times(3, withApp('7')), 'healthy!', { expectedUnits: [app] }],
  ['an expected unit absent in two looks', [withApp('7'), ...times(2, appGone)], 'booted', { expectedUnits: [app] }],
  [
    'an expected unit absent in three',
    [withApp('7'), ...times(3, appGone)],
    `booted, absent ${app}`,
    { expectedUnits: [app] },
  ],
  [
    'an expected unit without a process',
    times(3, { units: { ...markers, [app]: empty } }),
    `booted, absent ${app}`,
    { expectedUnits: [app] },
  ],
  ['new inode, twice', [withApp('1'), withApp('2'), ...times(3, withApp('3'))], 'healthy!', { expectedUnits: [app] }],
  [
    'new inode, three times within two minutes',
    [withApp('1'), withApp('2'), withApp('3'), ...times(5, withApp('4'))],
    `booted, loop ${app}`,
    { expectedUnits: [app] },
  ],
  [
    'gone and back, three times',
    [...times(3, withApp('1'), appGone), ...times(3, withApp('4'))],
    `booted, loop ${app}`,
    { expectedUnits: [app] },
  ],
  [
    'three restarts over more than two minutes',
    [...times(13, withApp('1')), ...times(13, withApp('2')), ...times(13, withApp('3')), ...times(3, withApp('4'))],
    'healthy!',
    { expectedUnits: [app] },
  ],
  [
    'a loop that ended: it has stayed for two minutes since',
    [withApp('1'), withApp('2'), withApp('3'), ...times(26, withApp('4'))],
    'healthy!',
    { expectedUnits: [app] },
  ],
  [
    'a loop that no look sees, told by the kernel',
    [{}, ...times(3, { event: [app, 'came'] }, { event: [app, 'went'] }), ...times(3, {})],
    `booted, loop ${app}`,
  ],
  [
    'a loop that gave up, long ago',
    [{}, ...times(3, { event: [app, 'came'] }, { event: [app, 'went'] }), ...times(40, {})],
    `booted, loop ${app}`,
  ],
  [
    'a loop that ended, told by the kernel',
    [{}, ...times(3, { event: [app, 'came'] }, { event: [app, 'went'] }), { event: [app, 'came'] }, ...times(26, {})],
    'healthy!',
  ],
  [
    'a container in a loop',
    [{}, ...times(3, { event: [scope, 'came'] }, { event: [scope, 'went'] }), {}],
    `booted, loop ${scope}`,
  ],
  [
    'mounts come and go',
    [...times(5, { event: ['run-docker.mount', 'came'] }, { event: ['run-docker.mount', 'went'] }), ...times(3, {})],
    'healthy!',
  ],
  [
    'one restart is not counted twice by being seen and told',
    [
      withApp('1'),
      ...['2', '3'].flatMap((inode): Step[] => [withApp(inode), { event: [app, 'went'] }, { event: [app, 'came'] }]),
      ...times(3, withApp('3')),
    ],
    'healthy!',
    { expectedUnits: [app] },
  ],
  // Started anew: what was before says nothing.
  ['started anew', [...times(3, {}), { boot: 'b2' }], 'booted'],
  ['started anew before the marker', [...times(3, {}), { ...noReady, boot: 'b2' }], 'booting'],
  [
    'it reboots for ever',
    ['1', '2', '3', '4', '5', '6'].flatMap((boot): Step[] => [{ ...noReady, boot }]),
    'boot-timeout!',
    { bootMs: 30_000 },
  ],
  // Memory.
  ['killed for want of memory just now', [...times(2, {}), { oomKills: 1 }], 'booted'],
  ['killed long ago and well since', times(4, { oomKills: 3 }), 'healthy!'],
];

for (const [name, steps, want, terms] of rows)
  test(name, () => {
    assert.equal(said(judged(steps, terms)), want);
  });

test('what was killed for want of memory is told', () => {
  const health = judged([{}, { oomKills: 2 }]);
  assert.equal(health.is === 'booted' && health.trouble.oomKills, 2);
});

test('a new boot counts as one and begins its own time', () => {
  const { history, now } = fold([{}, {}, { boot: 'b2' }]);
  assert.equal(history.reboots, 1);
  assert.equal(history.bootedAt, now);
});

test('however much a guest makes up, little of it is kept', () => {
  const names = Array.from({ length: 5000 }, (_, n) => n);
  const facts = readFacts(
    names.map((n) => `no.x${n}`),
    t0,
  );
  assert.equal(facts.no.length, 64);
  let history = fold(times(200, {})).history;
  for (const n of names) history = withEvent(history, t0, `x${n}.service`, 'came');
  assert.ok(history.told.size <= 512 && history.rounds.length <= 16 && history.checks.size <= 64);
});
