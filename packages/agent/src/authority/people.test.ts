/** How many people, by whichever road: the number must hang on what is done, or the generic jobs are side doors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { effectClasses, peopleNeeded } from '@felhom/protocol';
import type { Floors, Thresholds } from '@felhom/protocol';
import { effects, makeGuest, makeRecord, makeTrust, thresholds } from '../../test/gate-facts.ts';
import type { BuiltEffect, EffectKind } from './effects.ts';
import type { GuestFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';
import { effectRows, gateTable, isBuilt } from './gate-table.ts';
import { peopleFor } from './people.ts';
import type { SignedJob } from './people.ts';

type Trust = SignedJob['trust'];
const served = makeGuest();
const fresh = makeGuest({ record: makeRecord({ servedAt: undefined }) });
const built: readonly BuiltEffect[] = Object.values(effects).filter(isBuilt);
const like = (kind: EffectKind, change: Record<string, unknown>): BuiltEffect =>
  ({ ...effects[kind], ...change }) as BuiltEffect;
const all = (count: number): Thresholds => ({
  destroy: count,
  disclose: count,
  deploy: count,
  divert: count,
  removal: count,
  trust: count,
});

const trusts: Readonly<Record<string, Trust>> = {
  'as a host begins': { thresholds, loneOperator: false },
  'of one person': { thresholds: all(1), loneOperator: true },
  'with all at one, for several people': { thresholds: all(1), loneOperator: false },
  'strict about removal': { thresholds: { ...all(1), removal: 3 }, loneOperator: false },
  'strict about what destroys': { thresholds: { ...all(1), destroy: 4 }, loneOperator: false },
  'strict about what diverts': { thresholds: { ...all(1), divert: 3 }, loneOperator: false },
  'strict about trust': { thresholds: { ...all(2), trust: 5 }, loneOperator: false },
};

const anyTrust: fc.Arbitrary<Trust> = fc.record({
  thresholds: fc.record({
    destroy: fc.integer({ min: 1, max: 8 }),
    disclose: fc.integer({ min: 1, max: 8 }),
    deploy: fc.integer({ min: 1, max: 8 }),
    divert: fc.integer({ min: 1, max: 8 }),
    removal: fc.integer({ min: 1, max: 8 }),
    trust: fc.integer({ min: 1, max: 8 }),
  }),
  loneOperator: fc.boolean(),
});

/** Columns: removal of a guest that served, of one that never did, what destroys, what diverts, trust. */
const counts = `
as a host begins                     2 2 1 1 2
of one person                        1 1 1 1 1
with all at one, for several people  2 2 1 1 2
strict about removal                 3 2 1 1 3
strict about what destroys           4 4 4 1 4
strict about what diverts            2 2 1 3 3
strict about trust                   2 2 2 2 5
`;

for (const line of counts.trim().split('\n')) {
  const [name = '', ...numbers] = line.split(/\s{2,}|(?<=\d) /);
  test(`people of a trust document ${name}`, () => {
    const trust = trusts[name];
    assert.ok(trust !== undefined);
    const ask = (effect: BuiltEffect, guest: GuestFacts = served): number => peopleFor(effect, { trust }, guest);
    assert.deepEqual(
      [
        ask(like('guest-remove', {})),
        ask(like('guest-remove', {}), fresh),
        ask(like('volume-remove', {})),
        ask(like('guest-stop', {})),
        ask(like('trust-change', {})),
      ],
      numbers.map(Number),
    );
  });
}

/** The roads on which a guest that served can go. */
const removals: readonly (readonly [string, BuiltEffect])[] = [
  ['left out of desired state and approved', like('guest-remove', { stage: 'quarantine' })],
  ['freed after its quarantine', like('guest-remove', { stage: 'free' })],
  ['decommissioned', like('guest-decommission', {})],
  ['decommissioned with its backups', like('guest-decommission', { backups: 'delete', stage: 'free' })],
  ['by a saga that is led on', like('saga-resume', { removal: true })],
  ['by a saga that is given up', like('saga-abandon', { removal: true })],
  ['by a saga that says no more than that', like('saga-resume', { removal: true, classes: [] })],
];

test('a guest that served takes the same people to go by whichever road', () => {
  fc.assert(
    fc.property(anyTrust, (trust) => {
      const numbers = removals.map(([road, effect]) => [road, peopleFor(effect, { trust }, served)]);
      const wanted = peopleNeeded(trust, ['destroy', 'removal'], 2);
      assert.deepEqual(
        numbers,
        removals.map(([road]) => [road, wanted]),
      );
    }),
  );
});

test('whatever else destroys, discloses or diverts takes the same people when it is led on as a saga', () => {
  const removing: readonly string[] = ['guest-remove', 'guest-decommission'];
  for (const effect of built) {
    const row: GateRow = gateTable[effectRows[effect.kind]];
    if (row.verdict !== 'signed' || row.signers !== 1 || removing.includes(effect.kind)) continue;
    for (const [name, trust] of Object.entries(trusts))
      for (const kind of ['saga-resume', 'saga-abandon'] as const)
        assert.equal(
          peopleFor(like(kind, { classes: row.classes, removal: false }), { trust }, undefined),
          peopleFor(effect, { trust }, served),
          `${effect.kind} with a document ${name}`,
        );
  }
});

test('who may change trust could do everything else already', () => {
  fc.assert(
    fc.property(anyTrust, fc.constantFrom(...built, ...removals.map(([, effect]) => effect)), (trust, effect) => {
      const change = peopleFor(like('trust-change', {}), { trust }, undefined);
      assert.ok(change >= peopleFor(effect, { trust }, served), effect.kind);
    }),
  );
});

for (const [what, before, after, expect] of [
  ['a threshold lowered', { ...thresholds, removal: 3 }, { removal: 1 }, 3],
  ['a threshold raised', thresholds, { removal: 3 }, 3],
  ['all lowered to one', all(3), all(1), 3],
  ['nothing but the date', thresholds, {}, 2],
] as const)
  test(`a trust change with ${what} takes the most of both documents: ${expect}`, () => {
    const next = makeTrust({ thresholds: { ...thresholds, ...after } });
    assert.equal(
      peopleFor(like('trust-change', {}), { trust: { thresholds: before, loneOperator: false }, next }, undefined),
      expect,
    );
  });

for (const [before, after, expect] of [
  [false, false, 2],
  [false, true, 2],
  [true, false, 2],
  [true, true, 1],
] as const)
  test(`one operator before: ${before}, after: ${after}; a trust change takes ${expect}`, () => {
    const next = makeTrust({ thresholds: all(1), loneOperator: after });
    const trust = { thresholds: all(1), loneOperator: before };
    assert.equal(peopleFor(like('trust-change', {}), { trust, next }, undefined), expect);
  });

for (const [floor, weaker, stronger] of [
  ['keepDays', [7, 3], [3, 7]],
  ['keepWeeks', [4, 0], [0, 4]],
  ['tiers', [2, 1], [1, 2]],
  ['backupEveryHours', [24, 48], [48, 24]],
  ['restoreTestEveryDays', [30, 90], [90, 30]],
] as const satisfies readonly (readonly [keyof Floors, readonly number[], readonly number[]])[])
  test(`floor ${floor}: ${weaker.join(' to ')} destroys, ${stronger.join(' to ')} takes one signature`, () => {
    const trust = { thresholds: { ...all(1), destroy: 3 }, loneOperator: false };
    const ask = ([from, to]: readonly [number, number]): number =>
      peopleFor(like('floor-change', { floor, from, to }), { trust }, undefined);
    assert.equal(ask(weaker), 3);
    assert.equal(ask(stronger), 1);
  });

test('no row asks for fewer than its class does, and one operator lowers the minimum of a row and no threshold', () => {
  fc.assert(
    fc.property(anyTrust, fc.constantFrom(...built), (trust, effect) => {
      const row: GateRow = gateTable[effectRows[effect.kind]];
      const people = peopleFor(effect, { trust }, served);
      assert.ok(people >= 1);
      if (row.verdict !== 'signed' || row.signers === 'of-the-saga' || effect.kind === 'floor-change') return;
      for (const effectClass of effectClasses)
        if (row.classes.includes(effectClass)) assert.ok(people >= trust.thresholds[effectClass], effect.kind);
      if (typeof row.signers === 'number' && !trust.loneOperator) assert.ok(people >= row.signers, effect.kind);
    }),
  );
});
