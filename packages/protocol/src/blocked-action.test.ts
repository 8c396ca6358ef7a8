import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  blockedAction,
  blockedDocument,
  digestOfBlocked,
  effectClasses,
  makeBlockedDocument,
} from './blocked-action.ts';
import type { BlockedActionParts } from './blocked-action.ts';
import { guestUid } from './ids.ts';

const uid = guestUid.parse('abcdefghijklmnopqrstuvwxyz');
const base: BlockedActionParts = {
  hostEpoch: 'a2'.repeat(16),
  effectClass: 'destroy',
  subject: { is: 'guest', uid, incarnation: 1 },
  verb: 'volume-remove',
  parameters: { volume: 'photos', mode: 'x' },
  lossSet: ['local:9000/b', 'local:9000/a'],
};
const digestOf = (parts: BlockedActionParts): string => digestOfBlocked(makeBlockedDocument(parts));

test('the digest is pinned: a changed format must be a new version', () => {
  assert.equal(digestOf(base), '189a5150d690dd643f8b79bf5790e5eed7b22b90d5e6cc149d335979d4018815');
});

test('each part of the document moves the digest', () => {
  const others: BlockedActionParts[] = [
    { ...base, hostEpoch: 'a3'.repeat(16) },
    ...effectClasses.filter((c) => c !== 'destroy').map((effectClass) => ({ ...base, effectClass })),
    { ...base, subject: { is: 'guest', uid, incarnation: 2 } },
    { ...base, subject: { is: 'guest', uid: guestUid.parse('bbcdefghijklmnopqrstuvwxyz'), incarnation: 1 } },
    { ...base, subject: { is: 'new-guest', name: 'a' } },
    { ...base, subject: { is: 'host' } },
    { ...base, verb: 'volume-move' },
    { ...base, parameters: { volume: 'photos' } },
    { ...base, parameters: { volume: 'photos', mode: 'y' } },
    { ...base, lossSet: [] },
    { ...base, lossSet: ['local:9000/a'] },
    { ...base, lossSet: ['local:9000/a', 'local:9000/c'] },
  ];
  const digests = others.map(digestOf);
  assert.equal(new Set([...digests, digestOf(base)]).size, others.length + 1);
});

const items = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme-ascii' }), { maxLength: 8 });

test('order and repetition of the loss set and of parameters do not matter', () => {
  fc.assert(
    fc.property(items, fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), fc.integer()), (lossSet, parameters) => {
      const turned = Object.fromEntries(Object.entries(parameters).toReversed());
      assert.equal(
        digestOf({ ...base, lossSet, parameters }),
        digestOf({ ...base, lossSet: [...lossSet.toReversed(), ...lossSet], parameters: turned }),
      );
    }),
  );
});

test('any two different loss sets have different digests', () => {
  fc.assert(
    fc.property(items, items, (a, b) => {
      const same = a.length === b.length && a.every((x) => b.includes(x));
      assert.equal(digestOf({ ...base, lossSet: a }) === digestOf({ ...base, lossSet: b }), same);
    }),
  );
});

test('a document that is not in its one order, or has a field more, is not one', () => {
  const document = makeBlockedDocument(base);
  assert.equal(blockedDocument.safeParse(document).success, true);
  assert.equal(blockedDocument.safeParse({ ...document, lossSet: document.lossSet.toReversed() }).success, false);
  assert.equal(blockedDocument.safeParse({ ...document, lossSet: ['a', 'a'] }).success, false);
  for (const extra of ['at', 'generation', 'sizeGiB', 'text'])
    assert.equal(blockedDocument.safeParse({ ...document, [extra]: 1 }).success, false, extra);
});

test('a report may not show one document and name the digest of another', () => {
  const document = makeBlockedDocument(base);
  const shown = { document, digest: digestOfBlocked(document), text: 'remove photos', since: 1 };
  assert.equal(blockedAction.safeParse(shown).success, true);
  const other = digestOfBlocked(makeBlockedDocument({ ...base, lossSet: [] }));
  assert.equal(blockedAction.safeParse({ ...shown, digest: other }).success, false);
});
