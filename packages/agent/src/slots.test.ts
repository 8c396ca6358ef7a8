import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finding } from '@felhom/protocol';
import type { GateRecords, GateTrial, GateVerdict } from './ports/slots.ts';
import { findingsOfSlots } from './slots.ts';

const about = { slot: 'a', previous: 'base', build: '0.2.0+abc', since: 5 };
const trial: GateTrial = { ...about, why: 'none', watched: 'trial' };
const last: GateVerdict = { ...about, why: 'crash-loop', verdict: 'reverted', pinned: false };

const rows: readonly (readonly [string, Partial<GateRecords>, string | undefined, RegExp?])[] = [
  ['no slot was ever tried', {}, undefined],
  ['on trial', { trial }, 'info update.trial', /0\.2\.0\+abc .* on trial in slot a/],
  [
    'the one before it is watched',
    { trial: { ...trial, watched: 'previous', why: 'proxmox' } },
    'warning update.trial',
    /taken back \(proxmox\)/,
  ],
  ['the next one on trial, after one that failed', { trial, last }, 'info update.trial'],
  [
    'taken back',
    { last },
    'warning update.reverted',
    /\(crash-loop\); slot base serves and is well\. It may be tried once more/,
  ],
  ['pinned', { last: { ...last, pinned: true } }, 'warning update.reverted', /not tried again/],
  ['both fail', { last: { ...last, verdict: 'stuck' } }, 'critical update.reverted', /slot base, .* not well either/],
  ['well without the hub', { last: { ...last, verdict: 'good-local', why: 'none' } }, 'info update.good-local'],
  ['well', { last: { ...last, verdict: 'good', why: 'none' } }, undefined],
  ['taken back by root', { last: { ...last, why: 'by-hand' } }, undefined],
  ['void, of a gate that does not say what is in force', { last: { ...last, verdict: 'void' } }, undefined],
  ['void, the one before it in force', { last: { ...last, verdict: 'void', inForce: 'base' } }, undefined],
  [
    'void, another one in force',
    { last: { ...last, verdict: 'void', inForce: 'b' } },
    'warning update.unwatched',
    /^Slot b was put in force/,
  ],
  [
    'void, the build itself in force',
    { last: { ...last, verdict: 'void', inForce: 'a' } },
    'warning update.unwatched',
    /^Slot a was put in force/,
  ],
  [
    'void, no slot in force',
    { last: { ...last, verdict: 'void', inForce: 'other' } },
    'warning update.unwatched',
    /^What is no slot was put in force/,
  ],
];

for (const [name, records, expected, words = /./] of rows)
  test(`slots: ${name}`, () => {
    const found = findingsOfSlots({ trial: undefined, last: undefined, ...records });
    assert.deepEqual(
      found.map(({ severity, key }) => `${severity} ${key}`),
      expected === undefined ? [] : [expected],
    );
    for (const one of found) {
      assert.match(one.text, words);
      assert.equal(finding.safeParse(one).success, true);
      assert.equal(one.since, 5);
      // What is taken back is perhaps the one that should replace an agent that was taken over.
      assert.equal(one.advice.text.includes('`slot keep` at once'), one.key === 'update.reverted');
    }
  });
