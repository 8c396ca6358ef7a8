import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '@felhom/protocol';
import * as fc from 'fast-check';
import { isGood, planPrune } from './retention.ts';
import type { PruneInput } from './retention.ts';
import type { BackupRecord } from './backup-record.ts';
import { at, day, hour, provenAt, record } from './test/builders.ts';

const now = at('2026-11-26T12:00:00Z');

function inputOf(records: readonly BackupRecord[], more: Partial<PruneInput> = {}): PruneInput {
  return {
    records,
    tier: { keep: { days: 3, weeks: 0, months: 0, onDemand: 2 }, zone: 'UTC' },
    floors: undefined,
    policy: { snapshotsPerGuest: 2, checkpointHours: 48 },
    now,
    listed: new Set(records.map(({ archive }) => archive)),
    inUse: new Set(),
    acknowledged: new Set(),
    ...more,
  };
}

/** `d1` is the newest, from today 03:00. */
const daily = (many: number, more: (n: number) => Partial<BackupRecord> = () => ({})): BackupRecord[] =>
  Array.from({ length: many }, (_, i) => record(`d${i + 1}x`, at('2026-11-26T03:00:00Z') - i * day, more(i + 1)));
const short = (records: readonly BackupRecord[]): string[] => records.map(({ id }) => id.replace(/x?a+$/, ''));
const failedTest = { at: now, evidence: 'f'.repeat(64) as Digest, text: 'its unit crash-loops' };

const rows: readonly {
  name: string;
  records: readonly BackupRecord[];
  more?: Partial<PruneInput>;
  pruned: readonly string[];
  frozen?: RegExp;
}[] = [
  { name: 'keeps the newest of as many days as asked for', records: daily(6), pruned: ['d6', 'd5', 'd4'] },
  {
    name: 'the signed floor outweighs what is asked for',
    records: daily(8),
    more: { floors: { keepDays: 6, keepWeeks: 0 } },
    pruned: ['d8', 'd7'],
  },
  {
    name: 'the floor of weeks keeps the newest of each',
    records: daily(14),
    more: { floors: { keepDays: 0, keepWeeks: 3 } },
    // The 26th is a Thursday: of the week before its Sunday, the 22nd, of the one before that the 15th.
    pruned: ['d14', 'd13', 'd11', 'd10', 'd9', 'd8', 'd7', 'd6', 'd4'],
  },
  {
    name: 'months',
    records: [...daily(3), record('oct', at('2026-10-31T03:00:00Z')), record('octb', at('2026-10-30T03:00:00Z'))],
    more: { tier: { keep: { days: 1, weeks: 0, months: 2, onDemand: 0 }, zone: 'UTC' } },
    pruned: ['octb', 'd3', 'd2'],
  },
  {
    name: 'a day ends at midnight of the tier’s zone',
    records: [record('late', at('2026-11-25T22:30:00Z')), record('next', at('2026-11-25T23:30:00Z'))],
    more: { tier: { keep: { days: 1, weeks: 0, months: 0, onDemand: 0 }, zone: 'UTC' } },
    pruned: ['late'],
  },
  {
    name: 'the same two are two days in Budapest',
    records: [record('late', at('2026-11-25T22:30:00Z')), record('next', at('2026-11-25T23:30:00Z'))],
    more: { tier: { keep: { days: 2, weeks: 0, months: 0, onDemand: 0 }, zone: 'Europe/Budapest' } },
    pruned: [],
  },
  {
    name: 'days without a copy do not count: a host that was off loses nothing',
    records: daily(3).map((one) => ({ ...one, startedAt: one.startedAt - 100 * day })),
    pruned: [],
  },
  { name: 'protected ones stay', records: daily(5, (n) => ({ protected: n === 5 })), pruned: ['d4'] },
  {
    name: 'the newest proven one stays, older proven ones do not',
    records: daily(6, (n) => (n === 4 || n === 5 ? { proven: provenAt(now) } : {})),
    pruned: ['d6', 'd5'],
  },
  {
    name: 'what is relied on stays',
    records: daily(5),
    more: { inUse: new Set(['d5x'.padEnd(16, 'a')]) },
    pruned: ['d4'],
  },
  {
    name: 'nothing goes while the newest was not read back',
    records: daily(6).map((one, i) => {
      const { integrity: _, ...rest } = one;
      return i === 0 ? rest : one;
    }),
    pruned: [],
    frozen: /not been read back/,
  },
  {
    name: 'a restore-test that proved the newest is enough',
    records: daily(5).map((one, i) => {
      if (i > 0) return one;
      const { integrity: _, ...rest } = one;
      return { ...rest, proven: provenAt(now) };
    }),
    pruned: ['d5', 'd4'],
  },
  {
    name: 'nothing goes while the newest is corrupt',
    records: daily(6, (n) => (n === 1 ? { integrity: { at: now, is: 'corrupt', text: 'x' } } : {})),
    pruned: [],
    frozen: /is not good/,
  },
  {
    name: 'nothing goes while the newest failed its restore-test',
    records: daily(6, (n) => (n === 1 ? { failedTest } : {})),
    pruned: [],
    frozen: /is not good/,
  },
  {
    name: 'nothing goes while the storage does not say what it holds',
    records: daily(6),
    more: { listed: undefined },
    pruned: [],
    frozen: /not known what the storage holds/,
  },
  {
    name: 'nothing goes while the storage does not list the newest: an empty list may be a missing right',
    records: daily(6),
    more: { listed: new Set() },
    pruned: [],
    frozen: /does not list the newest/,
  },
  {
    name: 'what is not listed is no copy and takes the place of none',
    records: daily(6),
    more: {
      listed: new Set(
        daily(6)
          .filter((_, i) => i !== 1)
          .map(({ archive }) => archive),
      ),
    },
    pruned: ['d6', 'd5'],
  },
  {
    name: 'bad copies take the place of none and age out',
    records: daily(7, (n) => (n === 2 || n === 7 ? { failedTest } : {})),
    pruned: ['d7', 'd6', 'd5'],
  },
  {
    name: 'nothing older than a mass change goes while it is neither proven nor acknowledged',
    records: daily(8, (n) => ({ massChange: n === 5 })),
    pruned: ['d4'],
    frozen: /mass change/,
  },
  {
    name: 'a mass change that was proven still keeps the newest before it, and itself as the mark',
    records: daily(8, (n) => (n === 5 ? { massChange: true, proven: provenAt(now) } : {})),
    pruned: ['d8', 'd7', 'd4'],
  },
  {
    name: 'an acknowledged one is a copy like others',
    records: daily(8, (n) => ({ massChange: n === 5 })),
    more: { acknowledged: new Set(['d5x'.padEnd(16, 'a')]) },
    pruned: ['d8', 'd7', 'd6', 'd5', 'd4'],
  },
  {
    name: 'the newest before a mass change must be a good one',
    records: daily(8, (n) => (n === 5 ? { massChange: true, proven: provenAt(now) } : n === 6 ? { failedTest } : {})),
    pruned: ['d8', 'd6', 'd4'],
  },
  {
    name: 'a guest that flaps keeps the state from before the first change, not everything',
    records: daily(10, (n) => (n >= 4 && n <= 9 ? { massChange: true, proven: provenAt(now - n) } : {})),
    pruned: ['d8', 'd7', 'd6'],
  },
  {
    name: 'on demand has a cap of its own, also during a mass change',
    records: [
      ...daily(3, (n) => ({ massChange: n === 1 })),
      ...[1, 2, 3, 4].map((n) => record(`m${n}x`, at('2026-11-20T12:00:00Z') - n * hour, { class: 'on-demand' })),
    ],
    pruned: ['m4', 'm3'],
    frozen: /mass change/,
  },
  {
    name: 'checkpoints go by number and by age',
    records: [
      ...daily(1),
      ...[1, 2, 3].map((n) => record(`c${n}x`, now - n * hour, { class: 'checkpoint' })),
      record('cold', now - 50 * hour, { class: 'checkpoint' }),
    ],
    pruned: ['cold', 'c3'],
  },
  {
    name: 'an old checkpoint that is the only copy stays',
    records: [record('cold', now - 500 * hour, { class: 'checkpoint' })],
    pruned: [],
  },
  {
    name: 'copies of earlier VMIDs count and go alike',
    records: daily(5, (n) => ({ incarnation: n > 2 ? 1 : 2 })),
    pruned: ['d5', 'd4'],
  },
  { name: 'no copies', records: [], pruned: [] },
];

for (const row of rows)
  test(row.name, () => {
    const plan = planPrune(inputOf(row.records, row.more));
    assert.deepEqual(short(plan.prune), row.pruned);
    assert.equal(plan.prune.length + plan.kept.length, row.records.length);
    if (row.frozen === undefined) assert.equal(plan.frozen, undefined);
    else assert.match(plan.frozen ?? '', row.frozen);
  });

test('what is kept says why', () => {
  const plan = planPrune(inputOf(daily(3, (n) => (n === 3 ? { protected: true, proven: provenAt(now) } : {}))));
  assert.deepEqual(
    plan.kept.map(({ why }) => why),
    [['day', 'newest', 'newest-good'], ['day'], ['day', 'newest-proven', 'protected']],
  );
});

const anyRecord = fc
  .record({
    hours: fc.integer({ min: 0, max: 24 * 60 }),
    class: fc.constantFrom('scheduled', 'scheduled', 'scheduled', 'on-demand', 'checkpoint'),
    state: fc.constantFrom('ok', 'ok', 'ok', 'ok', 'unread', 'corrupt', 'failed'),
    proven: fc.boolean(),
    massChange: fc.nat({ max: 40 }).map((n) => n === 0),
    incarnation: fc.integer({ min: 1, max: 3 }),
    listed: fc.nat({ max: 9 }).map((n) => n !== 0),
  })
  .map(({ hours, listed, state, proven, ...rest }) => ({ hours, listed, state, proven, rest }));
const history = fc.array(anyRecord, { maxLength: 60, size: 'max' }).map((all) =>
  all.map(({ hours, listed, state, proven, rest }, i) => {
    const { integrity, ...base } = record(
      `r${'bcdefghijk'[i % 10]}${'bcdefghijk'[Math.floor(i / 10)]}x`,
      now - hours * hour - i,
      rest,
    );
    const one: BackupRecord = {
      ...base,
      ...(state === 'unread' || integrity === undefined
        ? {}
        : { integrity: { ...integrity, is: state === 'corrupt' ? ('corrupt' as const) : ('ok' as const) } }),
      ...(state === 'failed' ? { failedTest } : {}),
      ...(proven ? { proven: provenAt(now) } : {}),
    };
    return { one, listed };
  }),
);
const bounds = fc.record({
  days: fc.integer({ min: 1, max: 10 }),
  weeks: fc.integer({ min: 0, max: 5 }),
  keepDays: fc.integer({ min: 0, max: 14 }),
  keepWeeks: fc.integer({ min: 0, max: 6 }),
  zone: fc.constantFrom('UTC', 'Europe/Budapest', 'Australia/Lord_Howe'),
});

const formatters = new Map(
  ['UTC', 'Europe/Budapest', 'Australia/Lord_Howe'].map((timeZone) => [
    timeZone,
    new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }),
  ]),
);
const localDay = (zone: string, time: number): string => formatters.get(zone)?.format(time) ?? '';
/** The Monday of its week, worked out otherwise than the code does it. */
function localWeek(zone: string, time: number): string {
  const date = new Date(`${localDay(zone, time)}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  return date.toISOString().slice(0, 10);
}

/** With a newest one that lets anything go at all, half of the time. */
const led = fc
  .tuple(history, fc.boolean())
  .map(([all, leading]) => (leading ? [{ one: record('leadx', now + hour), listed: true }, ...all] : all));

test('no history makes it prune the newest, the newest proven, a protected one, or below the floors', () => {
  let pruned = 0;
  fc.assert(
    fc.property(led, bounds, (all, { days, weeks, keepDays, keepWeeks, zone }) => {
      const records = all.map(({ one }) => one);
      const listed = new Set(all.filter((one) => one.listed).map(({ one }) => one.archive));
      const plan = planPrune(
        inputOf(records, {
          listed,
          floors: { keepDays, keepWeeks },
          tier: { keep: { days, weeks, months: 0, onDemand: 1 }, zone },
        }),
      );
      const gone = new Set(plan.prune);
      pruned += gone.size;
      const left = records.filter((one) => !gone.has(one));
      const byAge = records.toSorted((a, b) => b.startedAt - a.startedAt);
      const here = (one: BackupRecord): boolean => isGood(one) && listed.has(one.archive);
      const stays = (one: BackupRecord | undefined): void => assert.ok(one === undefined || !gone.has(one));
      stays(byAge[0]);
      stays(byAge.find(here));
      stays(byAge.find((one) => one.proven !== undefined));
      stays(byAge.find((one) => one.proven !== undefined && here(one)));
      for (const one of gone) assert.ok(listed.has(one.archive));
      const scheduled = (from: readonly BackupRecord[]): BackupRecord[] =>
        from.filter((one) => one.class === 'scheduled' && here(one));
      for (const [bucketOf, floor] of [
        [localDay, keepDays],
        [localWeek, keepWeeks],
      ] as const) {
        const buckets = (from: readonly BackupRecord[]): Set<string> =>
          new Set(scheduled(from).map(({ startedAt }) => bucketOf(zone, startedAt)));
        assert.ok(buckets(left).size >= Math.min(floor, buckets(records).size));
      }
      // What is left stays: pruning twice is pruning once.
      assert.deepEqual(
        planPrune(
          inputOf(left, {
            listed,
            floors: { keepDays, keepWeeks },
            tier: { keep: { days, weeks, months: 0, onDemand: 1 }, zone },
          }),
        ).prune,
        [],
      );
    }),
    { numRuns: 200, seed: 12 },
  );
  assert.ok(pruned > 1000, `only ${pruned} were pruned: this shows nothing`);
});

test('a flood on demand removes no scheduled copy', () => {
  fc.assert(
    fc.property(
      history,
      fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 100, maxLength: 100 }),
      (all, floodAt) => {
        const records = all.map(({ one }) => one).filter((one) => one.class === 'scheduled');
        const flood = floodAt.map((hours, i) =>
          record(`m${'bcdefghijk'[i % 10]}${'bcdefghijk'[Math.floor(i / 10)]}x`, now - hours * hour - i, {
            class: 'on-demand',
          }),
        );
        const scheduledPruned = (from: readonly BackupRecord[]): string[] =>
          planPrune(inputOf(from)).prune.flatMap((one) => (one.class === 'scheduled' ? [one.id] : []));
        assert.deepEqual(
          scheduledPruned([...records, ...flood]).filter((id) => !scheduledPruned(records).includes(id)),
          [],
        );
      },
    ),
    { numRuns: 60, seed: 12 },
  );
});
