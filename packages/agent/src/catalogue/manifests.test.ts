import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContentManifest, Digest } from '@felhom/protocol';
import type { Documents, StoredDocument } from '../kernel/journal.ts';
import { createManifests } from './manifests.ts';
import { compareSamples, judgeChange, sumsOf } from './mass-change.ts';
import { uidOf } from './test/builders.ts';

function memoryDocuments(): Documents {
  const held = new Map<string, StoredDocument>();
  return {
    get: (key) => held.get(key),
    put: (document) => void held.set(document.key, document),
    remove: (key) => void held.delete(key),
    list: (prefix) => [...held.values()].filter(({ key }) => key.startsWith(prefix)),
  };
}

const hash = (letter: string): Digest => letter.repeat(64) as Digest;
function manifest(files: number, hashes: readonly string[] = [], more: Partial<ContentManifest> = {}): ContentManifest {
  return {
    v: 1,
    at: 1000,
    volumes: [
      {
        path: '/',
        files,
        bytes: files * 10,
        samples: hashes.map((letter, i) => ({ path: `f${i}`, sizeBytes: 10, sha256: hash(letter) })),
      },
    ],
    ...more,
  };
}

test('the latest manifest of a guest comes back, and each body by its digest', () => {
  const manifests = createManifests(memoryDocuments());
  assert.equal(manifests.latest(uidOf('a')), undefined);
  const first = manifests.put(uidOf('a'), manifest(1));
  const second = manifests.put(uidOf('a'), manifest(2, [], { at: 2000 }));
  assert.notEqual(first, second);
  assert.deepEqual(manifests.latest(uidOf('a')), { digest: second, manifest: manifest(2, [], { at: 2000 }), at: 2000 });
  assert.deepEqual(manifests.byDigest(first), manifest(1));
  assert.equal(manifests.latest(uidOf('b')), undefined);
});

test('what a guest said before goes with its next word, unless a backup or another guest needs it', () => {
  const documents = memoryDocuments();
  const needed = new Set<Digest>();
  const manifests = createManifests(documents, (of) => needed.has(of));
  for (let n = 1; n <= 50; n++) manifests.put(uidOf('a'), manifest(n));
  assert.equal(documents.list('manifest-body/').length, 1);
  const kept = manifests.put(uidOf('a'), manifest(60));
  needed.add(kept);
  const shared = manifests.put(uidOf('b'), manifest(61));
  manifests.put(uidOf('a'), manifest(61));
  manifests.put(uidOf('a'), manifest(62));
  assert.ok(manifests.byDigest(kept) !== undefined && manifests.byDigest(shared) !== undefined);
  needed.clear();
  manifests.release(kept);
  assert.equal(manifests.byDigest(kept), undefined);
  manifests.release(shared);
  assert.ok(manifests.byDigest(shared) !== undefined, 'the latest of b');
});

test('a sweep leaves what is kept and what is the latest of any guest', () => {
  const manifests = createManifests(memoryDocuments());
  const [one, two, three, other] = [
    manifests.put(uidOf('a'), manifest(1)),
    manifests.put(uidOf('a'), manifest(2)),
    manifests.put(uidOf('a'), manifest(3)),
    manifests.put(uidOf('b'), manifest(4)),
  ];
  assert.equal(manifests.sweep(new Set([one])), 1);
  assert.equal(manifests.byDigest(two), undefined);
  for (const digest of [one, three, other]) assert.ok(manifests.byDigest(digest) !== undefined);
  manifests.forget(uidOf('b'));
  assert.equal(manifests.sweep(new Set([one])), 1);
  assert.equal(manifests.byDigest(other), undefined);
});

test('one of more than 1 MiB is not stored', () => {
  const manifests = createManifests(memoryDocuments());
  const path = 'p'.repeat(1000);
  const samples = Array.from({ length: 200 }, () => ({ path, sizeBytes: 1, sha256: hash('a') }));
  const large = manifest(1, [], {
    volumes: Array.from({ length: 6 }, () => ({ path: '/', files: 1, bytes: 1, samples })),
  });
  assert.throws(() => manifests.put(uidOf('a'), large), /1048576 at most/);
  assert.equal(manifests.latest(uidOf('a')), undefined);
});

test('one that this release cannot read throws', () => {
  const documents = memoryDocuments();
  const digest = createManifests(documents).put(uidOf('a'), manifest(1));
  documents.put({ key: `manifest-body/${digest}`, v: 1, body: { v: 2 } });
  assert.throws(() => createManifests(documents).byDigest(digest), /cannot read manifest-body/);
});

const sums: readonly { before: [number, number]; after: [number, number]; percent: number; is: RegExp | 'ordinary' }[] =
  [
    { before: [100, 1000], after: [100, 1000], percent: 50, is: 'ordinary' },
    { before: [100, 1000], after: [51, 1000], percent: 50, is: 'ordinary' },
    { before: [100, 1000], after: [50, 1000], percent: 50, is: /^100 files became 50 \(/ },
    { before: [100, 1000], after: [150, 1000], percent: 50, is: /100 files became 150/ },
    { before: [100, 1000], after: [100, 400], percent: 50, is: /^1000 bytes became 400/ },
    { before: [100, 1000], after: [0, 0], percent: 100, is: /100 files became 0; 1000 bytes became 0/ },
    { before: [0, 0], after: [5000, 1_000_000], percent: 1, is: 'ordinary' },
    { before: [100, 1000], after: [99, 1000], percent: 1, is: /100 files became 99/ },
  ];
for (const { before, after, percent, is } of sums)
  test(`${before.join('/')} to ${after.join('/')} at ${percent} %: ${is === 'ordinary' ? is : 'mass change'}`, () => {
    const change = judgeChange({ files: before[0], bytes: before[1] }, { files: after[0], bytes: after[1] }, percent);
    if (is === 'ordinary') assert.equal(change.is, 'ordinary');
    else assert.match(change.is === 'mass-change' ? change.text : '', is);
  });

test('files that are encrypted in place keep their sums and are found by their samples', () => {
  const before = manifest(100, 'aaaaaaaaaa'.split(''));
  const judge = (after: ContentManifest): string =>
    judgeChange(sumsOf(before), sumsOf(after), 50, compareSamples(before, after)).is;
  assert.equal(judge(manifest(100, 'bbbbbaaaaa'.split(''))), 'mass-change');
  assert.equal(judge(manifest(100, 'bbbbaaaaaa'.split(''))), 'ordinary');
  // Two samples that change every day are a database.
  const small = manifest(100, ['a', 'a']);
  assert.deepEqual(compareSamples(small, manifest(100, ['b', 'b'])), { same: 0, changed: 2 });
  assert.equal(judgeChange(sumsOf(small), sumsOf(small), 50, { same: 0, changed: 2 }).is, 'ordinary');
});

test('samples of a volume that is empty or gone are gone, those that are not taken again say nothing', () => {
  const before = manifest(100, 'aaaa'.split(''));
  assert.deepEqual(compareSamples(before, manifest(0)), { same: 0, changed: 4 });
  assert.deepEqual(compareSamples(before, { ...manifest(100), volumes: [] }), { same: 0, changed: 4 });
  assert.deepEqual(compareSamples(before, manifest(100, ['a'])), { same: 1, changed: 0 });
});
