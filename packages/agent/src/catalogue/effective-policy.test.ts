import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackupTier, Floors } from '@felhom/protocol';
import { effectivePlan } from './effective-policy.ts';
import type { EffectivePlan, EffectivePlanInput, EffectiveTier } from './effective-policy.ts';
import { at, backupPolicy, hour, nameOf, planTier, uidOf } from './test/builders.ts';

const floors: Floors = { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 31, tiers: 1 };
const guests = [{ uid: uidOf('a'), name: nameOf('cloud') }];

function planOf(tiers: readonly BackupTier[], more: Partial<EffectivePlanInput> = {}): EffectivePlan {
  return effectivePlan({
    desired: { tiers: [...tiers], graceMinutes: 10 },
    guests,
    policy: backupPolicy(),
    floors,
    accepted: [],
    defaultZone: 'Europe/Budapest',
    now: at('2026-11-26T12:00:00Z'),
    ...more,
  });
}
const names = (tiers: readonly { readonly name: string }[] | undefined): string[] =>
  (tiers ?? []).map(({ name }) => name);
const found = ({ findings }: EffectivePlan): string[] => findings.map(({ key, subject }) => `${key} ${subject}`);

test('a tier within its ranges is in force as asked for, without a finding', () => {
  const plan = planOf([planTier({ jitterMinutes: 30, window: { from: '22:00', to: '06:00' } })]);
  assert.deepEqual(plan.findings, []);
  const [tier] = plan.all;
  assert.ok(tier !== undefined);
  assert.equal(tier.storage, 'second');
  assert.equal(tier.zone, 'Europe/Budapest');
  assert.equal(tier.jitterMs, hour / 2);
  assert.deepEqual(tier.window, { from: 1320, to: 360 });
  assert.deepEqual(plan.tiers.get(uidOf('a')), plan.all);
});

const clamps: readonly {
  name: string;
  tier: Partial<BackupTier>;
  floors?: Partial<Floors>;
  text: RegExp;
  holds: (tier: EffectiveTier) => void;
}[] = [
  {
    name: 'days below the floor',
    tier: { keep: { days: 1, weeks: 4, months: 0, onDemand: 2 } },
    text: /keep\.days 1 becomes 7/,
    holds: ({ keep }) => assert.equal(keep.days, 7),
  },
  {
    name: 'weeks below the floor',
    tier: { keep: { days: 7, weeks: 0, months: 0, onDemand: 2 } },
    text: /keep\.weeks 0 becomes 4/,
    holds: ({ keep }) => assert.equal(keep.weeks, 4),
  },
  {
    name: 'restore-tests less often than the floor',
    tier: { restoreTestEveryDays: 365 },
    text: /restoreTestEveryDays 365 becomes 31/,
    holds: ({ restoreTestEveryDays }) => assert.equal(restoreTestEveryDays, 31),
  },
  {
    name: 'a schedule of every minute',
    tier: { schedule: 'minutely' },
    text: /oftener than every 60 minutes/,
    holds: ({ minIntervalMs }) => assert.equal(minIntervalMs, hour),
  },
  {
    name: 'a schedule of every week',
    tier: { schedule: 'weekly' },
    text: /more than 24 hours/,
    holds: ({ maxIntervalMs }) => assert.equal(maxIntervalMs, 24 * hour),
  },
  {
    name: 'a schedule that never elapses',
    tier: { schedule: '2026-02-30' },
    text: /more than 24 hours/,
    holds: ({ maxIntervalMs }) => assert.equal(maxIntervalMs, 24 * hour),
  },
  {
    name: 'a schedule that ends within a month',
    tier: { schedule: '2026-11-* 03:00' },
    text: /more than 24 hours/,
    holds: ({ maxIntervalMs }) => assert.equal(maxIntervalMs, 24 * hour),
  },
  {
    name: 'a jitter of half a day and more',
    tier: { schedule: '0/6:00', jitterMinutes: 720 },
    floors: { backupEveryHours: 12 },
    text: /jitterMinutes 720 becomes 360/,
    holds: ({ jitterMs }) => assert.equal(jitterMs, 6 * hour),
  },
  {
    name: 'a window of a minute',
    tier: { window: { from: '23:59', to: '00:00' } },
    text: /shorter than 120 minutes/,
    holds: ({ window }) => assert.deepEqual(window, { from: 1439, to: 119 }),
  },
];

for (const row of clamps)
  test(`clamps and says so: ${row.name}`, () => {
    const plan = planOf([planTier(row.tier)], { floors: { ...floors, ...row.floors } });
    assert.deepEqual(found(plan), ['backup.tier-clamped nightly']);
    assert.match(plan.findings[0]?.text ?? '', row.text);
    const [tier] = plan.all;
    assert.ok(tier !== undefined);
    row.holds(tier);
  });

test('a night in which the clocks change is no breach of 24 hours', () => {
  assert.deepEqual(found(planOf([planTier()], { now: at('2026-10-20T12:00:00Z') })), []);
});

test('what is accepted is what was asked for, so that a lower floor later gives it back', () => {
  const asked = planTier({ keep: { days: 1, weeks: 0, months: 0, onDemand: 0 } });
  assert.deepEqual(planOf([asked]).accepted, [asked]);
});

const nightly = planTier();
const usb = planTier({ name: 'usb', target: 'usb' });
const offsite = planTier({ name: 'offsite', target: 'offsite' });

const standing: readonly {
  name: string;
  desired: readonly BackupTier[];
  accepted: readonly BackupTier[];
  tiers: number;
  inForce: readonly string[];
  findings: readonly string[];
}[] = [
  { name: 'no plan yet and no floor', desired: [], accepted: [], tiers: 0, inForce: [], findings: [] },
  {
    name: 'no plan yet',
    desired: [],
    accepted: [],
    tiers: 1,
    inForce: [],
    findings: ['backup.too-few-tiers host'],
  },
  {
    name: 'a tier that vanished while enough remain goes',
    desired: [nightly],
    accepted: [nightly, offsite],
    tiers: 1,
    inForce: ['nightly'],
    findings: [],
  },
  {
    name: 'a tier that vanished while too few remain stays',
    desired: [nightly],
    accepted: [nightly, offsite],
    tiers: 2,
    inForce: ['nightly', 'offsite'],
    findings: ['backup.tier-kept offsite'],
  },
  {
    name: 'all vanished',
    desired: [],
    accepted: [nightly, offsite],
    tiers: 1,
    inForce: ['nightly', 'offsite'],
    findings: ['backup.tier-kept nightly', 'backup.tier-kept offsite'],
  },
  {
    name: 'another tier on the same storage is no second place',
    desired: [nightly, planTier({ name: 'again' })],
    accepted: [nightly, offsite],
    tiers: 2,
    inForce: ['nightly', 'again', 'offsite'],
    findings: ['backup.tier-kept offsite'],
  },
  {
    name: 'a tier that moved to a target nobody registered stays as it was',
    desired: [{ ...nightly, target: 'elsewhere' }],
    accepted: [nightly],
    tiers: 1,
    inForce: ['nightly'],
    findings: ['backup.tier-unusable nightly', 'backup.tier-kept nightly'],
  },
  {
    name: 'an unknown target is not in force, the others are',
    desired: [{ ...usb, target: 'constructor' }, nightly],
    accepted: [],
    tiers: 1,
    inForce: ['nightly'],
    findings: ['backup.tier-unusable usb'],
  },
  {
    name: 'replaced in one step by as many',
    desired: [usb],
    accepted: [nightly],
    tiers: 1,
    inForce: ['usb'],
    findings: [],
  },
];

for (const row of standing)
  test(`tiers in force: ${row.name}`, () => {
    const plan = planOf(row.desired, { accepted: row.accepted, floors: { ...floors, tiers: row.tiers } });
    assert.deepEqual(names(plan.all), row.inForce);
    assert.deepEqual(found(plan), row.findings);
    assert.deepEqual(names(plan.accepted), row.inForce);
    // What was accepted holds: the same again next time.
    const again = planOf(row.desired, { accepted: plan.accepted, floors: { ...floors, tiers: row.tiers } });
    assert.deepEqual(names(again.all), row.inForce);
  });

test('a document full of tiers does not push out the one that the floor holds up', () => {
  const many = 'bcdefghi'.split('').map((name) => planTier({ name }));
  const twoTiers = { ...floors, tiers: 2 };
  const plan = planOf(many, { accepted: [nightly, offsite], floors: twoTiers });
  assert.ok(plan.accepted.length <= 8);
  assert.ok(names(planOf(many, { accepted: plan.accepted, floors: twoTiers }).all).includes('offsite'));
});

const choices: readonly { asks: readonly string[] | undefined; tiers: number; on: readonly string[]; key?: string }[] =
  [
    { asks: undefined, tiers: 2, on: ['nightly', 'usb', 'offsite'] },
    { asks: ['usb'], tiers: 1, on: ['usb'] },
    { asks: ['usb', 'offsite'], tiers: 2, on: ['usb', 'offsite'] },
    { asks: ['usb'], tiers: 2, on: ['nightly', 'usb', 'offsite'], key: 'backup.guest-on-too-few-tiers cloud' },
    { asks: [], tiers: 0, on: ['nightly', 'usb', 'offsite'], key: 'backup.guest-on-too-few-tiers cloud' },
    { asks: ['usb', 'moon'], tiers: 1, on: ['usb'], key: 'backup.unknown-tier cloud' },
  ];

for (const { asks, tiers, on, key } of choices)
  test(`a guest that asks for ${asks?.join(', ') ?? 'nothing'} under a floor of ${tiers} is on ${on.join(', ')}`, () => {
    const plan = planOf([nightly, usb, offsite], {
      guests: guests.map((guest) => ({ ...guest, ...(asks === undefined ? {} : { tiers: asks }) })),
      floors: { ...floors, tiers },
    });
    assert.deepEqual(names(plan.tiers.get(uidOf('a'))), on);
    assert.deepEqual(found(plan), key === undefined ? [] : [key]);
  });

test('without a trust document only the policy file binds', () => {
  const plan = planOf([planTier({ schedule: 'weekly', keep: { days: 1, weeks: 0, months: 0, onDemand: 0 } })], {
    floors: undefined,
  });
  assert.deepEqual(plan.findings, []);
  assert.equal(plan.all[0]?.keep.days, 1);
});
