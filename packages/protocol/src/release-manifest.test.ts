import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareVersions, hostId, releaseManifest, rolloutPlace, rolloutStart } from './index.ts';
import type { ReleaseManifest } from './index.ts';

const now = 1_800_000_000_000;
const sound = {
  v: 1,
  product: 'agent',
  role: 'agent-linux-x64',
  version: '1.4.0',
  digests: ['a'.repeat(64)],
  issuedAt: now,
  expiresAt: now + 1000,
  rollout: {
    salt: '0123456789abcdef',
    starts: [
      { percent: 1, at: now },
      { percent: 10, at: now + 10 },
      { percent: 100, at: now + 100 },
    ],
  },
};
const make = (change: object = {}): ReleaseManifest => releaseManifest.parse({ ...sound, ...change });
const starts = (...list: readonly (readonly [percent: number, at: number])[]) => ({
  rollout: { salt: '0123456789abcdef', starts: list.map(([percent, at]) => ({ percent, at })) },
});

const rows: [name: string, change: object, ok: boolean][] = [
  ['as it is', {}, true],
  ['an extra field', { force: true }, false],
  ['another product', { product: 'kernel' }, false],
  ['no digest', { digests: [] }, false],
  ['a digest that is none', { digests: ['a'.repeat(63)] }, false],
  ['a version with a leading zero', { version: '1.04.0' }, false],
  ['a version of two parts', { version: '1.4' }, false],
  ['a version with a suffix', { version: '1.4.0-rc1' }, false],
  ['expired when issued', { expiresAt: now }, false],
  ['a short salt', { rollout: { ...sound.rollout, salt: '0123' } }, false],
  ['no start', starts(), false],
  ['nobody at all', starts([0, now]), false],
  ['more than everybody', starts([101, now]), false],
  ['the same percentage twice', starts([10, now], [10, now + 1]), false],
  ['percentages that fall', starts([10, now], [5, now + 1]), false],
  ['times that fall', starts([10, now], [20, now - 1]), false],
  ['two steps at once', starts([10, now], [20, now]), true],
];
for (const [name, change, ok] of rows)
  test(`a release manifest, ${name}: ${ok ? 'taken' : 'refused'}`, () => {
    assert.equal(releaseManifest.safeParse({ ...sound, ...change }).success, ok);
  });

for (const [a, b, sign] of [
  ['1.4.0', '1.4.0', 0],
  ['1.10.0', '1.9.9', 1],
  ['2.0.0', '1.99.99', 1],
  ['0.0.9', '0.0.10', -1],
] as const)
  test(`${a} against ${b}`, () => {
    assert.equal(Math.sign(compareVersions(a, b)), sign);
    assert.equal(Math.sign(compareVersions(b, a)) + sign, 0);
  });

const hosts = Array.from({ length: 2000 }, (_, at) => hostId.parse(`box-${at}`));

test('places spread evenly over a fleet, stay for a host, and move with the salt', () => {
  const manifest = make();
  const places = hosts.map((host) => rolloutPlace(manifest, host));
  assert.deepEqual(
    places,
    hosts.map((host) => rolloutPlace(make({ version: '9.9.9' }), host)),
  );
  const first = places.filter((place) => place < 10).length;
  assert.ok(first > 140 && first < 260, `${first} of 2000 among the first tenth`);
  const other = make({ rollout: { ...sound.rollout, salt: 'f'.repeat(16) } });
  const moved = hosts.filter((host, at) => rolloutPlace(other, host) !== places[at]).length;
  assert.ok(moved > 1900, String(moved));
});

test('a host starts with the first step that its place is below, and not at all beyond the last', () => {
  const manifest = make();
  for (const host of hosts) {
    const place = rolloutPlace(manifest, host);
    assert.equal(rolloutStart(manifest, host), place < 1 ? now : place < 10 ? now + 10 : now + 100);
    assert.equal(rolloutStart(make(starts([10, now])), host), place < 10 ? now : undefined);
  }
});

test('whoever has started under a rollout has started under a wider one', () => {
  fc.assert(
    fc.property(fc.constantFrom(...hosts), fc.integer({ min: 1, max: 99 }), (host, percent) => {
      const narrow = rolloutStart(make(starts([percent, now])), host);
      const wide = rolloutStart(make(starts([percent, now], [percent + 1, now + 5])), host);
      if (narrow !== undefined) assert.equal(wide, narrow);
    }),
  );
});
