import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId } from '@felhom/protocol';
import { continueUp, expectedWindowMs, graceMs, judge } from './judge.ts';
import type { HubUp } from './judge.ts';

const settings = { pollAfterSeconds: 30, slackSeconds: 60, longestPauseSeconds: 900 };
/** 30 × 3 × 1.1 + 60 seconds. */
const window = 159_000;
const alpha = hostId.parse('alpha');
const longUp: HubUp = { since: 0, awayMs: 0, pollAfterSecondsBefore: 30 };
const now = 100_000_000;

const windows: [name: string, poll: number, slack: number, expect: number | undefined, ms: number][] = [
  ['three polls, each 10 % late, and slack', 30, 60, undefined, 159_000],
  ['an expectation widens it', 30, 60, 3600, 3_600_000],
  ['and never narrows it', 30, 60, 60, 159_000],
  ['no agent polls every second', 1, 10, undefined, 43_000],
  ['the longest poll that the hub may ask for', 900, 60, undefined, 3_030_000],
];
for (const [name, pollAfterSeconds, slackSeconds, expect, ms] of windows)
  test(`window: ${name}`, () => assert.equal(expectedWindowMs({ pollAfterSeconds, slackSeconds }, expect), ms));

const rows: [name: string, contactAgo: number | undefined, up: HubUp, expect: number | undefined, is: string][] = [
  ['never heard', undefined, longUp, undefined, 'never-seen'],
  ['just heard', 0, longUp, undefined, 'up'],
  ['two slow polls', 66_000, longUp, undefined, 'up'],
  ['half of the window', window / 2, longUp, undefined, 'up'],
  ['more than half of it', window / 2 + 1, longUp, undefined, 'late'],
  ['the whole of it', window, longUp, undefined, 'late'],
  ['one more', window + 1, longUp, undefined, 'silent'],
  ['within its own window', window + 1, longUp, 3600, 'up'],
  ['beyond its own window', 3_600_001, longUp, 3600, 'silent'],
  ['the hub came a moment ago', 9_000_000, { ...longUp, since: now }, undefined, 'unknown'],
  ['the hub came a window ago', 9_000_000, { ...longUp, since: now - window }, undefined, 'unknown'],
  ['the hub came longer ago', 9_000_000, { ...longUp, since: now - window - 1 }, undefined, 'silent'],
  [
    'the hub was away for a minute: twice that on top',
    9_000_000,
    { ...longUp, since: now - window - 120_000, awayMs: 60_000 },
    undefined,
    'unknown',
  ],
  [
    'the hub was away for a day: the longest pause on top',
    90_000_000,
    { ...longUp, since: now - window - 990_001, awayMs: 86_400_000 },
    undefined,
    'silent',
  ],
  ['heard after the hub came', 10_000, { ...longUp, since: now - 20_000 }, undefined, 'up'],
  ['heard after the hub came, and silent since', 200_000, { ...longUp, since: now - 210_000 }, undefined, 'silent'],
  [
    'the hub asked for slower polls before',
    9_000_000,
    { since: now - 1_000_000, awayMs: 0, pollAfterSecondsBefore: 900 },
    undefined,
    'unknown',
  ],
  ['heard a little in the future', -1000, longUp, undefined, 'up'],
  [
    'a receipt of next year is of a clock that was set back',
    -31_536_000_000,
    { ...longUp, since: now - 1000 },
    undefined,
    'unknown',
  ],
  [
    'and does not keep the host up for a year',
    -31_536_000_000,
    { ...longUp, since: now - 200_000 },
    undefined,
    'silent',
  ],
];
for (const [name, contactAgo, up, expectSeconds, is] of rows)
  test(`judged: ${name} → ${is}`, () => {
    const contactAt = contactAgo === undefined ? undefined : now - contactAgo;
    assert.equal(judge({ hostId: alpha, contactAt, expectSeconds }, settings, up, now).is, is);
  });

test('any agent that polls with ±10 % and loses two polls in a row stays out of an alert', () => {
  for (let poll = 1; poll <= 900; poll += 1) {
    const longest = 3 * poll * 1.1 * 1000;
    const host = { hostId: alpha, contactAt: now - longest, expectSeconds: undefined };
    assert.notEqual(judge(host, { ...settings, pollAfterSeconds: poll }, longUp, now).is, 'silent', `${poll} s`);
  }
});

const gaps: [name: string, now: number, since: number, away: number][] = [
  ['an ordinary round', 1_005_000, 7, 3],
  ['a slow round', 1_030_000, 7, 3],
  ['the machine slept', 1_030_001, 1_030_001, 30_001],
  ['the clock was set an hour ahead', 4_600_000, 4_600_000, 3_600_000],
  ['the clock was set back', 999_999, 999_999, 1],
];
for (const [name, at, since, awayMs] of gaps)
  test(`the hub's own presence: ${name}`, () => {
    const up = continueUp({ since: 7, awayMs: 3, pollAfterSecondsBefore: 30 }, 1_000_000, at, 30_000);
    assert.deepEqual([up.since, up.awayMs], [since, awayMs]);
  });

test('the grace holds for the longest back-off of an agent', () => {
  // min·2ⁿ capped at 900 s, as after a night without a hub; the next poll comes at most that late.
  assert.ok(
    graceMs({ expectSeconds: undefined }, settings, { awayMs: 36_000_000, pollAfterSecondsBefore: 30 }) > 900_000,
  );
});
