import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { Command } from 'commander';
import { hostId, payloadOf, trustDocument, writeEnvelope } from '@felhom/protocol';
import type { CanonicalValue, TrustDocument } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { openHostKey } from '../adapters/host-key-file/index.ts';
import { systemRandom } from '../adapters/system-clock/index.ts';
import { alice, bob, carol, day, makeTrustJob, now } from '../trust/test/people.ts';
import { addIdentity } from './identity.ts';
import { addTrust } from './trust.ts';

const uid = process.getuid?.() ?? 0;
const host = hostId.parse('box-1');

function setUp(t: TestContext, as: number = uid) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-trust-command-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const trustFile = join(folder, 'trust.json');
  for (const person of [alice, bob, carol])
    writeFileSync(join(folder, `${person.name}.pub`), `${person.key} a comment\n`);
  const resets: string[] = [];
  const run = async (...argv: string[]) => {
    const said = { out: '', failed: '' };
    const common = {
      print: (text: string) => void (said.out += text),
      fail: (text: string) => void (said.failed += text),
      style: createStyle(false),
    };
    const quiet = { writeErr: (text: string) => void (said.failed += text), writeOut: () => {} };
    const program = new Command('felhom-agent').exitOverride().configureOutput(quiet);
    addIdentity(program, { ...common, identityOf: () => ({ is: 'loaded', value: { host, keyDirectory: folder } }) });
    addTrust(program, {
      ...common,
      now: () => now,
      signal: new AbortController().signal,
      trustOf: () => ({ is: 'loaded', value: { host, trustFile } }),
      resetClock: async () => resets.push('reset'),
      uid: as,
      rootUid: uid,
    });
    for (const command of program.commands.flatMap((made) => [made, ...made.commands]))
      command.exitOverride().configureOutput(quiet);
    try {
      await program.parseAsync(argv, { from: 'user' });
    } catch (error) {
      said.failed += (error as Error).message;
    }
    return said;
  };
  const pub = (name: string): string => `${name}=${join(folder, `${name}.pub`)}`;
  const written = (): TrustDocument => trustDocument.parse(JSON.parse(readFileSync(trustFile, 'utf8')));
  return { folder, trustFile, run, pub, written, resets };
}

test('init writes the first document and says what one person alone can do', async (t) => {
  const { run, pub, written, trustFile, folder } = setUp(t);
  const { out, failed } = await run('trust', 'init', '--signer', pub('alice'), '--signer', pub('bob'));
  assert.equal(failed, '');
  const document = written();
  assert.deepEqual(
    document.signers.map(({ principal, key, signs }) => [principal, key, signs]),
    [
      ['alice', alice.key, ['felhom-job@1']],
      ['bob', bob.key, ['felhom-job@1']],
    ],
  );
  assert.deepEqual(document.thresholds, { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 2 });
  assert.equal(document.version, 1);
  assert.equal(document.expiresAt - document.issuedAt, 90 * day);
  assert.equal(statSync(trustFile).mode & 0o777, 0o644);
  assert.match(out, /One person alone, or whoever gets hold of one person's key, is enough to:\n(?: {2}- .*\n)+$/);
  assert.match(out, /- send data somewhere new/);
  assert.doesNotMatch(out, /- destroy a guest/);
  assert.deepEqual(readdirSync(folder).sort(), ['alice.pub', 'bob.pub', 'carol.pub', 'trust.json']);
});

test('a lone operator, thresholds, days and release keys', async (t) => {
  const lone = setUp(t);
  const { out } = await lone.run('trust', 'init', '--signer', lone.pub('alice'), '--lone-operator', '--days', '30');
  assert.match(out, /- destroy a guest that has served, for good/);
  assert.equal(lone.written().loneOperator, true);
  assert.equal(lone.written().expiresAt - now, 30 * day);
  const many = setUp(t);
  const names = ['alice', 'bob'].flatMap((name) => ['--signer', many.pub(name)]);
  const release = ['--release-signer', many.pub('bob'), '--release-signer', many.pub('carol')];
  const all = ['destroy', 'disclose', 'deploy', 'divert'].flatMap((name) => [`--${name}`, '2']);
  const told = await many.run('trust', 'init', ...names, ...release, ...all);
  assert.equal(told.failed, '');
  assert.doesNotMatch(told.out, /One person alone/);
  assert.deepEqual(
    many.written().signers.map(({ principal, signs }) => [principal, ...signs]),
    [
      ['alice', 'felhom-job@1'],
      ['bob', 'felhom-job@1', 'felhom-release@1'],
      ['carol', 'felhom-release@1'],
    ],
  );
});

const refusals: [name: string, argv: (pub: (name: string) => string, folder: string) => string[], says: RegExp][] = [
  ['nobody named', () => [], /nobody is named/],
  ['one person who is no lone operator', (pub) => ['--signer', pub('alice')], /2 people must be able to sign/],
  ['a file that is not there', () => ['--signer', 'alice=/nonexistent'], /ENOENT/],
  ['a private key', (_, folder) => ['--signer', `alice=${join(folder, 'private')}`], /is not one public key of type/],
  ['no file', () => ['--signer', 'alice'], /NAME=KEYFILE\.pub/],
  [
    'a name that is a pattern',
    (_, folder) => ['--signer', `a*=${join(folder, 'alice.pub')}`, '--lone-operator'],
    /principal/,
  ],
  ['no days', (pub) => ['--signer', pub('alice'), '--days', '0'], /whole number/],
  ['too many days', (pub) => ['--signer', pub('alice'), '--lone-operator', '--days', '401'], /400 days/],
  [
    'a threshold that nobody meets',
    (pub) => ['--signer', pub('alice'), '--signer', pub('bob'), '--trust', '3'],
    /3 people/,
  ],
];
for (const [name, argv, says] of refusals)
  test(`init with ${name} writes nothing`, async (t) => {
    const { run, pub, folder } = setUp(t);
    writeFileSync(
      join(folder, 'private'),
      '-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n',
    );
    const { failed } = await run('trust', 'init', ...argv(pub, folder));
    assert.match(failed, says);
    assert.doesNotMatch(failed, /canary/);
    assert.ok(!readdirSync(folder).includes('trust.json'));
  });

test('a document that is there is not replaced by init, and everything but show takes root', async (t) => {
  const { run, pub, trustFile } = setUp(t);
  const argv = ['trust', 'init', '--signer', pub('alice'), '--lone-operator'];
  await run(...argv);
  const before = readFileSync(trustFile, 'utf8');
  assert.match((await run(...argv, '--days', '5')).failed, /there is one; change it with a signed job/);
  assert.equal(readFileSync(trustFile, 'utf8'), before);
  const other = setUp(t, uid + 1);
  for (const verb of [['init', '--signer', other.pub('alice')], ['apply', 'x'], ['reset-clock']])
    assert.match((await other.run('trust', ...verb)).failed, /this takes root/);
  assert.deepEqual(other.resets, []);
});

test('show: the document, none, an exposed one', async (t) => {
  const { run, pub, trustFile } = setUp(t);
  assert.match((await run('trust', 'show')).failed, /this host trusts nobody yet/);
  await run('trust', 'init', '--signer', pub('alice'), '--signer', pub('bob'));
  const { out } = await run('trust', 'show');
  assert.match(out, /in force, until \d{4}-\d{2}-\d{2} \(90 days\)/);
  assert.match(out, /SHA256:\S+ \(file or agent\)/);
  assert.equal((JSON.parse((await run('trust', 'show', '--json')).out) as { digest: string }).digest.length, 64);
  chmodSync(trustFile, 0o666);
  assert.match((await run('trust', 'show')).failed, /others may write there/);
});

const installed = ((): boolean => {
  try {
    execFileSync('ssh-keygen', ['-Y', 'verify'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
})();
const skip = installed ? false : 'ssh-keygen is not installed here; install openssh-client to run this';

test(
  'apply: a signed change from a file, verified by ssh-keygen; a tampered one changes nothing',
  { skip },
  async (t) => {
    const { run, pub, written, folder } = setUp(t);
    await run('trust', 'init', '--signer', pub('alice'), '--signer', pub('bob'));
    const first = written();
    const next = { ...first, version: 2, expiresAt: now + 200 * day };
    const payload = payloadOf(JSON.parse(JSON.stringify(makeTrustJob(first, next))) as CanonicalValue);
    const file = join(folder, 'change');
    writeFileSync(file, writeEnvelope(payload, [alice.sign(payload), bob.sign(Buffer.from('other'))]));
    assert.match((await run('trust', 'apply', file)).failed, /2 people have to sign, 1 did/);
    assert.equal(written().version, 1);
    writeFileSync(file, writeEnvelope(payload, [alice.sign(payload), bob.sign(payload)]));
    assert.equal((await run('trust', 'apply', file)).out, 'version 2 of the trust document is in force\n');
    assert.equal(written().expiresAt, now + 200 * day);
    assert.match((await run('trust', 'apply', '/nonexistent')).failed, /cannot change trust: ENOENT/);
  },
);

test('reset-clock asks the agent', async (t) => {
  const { run, resets } = setUp(t);
  assert.match((await run('trust', 'reset-clock')).out, /have to be made again/);
  assert.deepEqual(resets, ['reset']);
});

test('identity: the line to pin; without a key it makes none', async (t) => {
  const { run, folder } = setUp(t);
  assert.match((await run('identity')).failed, /the agent makes the key when it starts/);
  assert.ok(!readdirSync(folder).includes('host-key.pem'));
  const made = openHostKey(folder, systemRandom());
  assert.ok(made.is === 'loaded');
  const { out } = await run('identity');
  assert.ok(out.includes(`\n  felhom hosts trust box-1 ${made.value.fingerprint}\n`), out);
  assert.ok(out.includes(made.value.publicLine));
  assert.deepEqual(JSON.parse((await run('identity', '--json')).out), {
    host: 'box-1',
    key: made.value.publicLine,
    fingerprint: made.value.fingerprint,
  });
});
