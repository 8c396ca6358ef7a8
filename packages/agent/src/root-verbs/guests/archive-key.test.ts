/** The key of an archive and the state of a disk, with the programs played by functions. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { VolumeId } from '@felhom/protocol';
import { madeUpNode } from '../../../test/made-up-node.ts';
import type { CommandEnd } from '../../ports/host-command.ts';
import { keyTest } from './archive-key.ts';
import { smart } from './smart.ts';

const archive = 'offsite:backup/ct/9001/2026-11-24T00:46:17Z' as VolumeId;
const fingerprint = '0e:ab:d4:46';
const said = (stdout: string, code = 0, stderr = ''): CommandEnd => ({ code, stdout, stderr });
const files = (mode: string): string =>
  JSON.stringify([
    { filename: 'root.pxar.didx', 'crypt-mode': mode, size: 5 },
    { filename: 'pct.conf.blob', 'crypt-mode': mode, size: 5 },
    { filename: 'index.json.blob', 'crypt-mode': 'none', size: 5 },
  ]);
const storages = `dir: local
\tpath /var/lib/vz
\tcontent backup

pbs: offsite
\tdatastore store
\tserver fd00::5
\tport 8009
\tcontent backup
\tencryption-key 1
\tfingerprint aa:bb
\tnamespace box-1
\tusername felhom@pbs!box

pbs: other
\tdatastore elsewhere
\tserver pbs.example
`;

function setUp(
  t: TestContext,
  { key = JSON.stringify({ kdf: null, data: 'SECRET', fingerprint }) }: { key?: string } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-key-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { places } = madeUpNode(folder);
  const secrets = join(places.etcPve, 'priv/storage');
  writeFileSync(join(places.etcPve, 'storage.cfg'), storages);
  if (key !== '') writeFileSync(join(secrets, 'offsite.enc'), key);
  writeFileSync(join(secrets, 'offsite.pw'), 'PASSWORD');
  const ran: (readonly string[])[] = [];
  const client = (listed: CommandEnd, restored: CommandEnd) => (args: readonly string[]) => {
    ran.push(args);
    return Promise.resolve(args.includes('snapshot') ? listed : restored);
  };
  return { places, secrets, ran, client };
}

test('a key opens an archive when the client decrypts the config in it; no secret is in an argument', async (t) => {
  const { places, secrets, ran, client } = setUp(t);
  const answer = await keyTest(places, client(said(files('encrypt')), said('arch: amd64\nrootfs: a:1\n')), archive);
  assert.deepEqual(answer, { is: 'done', keyTest: { is: 'opens', fingerprint } });
  const before = [
    'HOME=/root',
    `PBS_PASSWORD_FILE=${secrets}/offsite.pw`,
    'PBS_FINGERPRINT=aa:bb',
    '/usr/bin/proxmox-backup-client',
  ];
  const where = ['--repository', 'felhom@pbs!box@[fd00::5]:8009:store', '--ns', 'box-1'];
  const snapshot = 'ct/9001/2026-11-24T00:46:17Z';
  assert.deepEqual(ran, [
    [...before, 'snapshot', 'files', snapshot, '--output-format', 'json', ...where],
    [...before, 'restore', snapshot, 'pct.conf', '-', '--keyfile', `${secrets}/offsite.enc`, ...where],
  ]);
  assert.doesNotMatch(JSON.stringify([ran, answer]), /SECRET|PASSWORD"/);
});

const rows: [name: string, key: string | undefined, listed: CommandEnd, restored: CommandEnd, expect: RegExp][] = [
  ['not encrypted', undefined, said(files('none')), said(''), /^done not-encrypted/],
  ['signed only', undefined, said(files('sign-only')), said(''), /^done not-encrypted/],
  ['no key', '', said(files('encrypt')), said('arch: amd64'), /^done wrong-key the storage has no key/],
  [
    'a key that is none',
    'SECRET',
    said(files('encrypt')),
    said('arch: amd64'),
    /^done wrong-key the storage has no key/,
  ],
  [
    'another key',
    undefined,
    said(files('encrypt')),
    said(
      '',
      255,
      "Error: wrong key - unable to verify signature since manifest's key aa does not match provided key bb",
    ),
    /^done wrong-key Error: wrong key/,
  ],
  ['the server is away', undefined, said('', 255, 'connection refused'), said(''), /^busy .*connection refused/],
  ['it goes away', undefined, said(files('encrypt')), said('', 255, 'connection reset'), /^busy .*connection reset/],
  ['what comes out is no config', undefined, said(files('encrypt')), said('\u0000\u0001'), /^busy .*no config/],
  ['no list', undefined, said('nothing'), said(''), /^busy .*no JSON/],
  ['a list without a config', undefined, said('[]'), said(''), /^busy .*names no config/],
];
for (const [name, key, listed, restored, expect] of rows)
  test(`key-test: ${name}`, async (t) => {
    const { places, client } = setUp(t, key === undefined ? {} : { key });
    const answer = await keyTest(places, client(listed, restored), archive);
    const { keyTest: found } = answer.is === 'done' ? answer : { keyTest: undefined };
    const text = found?.is === 'wrong-key' ? found.text : '';
    assert.match(answer.is === 'done' ? `done ${found?.is} ${text}` : `${answer.is} ${answer.text}`, expect);
    assert.doesNotMatch(JSON.stringify(answer), /SECRET/);
  });

test('key-test: only snapshots of a storage that is on a backup server', async (t) => {
  const { places, ran, client } = setUp(t);
  for (const id of [
    'local:backup/vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst',
    'local:backup/ct/9001/2026-11-24T00:46:17Z',
    'nowhere:backup/ct/9001/2026-11-24T00:46:17Z',
    'offsite:backup/ct/9001/../../2026-11-24T00:46:17Z',
    'offsite:backup/ct/9001/2026-11-24T00:46:17Z\n--keyfile=/etc/shadow',
    'offsite:backup/host/9001/2026-11-24T00:46:17Z',
  ])
    assert.equal((await keyTest(places, client(said(''), said('')), id as VolumeId)).is, 'refused', id);
  assert.deepEqual(ran, []);
});

test('smart: what a disk says, without waking it', async () => {
  const seen: (readonly string[])[] = [];
  const ask = async (end: CommandEnd | Error) => {
    const answer = await smart((args) => {
      seen.push(args);
      return end instanceof Error ? Promise.reject(end) : Promise.resolve(end);
    }, 'sda');
    return answer.is === 'done' ? answer.smart : `${answer.is}: ${answer.text}`;
  };
  const healthy = '{\n  "smart_status": { "passed": true }\n}';
  assert.equal(await ask(said(healthy)), '{"smart_status":{"passed":true}}');
  assert.deepEqual(seen, [['--json', '--all', '--nocheck=standby', '/dev/sda']]);
  // Findings, and sleep, are in the document.
  for (const code of [2, 4, 64, 216]) assert.equal(await ask(said(healthy, code)), '{"smart_status":{"passed":true}}');
  assert.match(await ask(said(healthy, 1)), /^busy: .*ended with 1/);
  assert.match(await ask(said('', 2, 'no such device')), /^busy: .*no such device/);
  for (const wrong of ['words', '"words"', 'null', JSON.stringify({ x: 'x'.repeat(300_000) })])
    assert.match(await ask(said(wrong)), /^busy: .*smartctl printed/);
  assert.match(await ask(new Error('there is no smartctl')), /^busy: .*no smartctl/);
});
