/** What the index of a snapshot says, with the client played by a function. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { VolumeId } from '@felhom/protocol';
import { madeUpNode } from '../../../test/made-up-node.ts';
import type { CommandEnd } from '../../ports/host-command.ts';
import { snapshotDigest } from './snapshot-digest.ts';

const time = '2026-11-24T00:46:17Z';
const archive = `offsite:backup/ct/9001/${time}` as VolumeId;
const said = (stdout: string, code = 0, stderr = ''): CommandEnd => ({ code, stdout, stderr });
const listOf = (...times: string[]): CommandEnd =>
  said(
    JSON.stringify(
      times.map((at) => ({ 'backup-type': 'ct', 'backup-id': '9001', 'backup-time': Date.parse(at) / 1000 })),
    ),
  );
const csum = (letter: string): string => letter.repeat(64);
const index = (changes: object = {}): CommandEnd =>
  said(
    JSON.stringify({
      'backup-type': 'ct',
      'backup-id': '9001',
      'backup-time': Date.parse(time) / 1000,
      files: [
        { filename: 'root.pxar.didx', size: 4096, csum: csum('a'), 'crypt-mode': 'encrypt' },
        { filename: 'pct.conf.blob', size: 300, csum: csum('b'), 'crypt-mode': 'encrypt' },
      ],
      signature: csum('c'),
      unprotected: { 'key-fingerprint': 'aa', notes: 'first' },
      ...changes,
    }),
  );

function setUp(t: TestContext, { key = true } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-index-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { places } = madeUpNode(folder);
  writeFileSync(
    join(places.etcPve, 'storage.cfg'),
    'pbs: offsite\n\tdatastore store\n\tserver pbs.example\n\tfingerprint aa:bb\n\tusername felhom@pbs!box\n',
  );
  if (key) writeFileSync(join(places.etcPve, 'priv/storage', 'offsite.enc'), 'SECRET');
  const ran: (readonly string[])[] = [];
  const ask = (listed: CommandEnd | Error, restored: CommandEnd) =>
    snapshotDigest(
      places,
      (args) => {
        ran.push(args);
        const answer = args.includes('list') ? listed : restored;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      archive,
    );
  return { ask, ran };
}

const digestOf = async ({ ask }: ReturnType<typeof setUp>, restored: CommandEnd): Promise<string> => {
  const answer = await ask(listOf(time), restored);
  return answer.is === 'done' ? answer.archive.sha256 : answer.text;
};

test('size, repository and a digest of what the index says', async (t) => {
  const set = setUp(t);
  const answer = await set.ask(listOf('2026-11-23T00:00:00Z', time), index());
  assert.ok(answer.is === 'done');
  assert.equal(answer.archive.kind, 'pbs-index');
  assert.equal(answer.archive.sizeBytes, 4396);
  assert.equal(answer.archive.device, 'pbs:pbs.example:8007:store::aa:bb');
  assert.match(answer.archive.sha256, /^[0-9a-f]{64}$/);
  assert.ok(set.ran[1]?.includes('--keyfile'), 'with a key the client checks the signature');
  assert.doesNotMatch(JSON.stringify([set.ran, answer]), /SECRET/);
});

test('what the server writes into an index later does not change it; anything else does', async (t) => {
  const set = setUp(t);
  const before = await digestOf(set, index());
  const later = { unprotected: { 'key-fingerprint': 'aa', notes: 'second', verify_state: { state: 'ok' } } };
  assert.equal(await digestOf(set, index(later)), before);
  const swapped = [{ filename: 'root.pxar.didx', size: 4396, csum: csum('d'), 'crypt-mode': 'encrypt' }];
  assert.notEqual(await digestOf(set, index({ files: swapped })), before);
  assert.notEqual(await digestOf(set, index({ signature: csum('e') })), before);
  assert.notEqual(await digestOf(set, index({ 'backup-time': 1 })), before);
});

test('without a key none is named', async (t) => {
  const set = setUp(t, { key: false });
  await set.ask(listOf(time), index());
  assert.ok(set.ran.every((args) => !args.includes('--keyfile')));
});

const rows: [name: string, listed: CommandEnd | Error, restored: CommandEnd, expect: RegExp][] = [
  ['another is there and it is not', listOf('2026-11-23T00:00:00Z'), index(), /^absent .*no such snapshot of ct\/9001/],
  ['nothing of its group is shown', listOf(), index(), /^busy .*shows nothing of ct\/9001/],
  ['the server is away', said('', 255, 'connection refused'), index(), /^busy .*connection refused/],
  ['there is no client', new Error('cannot run env'), index(), /^busy .*cannot run env/],
  ['a list that is none', said('nothing'), index(), /^busy .*something else/],
  ['the key is another', listOf(time), said('', 255, 'Error: wrong key'), /^busy .*wrong key/],
  ['an index without files', listOf(time), index({ files: [] }), /^busy .*something else/],
  [
    'an index without checksums',
    listOf(time),
    index({ files: [{ filename: 'a', size: 1 }] }),
    /^busy .*something else/,
  ],
  ['what comes out is no index', listOf(time), said('\u0000'), /^busy .*something else/],
];
for (const [name, listed, restored, expect] of rows)
  test(`a snapshot: ${name}`, async (t) => {
    const answer = await setUp(t).ask(listed, restored);
    assert.match(answer.is === 'done' ? 'done' : `${answer.is} ${answer.text}`, expect);
    assert.doesNotMatch(JSON.stringify(answer), /SECRET/);
  });
