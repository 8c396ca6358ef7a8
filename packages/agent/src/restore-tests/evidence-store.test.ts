import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { restoreEvidence } from '@felhom/protocol';
import type { ReportedRestoreTest, RestoreEvidence } from '@felhom/protocol';
import { createHostKey } from '../host-key/index.ts';
import type { StoredDocument } from '../kernel/journal.ts';
import { createEvidenceStore, isEvidenceOf, signEvidence } from './evidence-store.ts';

const key = () => createHostKey(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
const mine = key();

const evidenceOf = (at: number, change: Partial<Record<keyof RestoreEvidence, unknown>> = {}): ReportedRestoreTest =>
  signEvidence(
    restoreEvidence.parse({
      v: 1,
      host: 'lab',
      test: `saga-${at}`,
      guest: 'a'.repeat(26),
      name: 'web',
      tier: 'local',
      backup: { id: 'b', archive: 'backup:backup/x', sha256: '0'.repeat(64), takenAt: 1 },
      verdict: 'passed',
      grade: 'proven',
      text: '',
      startedAt: at,
      endedAt: at,
      timings: { restoreMs: 5 },
      ...change,
    }),
    mine,
  );

function store() {
  const documents = new Map<string, StoredDocument>();
  const evidence = createEvidenceStore({
    get: (at) => documents.get(at),
    list: (prefix) => [...documents.values()].filter((document) => document.key.startsWith(prefix)),
  });
  const keep = (...all: readonly ReportedRestoreTest[]): void => {
    for (const next of all)
      for (const write of evidence.writes(next))
        if ('put' in write) documents.set(write.put.key, JSON.parse(JSON.stringify(write.put)) as StoredDocument);
        else documents.delete(write.remove);
  };
  return { evidence, keep, documents };
}

const ends = (tests: readonly ReportedRestoreTest[]): readonly number[] =>
  tests.map(({ evidence }) => evidence.endedAt);

test('the newest per guest and tier counts, and a skipped one stands beside it', () => {
  const { evidence, keep } = store();
  const other = { guest: 'b'.repeat(26) };
  keep(evidenceOf(1), evidenceOf(2, { verdict: 'failed', grade: 'damaged' }), evidenceOf(3, { tier: 'far' }));
  keep(evidenceOf(4, other), evidenceOf(5, { verdict: 'skipped', grade: 'failed' }));
  assert.deepEqual(ends(evidence.newest()), [5, 4, 3, 2]);
  keep(evidenceOf(6));
  assert.deepEqual(ends(evidence.newest()), [6, 4, 3]);
  assert.equal(evidence.ofTest('saga-4')?.evidence.guest, other.guest);
  assert.equal(evidence.ofTest('saga-9'), undefined);
});

test('kept are so many, and always the newest of each guest and tier', () => {
  const { evidence, keep, documents } = store();
  keep(evidenceOf(1, { tier: 'far' }));
  for (let at = 2; at < 520; at++) keep(evidenceOf(at));
  assert.ok(documents.size <= 502, `${documents.size}`);
  assert.ok(ends(evidence.all()).includes(1));
  assert.equal(ends(evidence.all())[0], 519);
});

test('a document that does not read is no evidence', () => {
  const { evidence, keep, documents } = store();
  keep(evidenceOf(1));
  documents.set('evidence/x', { key: 'evidence/x', v: 1, body: {} });
  documents.set(`evidence/${'1'.repeat(64)}`, { key: `evidence/${'1'.repeat(64)}`, v: 1, body: { evidence: 1 } });
  assert.deepEqual(ends(evidence.all()), [1]);
});

const good = evidenceOf(1);
const forged: readonly [string, ReportedRestoreTest][] = [
  ['another verdict', { ...good, evidence: { ...good.evidence, verdict: 'failed' } }],
  ['another digest', { ...good, digest: evidenceOf(2).digest }],
  ['the signature of another', { ...good, signature: evidenceOf(2).signature }],
  ['no signature', { ...good, signature: '' }],
];
test('evidence is what the host signed', () => {
  assert.equal(isEvidenceOf(mine.publicLine, good), true);
  assert.equal(isEvidenceOf(key().publicLine, good), false);
  for (const [name, each] of forged) assert.equal(isEvidenceOf(mine.publicLine, each), false, name);
});
