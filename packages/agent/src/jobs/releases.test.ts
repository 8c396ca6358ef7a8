/** Which manifests come to count on a host, and that a step back, a twin or somebody else's turn never does. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { digest, digestOfPayload, hostId, payloadOf, releaseManifest, report, trustDocument } from '@felhom/protocol';
import type { CanonicalValue, ReleaseManifest } from '@felhom/protocol';
import { openJournalOn } from '../adapters/sqlite-journal/index.ts';
import { createAuditLog } from '../audit/index.ts';
import { createReleases } from './releases.ts';

const now = 1_800_000_000_000;
const day = 86_400_000;
const document = trustDocument.parse({
  v: 1,
  host: 'box-1',
  version: 1,
  issuedAt: now - day,
  expiresAt: now + 90 * day,
  signers: [
    {
      principal: 'alice',
      key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
      signs: ['felhom-job@1', 'felhom-release@1'],
      touch: false,
    },
  ],
  revoked: [],
  thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 1, trust: 1 },
  loneOperator: true,
  floors: { keepDays: 0, keepWeeks: 0, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
});

const made = (changes: Partial<ReleaseManifest> = {}): ReleaseManifest =>
  releaseManifest.parse({
    v: 1,
    product: 'controller',
    role: 'controller',
    version: '1.2.0',
    digests: [digest.parse('a'.repeat(64))],
    issuedAt: now - day,
    expiresAt: now + 30 * day,
    rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: now - day }] },
    ...changes,
  });

function host() {
  let seed = 0;
  const clock = { now: () => now, monotonicMs: () => 0, bootMs: () => 0, sleep: async () => {} };
  const random = { bytes: (count: number) => new Uint8Array(count).fill((seed += 1)) };
  const journal = openJournalOn(new DatabaseSync(':memory:'), { clock, random });
  const audit = createAuditLog(journal);
  const releases = createReleases(journal, audit);
  const take = (manifest: ReleaseManifest, people = ['alice'], at = now) => {
    const payload = payloadOf(JSON.parse(JSON.stringify(manifest)) as CanonicalValue);
    const parts = {
      payload,
      digest: digestOfPayload(payload),
      envelope: digestOfPayload(payload),
      signatures: [],
      people,
    };
    return releases.take(manifest, parts, { host: hostId.parse('box-1'), document, now: at });
  };
  return { take, releases, audit };
}

const rows: [name: string, then: Partial<ReleaseManifest>, people: string[], at: number, expect: string][] = [
  ['the same again', {}, ['alice'], now, 'known'],
  ['a newer one', { version: '1.3.0' }, ['alice'], now, 'admitted'],
  ['an older one', { version: '1.1.9' }, ['alice'], now, 'refused release.older'],
  [
    'other bytes under the same number',
    { digests: [digest.parse('b'.repeat(64))] },
    ['alice'],
    now,
    'refused release.older',
  ],
  ['an expired one', { version: '1.3.0', expiresAt: now }, ['alice'], now, 'refused release.expired'],
  ['too far a step', { version: '3.0.0', minFrom: '2.0.0' }, ['alice'], now, 'refused release.too-far'],
  [
    'one whose turn has not come',
    { version: '1.3.0', rollout: { salt: '0123456789abcdef', starts: [{ percent: 100, at: now + day }] } },
    ['alice'],
    now,
    'later release.not-yet',
  ],
  ['another role', { role: 'controller-beta', version: '0.1.0' }, ['alice'], now, 'admitted'],
  ['one that nobody signed', { version: '1.3.0' }, [], now, 'later job.more-people'],
];

for (const [name, then, people, at, expect] of rows)
  test(`after 1.2.0, ${name} → ${expect}`, () => {
    const { take, releases } = host();
    assert.equal(take(made()).is, 'admitted');
    const answer = take(made(then), people, at);
    assert.equal('why' in answer ? `${answer.is} ${answer.why.code}` : answer.is, expect);
    const version = releases.inForce('controller', 'controller', now)?.manifest.version;
    assert.equal(version, answer.is === 'admitted' && then.role === undefined ? (then.version ?? '1.2.0') : '1.2.0');
  });

test('what is admitted is on the audit log and in the report, and is nothing any more once it has expired', () => {
  const { take, releases, audit } = host();
  take(made());
  assert.deepEqual(
    audit.newest(5).map(({ kind }) => kind),
    ['release.admitted'],
  );
  assert.equal(releases.inForce('controller', 'controller', now + 31 * day), undefined);
  const shown = releases.report(now + 31 * day);
  assert.deepEqual(
    shown.map(({ version, expired }) => [version, expired]),
    [['1.2.0', true]],
  );
  assert.ok(report.shape.releases.safeParse(shown).success);
});
