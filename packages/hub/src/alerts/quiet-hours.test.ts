import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isQuiet } from './quiet-hours.ts';

const night = { from: '22:00', to: '07:00', timeZone: 'Europe/Budapest' };
const rows: [name: string, hours: typeof night | undefined, utc: string, quiet: boolean][] = [
  ['none configured', undefined, '2026-01-10T23:00:00Z', false],
  ['winter, the minute before', night, '2026-01-10T20:59:59Z', false],
  ['winter, the first minute', night, '2026-01-10T21:00:00Z', true],
  ['winter, the last minute', night, '2026-01-11T05:59:59Z', true],
  ['winter, over', night, '2026-01-11T06:00:00Z', false],
  ['summer begins an hour earlier in UTC', night, '2026-07-10T20:00:00Z', true],
  ['summer ends an hour earlier in UTC', night, '2026-07-11T05:00:00Z', false],
  ['the short night begins in winter time', night, '2026-03-28T21:00:00Z', true],
  ['the short night before the jump', night, '2026-03-29T00:59:59Z', true],
  ['the short night after the jump', night, '2026-03-29T01:00:00Z', true],
  ['the short night ends in summer time', night, '2026-03-29T05:00:00Z', false],
  ['the long night begins in summer time', night, '2026-10-24T20:00:00Z', true],
  ['the long night, the hour that comes twice', night, '2026-10-25T01:30:00Z', true],
  ['the long night still lasts where summer would have ended it', night, '2026-10-25T05:30:00Z', true],
  ['the long night ends in winter time', night, '2026-10-25T06:00:00Z', false],
  [
    'hours that the jump skips are never quiet',
    { ...night, from: '02:00', to: '03:00' },
    '2026-03-29T01:00:00Z',
    false,
  ],
  [
    'hours that come twice are quiet twice, first',
    { ...night, from: '02:00', to: '03:00' },
    '2026-10-25T00:30:00Z',
    true,
  ],
  [
    'hours that come twice are quiet twice, again',
    { ...night, from: '02:00', to: '03:00' },
    '2026-10-25T01:30:00Z',
    true,
  ],
  ['by day', { ...night, from: '12:00', to: '13:00' }, '2026-01-10T11:30:00Z', true],
  ['midnight is minute 0', { ...night, from: '00:00', to: '00:01' }, '2026-01-10T23:00:30Z', true],
  ['half an hour off', { from: '22:00', to: '07:00', timeZone: 'Asia/Kolkata' }, '2026-01-10T16:30:00Z', true],
];
for (const [name, hours, utc, quiet] of rows)
  test(`quiet hours: ${name} → ${quiet ? 'quiet' : 'not'}`, () => assert.equal(isQuiet(Date.parse(utc), hours), quiet));
