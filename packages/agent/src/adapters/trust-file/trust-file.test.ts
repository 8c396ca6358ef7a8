import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { digestOfTrust } from '@felhom/protocol';
import type { TrustRead } from '../../ports/trust-store.ts';
import { writeTrustText } from '../../trust/index.ts';
import { makeDocument } from '../../trust/test/people.ts';
import { createTrustFile } from './index.ts';

const uid = process.getuid?.() ?? 0;
const document = makeDocument();

function setUp(t: TestContext, ownerUids: readonly number[] = [uid]) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-trust-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'trust.json');
  writeFileSync(file, writeTrustText(document), { mode: 0o644 });
  return { folder, file, store: createTrustFile(file, { ownerUids }) };
}

const codeOf = (read: TrustRead): string => (read.is === 'unreadable' ? read.why.code : read.is);

test('it reads what lies there, and the same document again while nothing changes', (t) => {
  const { store } = setUp(t);
  const read = store.read();
  assert.deepEqual(read, { is: 'held', document, digest: digestOfTrust(document) });
  assert.equal(store.read(), read);
});

test('a change is seen: written in place, renamed over, gone, back', (t) => {
  const { store, file } = setUp(t);
  const versionOf = (): number | string => {
    const read = store.read();
    return read.is === 'held' ? read.document.version : codeOf(read);
  };
  assert.equal(versionOf(), 3);
  // The same size: only the times, or the file itself, differ.
  writeFileSync(file, writeTrustText(makeDocument({ version: 4 })));
  assert.equal(versionOf(), 4);
  writeFileSync(`${file}.next`, writeTrustText(makeDocument({ version: 5 })), { mode: 0o644 });
  renameSync(`${file}.next`, file);
  assert.equal(versionOf(), 5);
  writeFileSync(file, '{"v":1}');
  assert.equal(versionOf(), 'trust.unreadable');
  rmSync(file);
  assert.equal(versionOf(), 'none');
  writeFileSync(file, writeTrustText(document), { mode: 0o644 });
  assert.equal(versionOf(), 3);
});

const exposures: [name: string, expose: (world: { folder: string; file: string }) => void][] = [
  ['a file that the group may write', ({ file }) => chmodSync(file, 0o664)],
  ['a file that everybody may write', ({ file }) => chmodSync(file, 0o646)],
  ['a folder that the group may write', ({ folder }) => chmodSync(folder, 0o770)],
  ['a folder that everybody may write, sticky', ({ folder }) => chmodSync(folder, 0o1777)],
];
for (const [name, expose] of exposures)
  test(`${name}: exposed, also when it was read before`, (t) => {
    const world = setUp(t);
    assert.equal(world.store.read().is, 'held');
    expose(world);
    assert.equal(codeOf(world.store.read()), 'trust.exposed');
  });

test('a file or folder of somebody else is not believed', (t) => {
  const { store, file } = setUp(t, [uid + 1]);
  const read = store.read();
  assert.ok(read.is === 'unreadable' && read.why.code === 'trust.exposed');
  assert.match(read.why.text, new RegExp(`${file}: it belongs to uid ${uid}, not to ${uid + 1}`));
});

const odd: [name: string, place: (file: string) => void, is: string][] = [
  [
    'a link to a sound document',
    (file) => {
      writeFileSync(`${file}.other`, writeTrustText(document), { mode: 0o644 });
      symlinkSync(`${file}.other`, file);
    },
    'trust.unreadable',
  ],
  ['a folder', (file) => mkdirSync(file, { mode: 0o755 }), 'trust.unreadable'],
  ['nothing in it', (file) => writeFileSync(file, ''), 'trust.unreadable'],
  [
    'a document that does not hold',
    (file) => writeFileSync(file, JSON.stringify({ ...document, signers: [] })),
    'trust.unreadable',
  ],
  ['a later version', (file) => writeFileSync(file, JSON.stringify({ ...document, v: 2 })), 'trust.unreadable'],
  ['far too much', (file) => writeFileSync(file, ' '.repeat(300_000)), 'trust.unreadable'],
  ['no file', () => {}, 'none'],
];
for (const [name, place, is] of odd)
  test(`${name} in its place: ${is}`, (t) => {
    const { store, file } = setUp(t);
    rmSync(file);
    place(file);
    assert.equal(codeOf(store.read()), is);
  });
