import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, releaseManifest, rolloutPlace } from '@felhom/protocol';
import type { ReleaseManifest } from '@felhom/protocol';
import { decideRelease } from './index.ts';
import type { ReleasePlace } from './index.ts';
import { day, makeDocument, now } from './test/people.ts';

const host = hostId.parse('box-1');

function makeManifest(change: object = {}): ReleaseManifest {
  return releaseManifest.parse({
    v: 1,
    product: 'agent',
    role: 'agent-linux-x64',
    version: '1.4.0',
    digests: ['a'.repeat(64)],
    minFrom: '1.2.0',
    issuedAt: now - day,
    expiresAt: now + day,
    rollout: { salt: '0'.repeat(16), starts: [{ percent: 100, at: now }] },
    ...change,
  });
}

const place: ReleasePlace = {
  host,
  product: 'agent',
  role: 'agent-linux-x64',
  version: '1.3.9',
  now,
  document: makeDocument(),
};
const at = rolloutPlace(makeManifest(), host);
const starts = (...list: readonly (readonly [percent: number, at: number])[]) => ({
  rollout: { salt: '0'.repeat(16), starts: list.map(([percent, start]) => ({ percent, at: start })) },
});

const rows: [name: string, manifest: object, place: Partial<ReleasePlace>, people: string[], is: string][] = [
  ['in its turn', {}, {}, ['alice'], 'admitted'],
  ['the same version again', {}, { version: '1.4.0' }, ['alice'], 'admitted'],
  ['where nothing runs yet', {}, { version: undefined } as object, ['alice'], 'admitted'],
  ['just reachable', {}, { version: '1.2.0' }, ['alice'], 'admitted'],
  ['too far', {}, { version: '1.1.99' }, ['alice'], 'release.too-far'],
  ['older', {}, { version: '1.4.1' }, ['alice'], 'release.older'],
  ['older by number, newer as text', { version: '1.10.0' }, { version: '1.9.0' }, ['alice'], 'admitted'],
  ['another role', {}, { role: 'agent-linux-arm64' }, ['alice'], 'release.not-for-this'],
  ['another product', {}, { product: 'controller' }, ['alice'], 'release.not-for-this'],
  ['expired', { expiresAt: now }, {}, ['alice'], 'release.expired'],
  ['signed by nobody', {}, {}, [], 'job.more-people'],
  [
    'signed by one of two',
    {},
    { document: makeDocument({ thresholds: { ...makeDocument().thresholds, deploy: 2 } }) },
    ['alice', 'alice'],
    'job.more-people',
  ],
  ['under an expired trust document', {}, { document: makeDocument({ expiresAt: now }) }, ['alice'], 'trust.expired'],
  ['before its turn', starts([100, now + 1]), {}, ['alice'], 'release.not-yet'],
  ['just not among the first', at === 0 ? starts([100, now + 1]) : starts([at, now]), {}, ['alice'], 'release.not-yet'],
  ['just among the first', starts([at + 1, now]), {}, ['alice'], 'admitted'],
  ['among the later ones, already open', at === 0 ? {} : starts([at, now - 5], [100, now]), {}, ['alice'], 'admitted'],
];
for (const [name, manifest, change, people, is] of rows)
  test(`a release ${name}: ${is}`, () => {
    const verdict = decideRelease(makeManifest(manifest), people, { ...place, ...change });
    assert.equal(verdict.is === 'admitted' ? 'admitted' : verdict.why.code, is);
    if (verdict.is === 'admitted') assert.deepEqual(verdict.digests, ['a'.repeat(64)]);
  });
