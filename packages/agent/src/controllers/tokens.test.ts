import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestToken } from '@felhom/protocol';
import { Bench, photosRecord, photosRef } from './test/bench.ts';
import { createTokens } from './tokens.ts';

const bench = (): Bench => new Bench().withGuest();

const rows: readonly (readonly [string, (b: Bench, token: string) => string, boolean])[] = [
  ['as issued', (_, token) => token, true],
  ['after a restart of the agent', (_, token) => token, true],
  [
    'of an incarnation that was restored over',
    (b, token) => (b.registry.put({ ...photosRecord, incarnation: 2 }), token),
    false,
  ],
  ['of a guest that is gone', (b, token) => (b.registry.remove(photosRef.uid), token), false],
  ['after another one was issued', (b, token) => (b.tokens.issue(photosRef), token), false],
  ['the other one that was issued', (b) => b.tokens.issue(photosRef), true],
  ['revoked', (b, token) => (b.tokens.revoke(photosRef.uid), token), false],
  ['one character short', (_, token) => token.slice(0, -1), false],
  ['empty', () => '', false],
];
for (const [name, given, expect] of rows)
  test(`a token ${name} ${expect ? 'counts' : 'authenticates nothing'}`, () => {
    const b = bench();
    const shown = given(b, b.tokens.issue(photosRef));
    const tokens = name.includes('restart')
      ? createTokens({ documents: b.documents(), clock: b.clock, random: b.random, registry: b.registry })
      : b.tokens;
    assert.equal(tokens.authenticate(shown), expect ? photosRef.uid : undefined);
  });

test('a token of a restored guest counts again once a new one was issued to it', () => {
  const b = bench();
  const old = b.tokens.issue(photosRef);
  const restored = { ...photosRef, incarnation: 2 };
  b.registry.put({ ...photosRecord, incarnation: 2 });
  assert.equal(b.tokens.standing(restored).is, 'none');
  const fresh = b.tokens.issue(restored);
  assert.deepEqual([b.tokens.authenticate(old), b.tokens.authenticate(fresh)], [undefined, photosRef.uid]);
});

test('a token has the shape of the contract, is not on the disk, and is known to have arrived once it was shown', () => {
  const b = bench();
  const token = b.tokens.issue(photosRef);
  assert.ok(guestToken.safeParse(token).success);
  assert.ok(!b.disk().includes(token.slice('felhom1_'.length)));
  assert.deepEqual(b.tokens.standing(photosRef), { is: 'unused', since: b.now });
  b.tokens.authenticate(token);
  assert.deepEqual(b.tokens.standing(photosRef), { is: 'used' });
});
