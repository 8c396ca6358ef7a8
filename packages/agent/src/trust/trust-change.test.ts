import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTrust } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import { applyTrustChange, isApplied, trustStanding } from './index.ts';
import type { TrustJob } from './index.ts';
import { alice, bob, carol, day, makeDocument, makeFloorJob, makeSigner, makeTrustJob, now } from './test/people.ts';

const current = makeDocument();
const next = makeDocument({ version: 4, issuedAt: now, expiresAt: now + 90 * day });
const both = ['alice', 'bob'];
const thresholds = current.thresholds;
const lone = makeDocument({
  signers: [makeSigner(alice)],
  loneOperator: true,
  thresholds: { ...thresholds, removal: 1, trust: 1 },
});
const ones = makeDocument({ thresholds: { ...thresholds, removal: 1, trust: 1 } });
const expired = makeDocument({ expiresAt: now });

const rows: [name: string, current: TrustDocument, job: TrustJob, people: string[], is: string][] = [
  ['a renewal by two', current, makeTrustJob(current, next), both, 'next'],
  ['a renewal by one', current, makeTrustJob(current, next), ['alice'], 'job.more-people'],
  ['a renewal by one, counted twice', current, makeTrustJob(current, next), ['alice', 'alice'], 'job.more-people'],
  ['a renewal of an expired document', expired, makeTrustJob(expired, next), both, 'next'],
  ['from another document', makeDocument({ version: 2 }), makeTrustJob(current, next), both, 'trust.not-the-next'],
  [
    'from a document of the same version that says something else',
    makeDocument({ floors: { ...current.floors, tiers: 2 } }),
    makeTrustJob(current, next),
    both,
    'trust.not-the-next',
  ],
  ['for another host', current, makeTrustJob(current, next, { host: 'box-2' }), both, 'job.other-host'],
  ['a document for another host', current, makeTrustJob(current, { ...next, host: 'box-2' }), both, 'job.other-host'],
  ['the same version again', current, makeTrustJob(current, { ...next, version: 3 }), both, 'trust.not-the-next'],
  ['a version left out', current, makeTrustJob(current, { ...next, version: 5 }), both, 'trust.not-the-next'],
  [
    'issued before the one in force',
    current,
    makeTrustJob(current, { ...next, issuedAt: now - 11 * day }),
    both,
    'trust.not-the-next',
  ],
  [
    'issued in the future',
    current,
    makeTrustJob(current, { ...next, issuedAt: now + 2 * 3_600_000 }),
    both,
    'trust.not-the-next',
  ],
  [
    'expired when it comes',
    current,
    makeTrustJob(current, { ...next, issuedAt: now - day, expiresAt: now }),
    both,
    'trust.expired',
  ],
  ['a job that is not valid yet', current, makeTrustJob(current, next, { notBefore: now + 1 }), both, 'job.not-yet'],
  ['a job that has expired', current, makeTrustJob(current, next, { expiresAt: now }), both, 'job.expired'],
  [
    'a threshold raised to three, signed by two',
    current,
    makeTrustJob(current, { ...next, thresholds: { ...thresholds, deploy: 3 } }),
    both,
    'job.more-people',
  ],
  [
    'a threshold lowered from three, signed by two',
    makeDocument({ thresholds: { ...thresholds, divert: 3 } }),
    makeTrustJob(makeDocument({ thresholds: { ...thresholds, divert: 3 } }), next),
    both,
    'job.more-people',
  ],
  [
    'a threshold lowered from three, signed by three',
    makeDocument({ thresholds: { ...thresholds, divert: 3 } }),
    makeTrustJob(makeDocument({ thresholds: { ...thresholds, divert: 3 } }), next),
    [...both, 'carol'],
    'next',
  ],
  [
    'becoming a lone operator by oneself',
    current,
    makeTrustJob(current, { ...lone, version: 4, issuedAt: now, expiresAt: now + day }),
    ['alice'],
    'job.more-people',
  ],
  [
    'becoming a lone operator by oneself where every threshold is one',
    ones,
    makeTrustJob(ones, { ...lone, version: 4, issuedAt: now, expiresAt: now + day }),
    ['alice'],
    'job.more-people',
  ],
  [
    'a lone operator renews',
    lone,
    makeTrustJob(lone, { ...lone, version: 4, issuedAt: now, expiresAt: now + day }),
    ['alice'],
    'next',
  ],
  ['a lone operator makes it two, alone', lone, makeTrustJob(lone, next), ['alice'], 'job.more-people'],
  ['more backups kept, by one', current, makeFloorJob(current, 'keepDays', 7, 8), ['alice'], 'next'],
  ['fewer backups kept, by one of one', current, makeFloorJob(current, 'keepDays', 7, 6), ['alice'], 'next'],
  ...(
    [
      ['keepDays', 7, 6],
      ['keepWeeks', 4, 3],
      ['tiers', 1, 0],
      ['backupEveryHours', 24, 25],
      ['restoreTestEveryDays', 31, 32],
    ] as const
  ).flatMap(([floor, from, lower]): [string, TrustDocument, TrustJob, string[], string][] => {
    const strict = makeDocument({ thresholds: { ...thresholds, destroy: 2 } });
    const higher = 2 * from - lower;
    return [
      [
        `${floor} down, by one where destroying takes two`,
        strict,
        makeFloorJob(strict, floor, from, lower),
        ['bob'],
        'job.more-people',
      ],
      [`${floor} down, by two`, strict, makeFloorJob(strict, floor, from, lower), both, 'next'],
      [`${floor} up, by one`, strict, makeFloorJob(strict, floor, from, higher), ['bob'], 'next'],
      [`${floor} up, by nobody`, strict, makeFloorJob(strict, floor, from, higher), [], 'job.more-people'],
    ];
  }),
  ['a floor that is another by now', current, makeFloorJob(current, 'tiers', 2, 1), both, 'trust.not-the-next'],
  ['a floor to where it is', current, makeFloorJob(current, 'tiers', 1, 1), both, 'trust.not-the-next'],
  ['a floor out of its range', current, makeFloorJob(current, 'tiers', 1, 9), both, 'trust.unreadable'],
  ['a floor of an expired document', expired, makeFloorJob(expired, 'tiers', 1, 2), both, 'trust.expired'],
];
for (const [name, from, job, people, is] of rows)
  test(`${name} (${people.length}): ${is}`, () => {
    const change = applyTrustChange(from, job, people, now);
    assert.equal(change.is === 'next' ? 'next' : change.why.code, is);
    if (change.is !== 'next') return;
    assert.equal(change.document.version, from.version + 1);
    assert.equal(isApplied(change.document, job), true);
    assert.equal(isApplied(from, job), false);
  });

test('a floor-change changes one floor and nothing else', () => {
  const change = applyTrustChange(current, makeFloorJob(current, 'keepDays', 7, 9), ['bob'], now);
  assert.ok(change.is === 'next');
  assert.deepEqual(change.document, { ...current, version: 4, floors: { ...current.floors, keepDays: 9 } });
});

test('applied is what the job made, not what merely has the same floor', () => {
  const job = makeFloorJob(current, 'keepDays', 7, 9);
  const other = { ...current, version: 4, floors: { ...current.floors, keepDays: 9, tiers: 2 } };
  assert.equal(isApplied(other, job), false);
  assert.equal(
    isApplied({ ...next, signers: [makeSigner(bob), makeSigner(carol)] } as TrustDocument, makeTrustJob(current, next)),
    false,
  );
  assert.notEqual(digestOfTrust(other), digestOfTrust(current));
});

for (const [at, standing] of [
  [now + 66 * day - 1, 'in-force'],
  [now + 66 * day, 'expires-soon'],
  [now + 80 * day - 1, 'expires-soon'],
  [now + 80 * day, 'expired'],
] as const)
  test(`a document until day 80, on day ${(at - now) / day}: ${standing}`, () => {
    assert.equal(trustStanding(current, at), standing);
  });
