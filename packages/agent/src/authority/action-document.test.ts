/** What a digest hangs on, and what it does not: the operator signs once and the host compares again and again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { blockedDocument, digestOfBlocked, guestName, volumeId } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import {
  dataVolume,
  effects,
  evidences,
  factsFor,
  foreignVolume,
  hour,
  makeDesired,
  makeGuest,
  makeRecord,
  now,
  ref,
  rootVolume,
} from '../../test/gate-facts.ts';
import { actionDocument } from './action-document.ts';
import type { BuiltEffect, EffectKind } from './effects.ts';
import type { GuestFacts } from './facts.ts';
import { decide } from './gate.ts';
import { effectRows, gateTable, isBuilt } from './gate-table.ts';
import type { GateRow } from './gate-row.ts';

const hostEpoch = 'c'.repeat(32);
const digestOf = (effect: BuiltEffect, guest?: GuestFacts, epoch = hostEpoch): string =>
  digestOfBlocked(actionDocument(effect, { hostEpoch: epoch, guest }));
const built: readonly BuiltEffect[] = Object.values(effects).filter(isBuilt);
const like = (kind: EffectKind, change: Record<string, unknown>): BuiltEffect =>
  ({ ...effects[kind], ...change }) as BuiltEffect;

/** Of what is not part of the document, and why not. */
const leftOut: Readonly<Record<string, string>> = {
  'guest.name': 'the uid binds, the name is for people',
  'scope.name': 'the same',
  'desired.label': 'free text',
  label: 'free text',
  stage: 'one signature covers the quarantine and what follows it',
  classes: 'what a saga leads to is known here, and decides who must sign',
  removal: 'the same',
};
/** Measured, not asked for. Where it is part of a target, as of a floor, it stays in. */
const measured: readonly EffectKind[] = [
  'cpu-up',
  'cpu-down',
  'memory-up',
  'memory-down',
  'swap-up',
  'swap-down',
  'volume-grow',
  'volume-shrink',
];

type Path = readonly (string | number)[];

function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([key, item]) =>
    leaves(item, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function changed(value: unknown, path: Path): unknown {
  const [key, ...rest] = path;
  if (key === undefined) {
    if (typeof value === 'number') return value + 1;
    if (typeof value === 'boolean') return !value;
    assert.ok(typeof value === 'string');
    // Good at the end of a name, a uid, a digest and a volume alike.
    return `${value.slice(0, -1)}${value.endsWith('2') ? '3' : '2'}`;
  }
  if (Array.isArray(value)) return value.map((item, at) => (at === key ? changed(item, rest) : (item as unknown)));
  return Object.fromEntries(
    Object.entries(value as object).map(([name, item]) => [
      name,
      name === key ? changed(item, rest) : (item as unknown),
    ]),
  );
}

const variants: readonly BuiltEffect[] = [
  ...built,
  { kind: 'hold-set', scope: ref },
  { kind: 'hold-clear', scope: ref },
  like('saga-resume', { classes: ['destroy', 'disclose'], removal: true }),
  like('guest-remove', { stage: 'free' }),
];

for (const effect of variants)
  test(`${effect.kind} with any one value changed is another action`, () => {
    const before = digestOf(effect);
    let moved = 0;
    for (const path of leaves(effect)) {
      const name = path.filter((key) => typeof key === 'string').join('.');
      // Another kind has other fields, and `host` is a word of its own: both are said below.
      if (name === 'kind' || name === 'scope') continue;
      const after = digestOf(changed(effect, path) as BuiltEffect);
      const stays = Object.hasOwn(leftOut, name) || (name === 'from' && measured.includes(effect.kind));
      if (stays) assert.equal(after, before, name);
      else {
        moved += 1;
        assert.notEqual(after, before, name);
      }
    }
    assert.ok(moved > 0 || ['hold-set', 'hold-clear', 'break-glass-close'].includes(effect.kind));
    assert.notEqual(digestOf(effect, undefined, 'd'.repeat(32)), before, 'another journal');
  });

test('no two effects are the same action', () => {
  const digests = [...built, ...variants.slice(built.length, built.length + 2)].map((effect) => digestOf(effect));
  assert.equal(new Set(digests).size, digests.length);
});

test('one consent, one volume, one loss more or less is another action; their order is not', () => {
  const consents = ['a', 'b'].map((letter) => letter.repeat(26));
  const open = (list: readonly string[]): string => digestOf(like('break-glass-open', { consents: list }));
  assert.equal(open(consents), open(consents.toReversed()));
  assert.equal(open([...consents, ...consents]), open(consents));
  assert.notEqual(open(consents), open(consents.slice(1)));
  assert.notEqual(open([]), open(consents.slice(1)));
  for (const kind of ['guest-remove', 'guest-decommission', 'guest-adopt', 'guest-re-register'] as const) {
    const lose = (volumes: readonly VolumeId[]): string => digestOf(like(kind, { volumes }));
    assert.equal(lose([rootVolume, dataVolume]), lose([dataVolume, rootVolume]), kind);
    assert.notEqual(lose([rootVolume, dataVolume]), lose([rootVolume]), kind);
    assert.notEqual(lose([]), lose([rootVolume]), kind);
  }
  const abandon = (loss: readonly string[]): string => digestOf(like('saga-abandon', { loss }));
  assert.notEqual(abandon(['a']), abandon(['a', 'b']));
});

test('300 consents and the longest key fit', () => {
  const consents = Array.from({ length: 300 }, (_, at) => String(at).padStart(26, 'x'));
  const document = actionDocument(like('break-glass-open', { consents, key: 'k'.repeat(400) }), {
    hostEpoch,
    guest: undefined,
  });
  assert.equal(blockedDocument.safeParse(document).success, true);
});

test('times, sizes that were observed, markers and mounts move nothing', () => {
  fc.assert(
    fc.property(
      fc.record({
        sizeGiB: fc.integer({ min: 0, max: 10_000 }),
        grownGiB: fc.integer({ min: 0, max: 10_000 }),
        personStoppedAt: fc.option(fc.integer(), { nil: undefined }),
        mountPaths: fc.constantFrom(new Map(), new Map([['data', '/mnt/x']])),
      }),
      fc.record({
        configDigest: fc.string(),
        servedAt: fc.option(fc.integer(), { nil: undefined }),
        createdAt: fc.integer(),
        marker: fc.string(),
      }),
      fc.constantFrom(...built),
      (observed, recorded, effect) => {
        const guest = makeGuest({ ...observed, record: makeRecord(recorded) });
        assert.equal(digestOf(effect, guest), digestOf(effect, makeGuest()));
      },
    ),
  );
});

test('what is blocked carries the digest of the one document', () => {
  let blocked = 0;
  for (const effect of built)
    for (const at of [now, now + hour]) {
      const facts = factsFor(effect);
      const decision = decide(effect, evidences['desired-state'], facts, at);
      if (decision.is !== 'blocked') continue;
      blocked += 1;
      assert.deepEqual(decision.action.document, actionDocument(effect, facts), effect.kind);
      assert.equal(decision.action.digest, digestOf(effect, facts.guest), effect.kind);
    }
  assert.equal(blocked, 28);
});

test('the class is the strictest of the row, so that the life of the signature is the shortest', () => {
  const strictness = ['destroy', 'disclose', 'deploy', 'divert'];
  for (const effect of built) {
    const row: GateRow = gateTable[effectRows[effect.kind]];
    const classes = row.classes.map((effectClass) => strictness.indexOf(effectClass));
    const { effectClass } = actionDocument(effect, { hostEpoch, guest: undefined });
    assert.equal(strictness.indexOf(effectClass), Math.min(3, ...classes), effect.kind);
  }
});

test('signed parameters give the digest of what the host sees, exactly if they name all that would be lost', () => {
  const guest = makeGuest({ seenVolumes: [rootVolume, dataVolume, foreignVolume] });
  for (const kind of ['guest-remove', 'guest-decommission'] as const) {
    const names = (volumes: readonly VolumeId[]): BuiltEffect => like(kind, { volumes });
    const all = [rootVolume, dataVolume, foreignVolume];
    assert.equal(digestOf(names(all)), digestOf(names(all), guest));
    assert.equal(digestOf(names(all)), digestOf(names([]), guest), 'whoever asks, the host looks for itself');
    for (const missing of all)
      assert.notEqual(digestOf(names(all.filter((volume) => volume !== missing))), digestOf(names(all), guest));
    assert.notEqual(digestOf(names([...all, volumeId.parse('fast:vm-1-disk-0')])), digestOf(names(all), guest));
  }
});

test('the name of a guest to be made or adopted is what binds it', () => {
  for (const effect of [
    like('guest-adopt', { name: guestName.parse('host') }),
    { kind: 'guest-provision', desired: makeDesired({ name: 'host' }) } as const,
  ])
    assert.equal(actionDocument(effect, { hostEpoch, guest: undefined }).subject, 'guest:host');
  assert.equal(actionDocument({ kind: 'hold-set', scope: 'host' }, { hostEpoch, guest: undefined }).subject, 'host');
});
