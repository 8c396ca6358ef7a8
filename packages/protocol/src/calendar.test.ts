import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { nextElapse, parseCalendar, previousElapse } from './calendar.ts';
import type { Calendar } from './calendar.ts';
import { backupTier } from './desired-state.ts';
import { isZone, localTimeIn } from './time-zone.ts';

function calendarOf(text: string): Calendar {
  const parsed = parseCalendar(text);
  if (parsed.is !== 'ok') throw new Error(parsed.text);
  return parsed.value;
}
const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number | undefined): string =>
  ms === undefined ? 'never' : new Date(ms).toISOString().replace('.000', '');

/** The next elapses from `from` on, in UTC. */
function elapses(text: string, zone: string, from: string, many: number): string[] {
  const calendar = calendarOf(text);
  const found: string[] = [];
  let after = at(from);
  for (let i = 0; i < many; i++) {
    const next = nextElapse(calendar, after, zone);
    found.push(iso(next));
    if (next === undefined) break;
    after = next;
  }
  return found;
}

// What follows was taken from `systemd-analyze calendar --base-time=… --iterations=…` of systemd 252, where not said otherwise.
const next: readonly { text: string; zone: string; from: string; expect: readonly string[] }[] = [
  { text: 'Wed, 17:48', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-12-02T17:48:00Z'] },
  { text: 'Mon-Fri 5:00', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-27T05:00:00Z'] },
  { text: 'mon..wed,FRI', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-27T00:00:00Z'] },
  { text: '*-*-1/7', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-29T00:00:00Z'] },
  { text: '*:2/3', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-26T13:02:00Z'] },
  { text: '*:*', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-26T13:01:00Z'] },
  { text: '*-*-* *:*:0/7', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-26T13:00:07Z'] },
  { text: '10-15', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2027-10-15T00:00:00Z'] },
  { text: 'Wed *-1', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2027-09-01T00:00:00Z'] },
  {
    text: '*-02~03',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2027-02-26T00:00:00Z', '2028-02-27T00:00:00Z'],
  },
  {
    text: '*-*~1 04:00',
    zone: 'UTC',
    from: '2026-01-01T00:00:00Z',
    expect: ['2026-01-31T04:00:00Z', '2026-02-28T04:00:00Z'],
  },
  {
    text: '*-*~1..3',
    zone: 'UTC',
    from: '2026-01-02T00:00:00Z',
    expect: ['2026-01-29T00:00:00Z', '2026-01-30T00:00:00Z', '2026-01-31T00:00:00Z', '2026-02-26T00:00:00Z'],
  },
  {
    text: '*-*~7/1',
    zone: 'UTC',
    from: '2026-01-30T12:00:00Z',
    expect: ['2026-01-31T00:00:00Z', '2026-02-22T00:00:00Z'],
  },
  {
    text: '*-*~1..7/2',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2026-11-28T00:00:00Z', '2026-11-30T00:00:00Z', '2026-12-25T00:00:00Z', '2026-12-27T00:00:00Z'],
  },
  { text: '*-*~*', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-27T00:00:00Z'] },
  {
    text: '*-*~28',
    zone: 'UTC',
    from: '2026-12-26T13:00:00Z',
    expect: ['2027-01-04T00:00:00Z', '2027-02-01T00:00:00Z'],
  },
  {
    text: '*-31',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2026-12-31T00:00:00Z', '2027-01-31T00:00:00Z', '2027-03-31T00:00:00Z'],
  },
  {
    text: '2026..2028-1-1',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2027-01-01T00:00:00Z', '2028-01-01T00:00:00Z', 'never'],
  },
  {
    text: '2026/2-1-1',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2028-01-01T00:00:00Z', '2030-01-01T00:00:00Z'],
  },
  {
    text: '8..20/4,22:00',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2026-11-26T16:00:00Z', '2026-11-26T20:00:00Z', '2026-11-26T22:00:00Z', '2026-11-27T08:00:00Z'],
  },
  {
    text: '1..10/3:00',
    zone: 'UTC',
    from: '2026-01-02T00:00:00Z',
    expect: [
      '2026-01-02T01:00:00Z',
      '2026-01-02T04:00:00Z',
      '2026-01-02T07:00:00Z',
      '2026-01-02T10:00:00Z',
      '2026-01-03T01:00:00Z',
    ],
  },
  {
    text: '1..5/5:00',
    zone: 'UTC',
    from: '2026-11-26T13:00:00Z',
    expect: ['2026-11-27T01:00:00Z', '2026-11-28T01:00:00Z'],
  },
  {
    text: 'Mon *-*-1..7 03:00',
    zone: 'UTC',
    from: '2026-01-01T00:00:00Z',
    expect: ['2026-01-05T03:00:00Z', '2026-02-02T03:00:00Z', '2026-03-02T03:00:00Z'],
  },
  { text: 'minutely', zone: 'UTC', from: '2026-11-26T13:00:30Z', expect: ['2026-11-26T13:01:00Z'] },
  { text: 'hourly', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-26T14:00:00Z'] },
  { text: 'daily Europe/Budapest', zone: 'UTC', from: '2026-11-26T13:00:00Z', expect: ['2026-11-26T23:00:00Z'] },
  {
    text: 'weekly',
    zone: 'UTC',
    from: '2026-01-02T00:00:00Z',
    expect: ['2026-01-05T00:00:00Z', '2026-01-12T00:00:00Z'],
  },
  { text: 'monthly', zone: 'UTC', from: '2026-01-02T00:00:00Z', expect: ['2026-02-01T00:00:00Z'] },
  {
    text: 'quarterly UTC',
    zone: 'Europe/Budapest',
    from: '2026-01-02T00:00:00Z',
    expect: ['2026-04-01T00:00:00Z', '2026-07-01T00:00:00Z', '2026-10-01T00:00:00Z'],
  },
  {
    text: 'semiannually',
    zone: 'UTC',
    from: '2026-01-02T00:00:00Z',
    expect: ['2026-07-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  },
  { text: 'yearly', zone: 'UTC', from: '2026-01-02T00:00:00Z', expect: ['2027-01-01T00:00:00Z'] },
  // Leap days.
  {
    text: '*-02-29 12:00',
    zone: 'UTC',
    from: '2026-01-01T00:00:00Z',
    expect: ['2028-02-29T12:00:00Z', '2032-02-29T12:00:00Z'],
  },
  {
    text: 'Mon *-02-29',
    zone: 'UTC',
    from: '2026-01-01T00:00:00Z',
    expect: ['2044-02-29T00:00:00Z', '2072-02-29T00:00:00Z'],
  },
  // Never, and no endless search.
  { text: '2026-02-30', zone: 'UTC', from: '2026-01-01T00:00:00Z', expect: ['never'] },
  { text: '*-02-30 03:00', zone: 'Europe/Budapest', from: '1970-01-01T00:00:00Z', expect: ['never'] },
  { text: '2023-01-01', zone: 'UTC', from: '2026-01-01T00:00:00Z', expect: ['never'] },
  { text: 'daily', zone: 'UTC', from: '2200-01-01T00:00:00Z', expect: ['never'] },
  // Clocks set back: the first time only.
  {
    text: '02:30',
    zone: 'Europe/Budapest',
    from: '2026-10-24T00:00:00Z',
    expect: ['2026-10-24T00:30:00Z', '2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
  },
  {
    text: '*:0/30',
    zone: 'Europe/Budapest',
    from: '2026-10-25T00:15:00Z',
    expect: ['2026-10-25T00:30:00Z', '2026-10-25T02:00:00Z', '2026-10-25T02:30:00Z'],
  },
  { text: '*:0/30', zone: 'Europe/Budapest', from: '2026-10-25T01:15:00Z', expect: ['2026-10-25T02:00:00Z'] },
  {
    text: '01:30',
    zone: 'America/New_York',
    from: '2026-10-31T04:00:00Z',
    expect: ['2026-10-31T05:30:00Z', '2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z'],
  },
  {
    text: '01:45',
    zone: 'Australia/Lord_Howe',
    from: '2026-04-03T13:00:00Z',
    expect: ['2026-04-03T14:45:00Z', '2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z'],
  },
  // Clocks set forward. systemd skips these nights; here it is the moment after the gap.
  {
    text: '02:30',
    zone: 'Europe/Budapest',
    from: '2026-03-28T00:00:00Z',
    expect: ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
  },
  {
    text: '02:30',
    zone: 'America/New_York',
    from: '2026-03-07T00:00:00Z',
    expect: ['2026-03-07T07:30:00Z', '2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z'],
  },
  {
    text: '02:15',
    zone: 'Australia/Lord_Howe',
    from: '2026-10-02T13:00:00Z',
    expect: ['2026-10-02T15:45:00Z', '2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z'],
  },
  {
    text: '*:0/30',
    zone: 'Europe/Budapest',
    from: '2026-03-29T00:15:00Z',
    expect: ['2026-03-29T00:30:00Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z'],
  },
  // Samoa had no 30th of December 2011 at all.
  {
    text: '2011-12-30 12:00',
    zone: 'Pacific/Apia',
    from: '2011-12-01T00:00:00Z',
    expect: ['2011-12-30T10:00:00Z', 'never'],
  },
];

for (const { text, zone, from, expect } of next)
  test(`after ${from} in ${zone}, ${text} elapses at ${expect.join(', ')}`, () => {
    assert.deepEqual(elapses(text, zone, from, expect.length), expect);
  });

const previous: readonly { text: string; zone: string; at: string; expect: string }[] = [
  { text: '03:00', zone: 'UTC', at: '2026-11-26T03:00:00Z', expect: '2026-11-26T03:00:00Z' },
  { text: '03:00', zone: 'UTC', at: '2026-11-26T02:59:59Z', expect: '2026-11-25T03:00:00Z' },
  { text: 'Mon..Fri 22:30', zone: 'Europe/Budapest', at: '2026-11-23T12:00:00Z', expect: '2026-11-20T21:30:00Z' },
  { text: '*-02-29', zone: 'UTC', at: '2027-01-01T00:00:00Z', expect: '2024-02-29T00:00:00Z' },
  { text: '*-*~1', zone: 'UTC', at: '2026-03-30T00:00:00Z', expect: '2026-02-28T00:00:00Z' },
  { text: '02:30', zone: 'Europe/Budapest', at: '2026-03-29T00:59:59Z', expect: '2026-03-28T01:30:00Z' },
  { text: '02:30', zone: 'Europe/Budapest', at: '2026-03-29T01:00:00Z', expect: '2026-03-29T01:00:00Z' },
  // The clock shows 02:15 for the second time: 02:45 was half an hour ago.
  { text: '*:15/30', zone: 'Europe/Budapest', at: '2026-10-25T01:15:00Z', expect: '2026-10-25T00:45:00Z' },
  { text: '2026-02-30', zone: 'UTC', at: '2030-01-01T00:00:00Z', expect: 'never' },
  { text: '2030-*-*', zone: 'UTC', at: '2029-01-01T00:00:00Z', expect: 'never' },
  { text: '2026-*-* 03:00', zone: 'UTC', at: '2029-01-01T00:00:00Z', expect: '2026-12-31T03:00:00Z' },
];

for (const row of previous)
  test(`at or before ${row.at} in ${row.zone}, ${row.text} elapsed at ${row.expect}`, () => {
    assert.equal(iso(previousElapse(calendarOf(row.text), at(row.at), row.zone)), row.expect);
  });

const refused: readonly { text: string; says: RegExp }[] = [
  { text: '', says: /character 1: nothing that elapses/ },
  { text: 'UTC', says: /nothing that elapses/ },
  { text: 'daly', says: /character 1: "daly" is neither a weekday/ },
  { text: 'Sat..Tue', says: /goes backwards, the week begins on Monday/ },
  { text: 'Mon..', says: /character 1: "Mon\.\." is neither/ },
  { text: 'Mon,,Tue', says: /character 5: "" is neither a weekday/ },
  { text: 'Mon..Fri/2', says: /is neither a weekday/ },
  { text: 'Mon Fri', says: /character 5: "Fri" is neither a date/ },
  { text: '12', says: /character 1: "12" is neither a date/ },
  { text: '*', says: /neither a date/ },
  { text: '*-*-32', says: /character 5: 32 is not a day between 1 and 31/ },
  { text: '*-13-1', says: /character 3: 13 is not a month/ },
  { text: '*-*-0', says: /0 is not a day/ },
  { text: '*-*~0', says: /0 is not a day before the end/ },
  { text: '*-*~29', says: /29 is not a day before the end/ },
  { text: '*~1-1', says: /character 2: ~ stands before the day only/ },
  { text: '2300-01-01', says: /2300 is not a year between 1970 and 2199/ },
  { text: '23-1-1', says: /23 is not a year/ },
  { text: '1-2-3-4', says: /is neither a date/ },
  { text: '24:00', says: /character 1: 24 is not an hour/ },
  { text: '*-*-* 5:60', says: /character 9: 60 is not a minute/ },
  { text: '10..5:00', says: /the range 10\.\.5 goes backwards/ },
  { text: '0/25:00', says: /a step of 25 from 0 leads beyond 23/ },
  { text: '0/0:00', says: /a step is at least 1/ },
  { text: '*-*~3/3', says: /a step of 3 from 3 leads beyond 1/ },
  { text: '*:*/5', says: /character 3: "\*\/5" is not a minute/ },
  { text: '05:40:23.5', says: /"23\.5" is not a second/ },
  { text: '1:2:3:4', says: /not a time/ },
  { text: 'daily 12:00', says: /character 7: daily stands alone/ },
  { text: 'daily europe/budapest', says: /character 7: "europe\/budapest" is neither/ },
  { text: '03:00 Europe/Atlantis', says: /character 7: "Europe\/Atlantis"/ },
  { text: '03:00 +02:00', says: /character 7: "\+02:00" is one too many/ },
  { text: '@1700000000', says: /is neither a date/ },
  { text: '03:00 04:00', says: /character 7: "04:00" is one too many/ },
  { text: 'daily '.repeat(40), says: /longer than 200 characters/ },
];

for (const { text, says } of refused)
  test(`refuses ${JSON.stringify(text.slice(0, 30))}, saying where and why`, () => {
    const parsed = parseCalendar(text);
    assert.equal(parsed.is, 'invalid');
    if (parsed.is === 'invalid') assert.match(parsed.text, says);
  });

test('zones are those of the database, written as there', () => {
  for (const zone of ['UTC', 'Europe/Budapest', 'America/Argentina/Buenos_Aires', 'Asia/Calcutta', 'Europe/Kyiv'])
    assert.equal(isZone(zone), true, zone);
  for (const zone of ['europe/budapest', 'Europe/Atlantis', '', 'Nowhere']) assert.equal(isZone(zone), false, zone);
});

test('local time follows the zone', () => {
  assert.equal(iso(localTimeIn('Europe/Budapest', at('2026-07-01T00:00:00.900Z'))), '2026-07-01T02:00:00Z');
  assert.equal(iso(localTimeIn('Australia/Lord_Howe', at('2026-01-01T00:00:00Z'))), '2026-01-01T11:00:00Z');
});

const two = (from: number, to: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min: from, max: to }).map(String),
    fc
      .tuple(fc.integer({ min: from, max: to }), fc.integer({ min: from, max: to }))
      .map(([a, b]) => `${Math.min(a, b)}..${Math.max(a, b)}`),
    fc.integer({ min: 2, max: 6 }).map((step) => `${from}/${step}`),
  );
const expression = fc
  .tuple(
    fc.constantFrom('', 'Mon ', 'Mon..Fri ', 'Sat,Sun '),
    two(1, 12),
    fc.constantFrom('*', '1', '31', '1..7', '1/5', '28,29'),
    fc.constantFrom('-', '~'),
    two(0, 23),
    two(0, 59),
    fc.constantFrom('', ':00', ':30', ':0/15'),
  )
  .map(
    ([days, month, day, sign, hour, minute, second]) =>
      `${days}*-${month}${sign === '~' ? '~3' : `-${day}`} ${hour}:${minute}${second}`,
  );
const zones = fc.constantFrom('UTC', 'Europe/Budapest', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Apia');
/** Around the changes of the clocks half of the time: elsewhere nothing can go wrong with them. */
const moments = fc.oneof(
  fc.integer({ min: at('2000-01-01T00:00:00Z'), max: at('2060-01-01T00:00:00Z') }),
  fc
    .tuple(
      fc.constantFrom(
        '2026-03-29T01:00:00Z',
        '2026-10-25T01:00:00Z',
        '2026-11-01T06:00:00Z',
        '2026-04-04T15:00:00Z',
        '2026-10-03T15:30:00Z',
      ),
      fc.integer({ min: -7_200_000, max: 7_200_000 }),
    )
    .map(([change, off]) => at(change) + off),
);

test('forwards and backwards agree: between two elapses there is none', () => {
  fc.assert(
    fc.property(expression, zones, moments, (text, zone, moment) => {
      const calendar = calendarOf(text);
      const after = nextElapse(calendar, moment, zone);
      const before = previousElapse(calendar, moment, zone);
      if (after !== undefined) {
        assert.ok(after > moment);
        assert.equal(previousElapse(calendar, after, zone), after);
        assert.equal(previousElapse(calendar, after - 1, zone), before);
      }
      if (before !== undefined) {
        assert.ok(before <= moment);
        assert.equal(nextElapse(calendar, before, zone), after);
        assert.equal(nextElapse(calendar, before - 1, zone), before);
      }
    }),
    { numRuns: 300, seed: 20_261_126 },
  );
});

test('a tier whose schedule does not parse is refused with the place', () => {
  const tier = { name: 'nightly', target: 'second-disk', keep: { days: 7 } };
  assert.equal(backupTier.safeParse({ ...tier, schedule: 'Mon..Fri 22:30 Europe/Budapest' }).success, true);
  const parsed = backupTier.safeParse({ ...tier, schedule: '25:00' });
  assert.match(parsed.error?.message ?? '', /character 1: 25 is not an hour between 0 and 23/);
});
