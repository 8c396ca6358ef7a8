import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '@felhom/protocol';
import { judgeHost, noHostMemory } from './judge-host.ts';
import type { HostLook } from './judge-host.ts';
import { policy, unit, use, well, wellUnits, withSample, withUnit } from './test/looks.ts';

const minute = 60_000;
const start = 1_000_000_000_000;

/** Looks every half minute for so long at what `look` shows; returns what is told at the end. */
function after(minutes: number, look: HostLook | ((at: number) => HostLook)): readonly Finding[] {
  let memory = noHostMemory;
  let findings: readonly Finding[] = [];
  for (let at = 0; at <= minutes * minute; at += 30_000) {
    const shown = typeof look === 'function' ? look(at / minute) : look;
    ({ findings, memory } = judgeHost(shown, memory, policy, { now: start + at, monotonicMs: at }));
  }
  return findings;
}
const told = (findings: readonly Finding[]) => findings.map(({ key, severity }) => `${severity} ${key}`);

const rows: readonly [name: string, look: HostLook, minutes: number, want: readonly string[]][] = [
  ['all is well', well, 60, []],
  ['memory, for a moment', withSample({ memory: use(99) }), 4, []],
  ['memory', withSample({ memory: use(93) }), 5, ['warning host.memory-short']],
  ['memory that is used but not short', withSample({ memory: use(91) }), 60, []],
  ['the root disk', withSample({ rootDisk: use(86) }), 1, ['warning host.root-disk-full']],
  ['the root disk, nearly', withSample({ rootDisk: use(96) }), 1, ['critical host.root-disk-full']],
  ['load', withSample({ load1: 8.5 }), 5, ['warning host.load-high']],
  ['load that several processors bear', withSample({ load1: 7.5 }), 60, []],
  [
    'stalls',
    withSample({ pressure: { cpu: 81, memory: 21, io: 61 } }),
    5,
    ['warning host.pressure-cpu', 'warning host.pressure-memory', 'warning host.pressure-io'],
  ],
  [
    'work of ours loads the host, and only memory is short because of it',
    { ...withSample({ load1: 50, pressure: { cpu: 99, memory: 99, io: 99 } }), working: true },
    60,
    ['warning host.pressure-memory'],
  ],
  ['heat', withSample({ hottestC: 86 }), 1, ['warning host.hot']],
  ['great heat', withSample({ hottestC: 96 }), 1, ['critical host.hot']],
  ['a service that restarts', withUnit('pveproxy.service', { active: 'activating' }), 1, []],
  [
    'a service that restarts for ever',
    withUnit('pveproxy.service', { active: 'activating' }),
    2,
    ['critical host.service-down'],
  ],
  ['one that failed', withUnit('pvestatd.service', { active: 'failed' }), 2, ['warning host.service-down']],
  ['one that was stopped', withUnit('pvedaemon.service', { active: 'inactive' }), 2, ['critical host.service-down']],
  ['one that reloads', withUnit('pvedaemon.service', { active: 'reloading' }), 60, []],
  ['one that somebody turned off', withUnit('pvescheduler.service', { active: 'inactive', file: 'disabled' }), 60, []],
  [
    'one that is not installed',
    withUnit('pvescheduler.service', { active: 'inactive', load: 'not-found', file: '' }),
    60,
    [],
  ],
  ['systemd tells nothing', { ...well, units: [] }, 60, []],
  ['the clock, for a moment', { ...well, clockSynchronised: false }, 9, []],
  ['the clock', { ...well, clockSynchronised: false }, 10, ['warning host.clock-unsynchronised']],
  ['the clock is not told', { ...well, clockSynchronised: undefined }, 60, []],
  ['a restart is due', { ...well, rebootPending: 'kernel 7' }, 0, ['info host.reboot-pending']],
  [
    'a host that tells nothing',
    {
      ...withSample({
        memory: undefined,
        rootDisk: undefined,
        load1: undefined,
        cpu: undefined,
        pressure: undefined,
        hottestC: undefined,
        uptimeSeconds: undefined,
      }),
      units: [],
    },
    60,
    [],
  ],
];
for (const [name, look, minutes, want] of rows)
  test(`${name}: ${want.join(', ') || 'nothing'}`, () => assert.deepEqual(told(after(minutes, look)), want));

const everythingWrong: HostLook = {
  ...withSample({
    memory: use(99),
    rootDisk: use(99),
    load1: 99,
    hottestC: 110,
    pressure: { cpu: 99, memory: 99, io: 99 },
  }),
  units: wellUnits.map((one) => (one.unit === 'shutdown.target' ? one : { ...one, active: 'failed' })),
  clockSynchronised: false,
};

test('nothing is held against a host that has just come up, or that goes down', () => {
  assert.ok(after(30, everythingWrong).length >= 10);
  const young = { ...everythingWrong, sample: { ...everythingWrong.sample, uptimeSeconds: 60 } };
  assert.deepEqual(told(after(30, young)), []);
  for (const change of [{ job: true }, { active: 'active' }]) {
    const down = unit('shutdown.target', { active: 'inactive', file: 'static', ...change });
    const look = { ...everythingWrong, units: [...everythingWrong.units.slice(0, -1), down] };
    assert.deepEqual(told(after(30, look)), []);
  }
});

test('what is told does not change while it lasts: an unchanged host stays a heartbeat', () => {
  const shaken = (at: number): HostLook => ({
    ...everythingWrong,
    sample: {
      ...everythingWrong.sample,
      memory: use(93 + (at % 5)),
      hottestC: 100 + (at % 3),
      rootDisk: use(95 + (at % 2)),
    },
    units: everythingWrong.units.map((one) => ({
      ...one,
      active: one.unit === 'shutdown.target' ? 'inactive' : at % 1 === 0 ? 'failed' : 'activating',
    })),
  });
  const texts = (minutes: number) => after(minutes, shaken).map(({ key, subject, text }) => [key, subject, text]);
  assert.deepEqual(texts(31.5), texts(30));
});

test('a number that swings around its threshold is one finding, and keeps its since', () => {
  const swings = (at: number) => withSample({ memory: use(at < 6 ? 95 : at % 1 === 0 ? 90 : 94) });
  const [finding] = after(60, swings);
  assert.equal(finding?.key, 'host.memory-short');
  assert.equal(finding.since, start);
  assert.deepEqual(told(after(60, (at) => withSample({ memory: use(at < 30 ? 95 : 80) }))), []);
});

test('a root disk that fills is told before it is full', () => {
  const fills = (perHour: number, from: number) => (at: number) =>
    withSample({ rootDisk: { usedBytes: Math.round((from + (perHour * at) / 60) * 1000), totalBytes: 100_000 } });
  // 60 % and 2 % more per hour: full in 20 hours.
  assert.match(after(70, fills(2, 60))[0]?.text ?? '', /full within a day/);
  assert.deepEqual(after(70, fills(1, 60)), []);
  assert.deepEqual(after(70, fills(3, 20)), [], 'a disk that is mostly empty has time');
  const both = after(70, fills(4, 84));
  assert.equal(both.length, 1);
  assert.match(both[0]?.text ?? '', /^More than 85 % .*; at the rate/);
});
