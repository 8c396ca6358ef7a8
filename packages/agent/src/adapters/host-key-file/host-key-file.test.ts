import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { isSignedByHost } from '@felhom/protocol';
import type { Random } from '../../kernel/clock.ts';
import { createHostKey } from '../../host-key/index.ts';
import { systemRandom } from '../system-clock/index.ts';
import { createSshKeygenVerifier } from '../ssh-keygen/index.ts';
import { hostKeyFileName, openHostKey, readHostKey } from './index.ts';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'felhom-host-key-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

const seeded = (seed: string): Random => {
  let drawn = 0;
  return {
    bytes: (count) =>
      createHash('sha512')
        .update(`${seed} ${(drawn += 1)}`)
        .digest()
        .subarray(0, count),
  };
};
const message = Buffer.from('what the host says');

test('made once, private, and the same ever after', (t) => {
  const directory = folder(t);
  const made = openHostKey(directory, seeded('a'));
  assert.ok(made.is === 'loaded');
  const file = join(directory, hostKeyFileName);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory), [hostKeyFileName]);
  const again = openHostKey(directory, seeded('b'));
  assert.ok(again.is === 'loaded' && again.value.publicLine === made.value.publicLine);
  const other = openHostKey(folder(t), seeded('c'));
  assert.ok(other.is === 'loaded' && other.value.publicLine !== made.value.publicLine);
});

test('who makes a key while another does gets that one', (t) => {
  const directory = folder(t);
  let theirs: string | undefined;
  const between: Random = {
    bytes: (count) => {
      if (theirs === undefined) {
        theirs = '';
        const made = openHostKey(directory, seeded('theirs'));
        theirs = made.is === 'loaded' ? made.value.publicLine : '';
      }
      return seeded('ours').bytes(count);
    },
  };
  const ours = openHostKey(directory, between);
  assert.ok(ours.is === 'loaded' && theirs !== '' && ours.value.publicLine === theirs);
  assert.deepEqual(readdirSync(directory), [hostKeyFileName]);
});

const canary = 'canary-8c1d';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' });
const bad: [name: string, text: string, mode: number, code: string][] = [
  ['nothing in it', '', 0o600, 'config.invalid'],
  ['something else in it', canary, 0o600, 'config.invalid'],
  ['a key of another type', rsa, 0o600, 'config.invalid'],
  ['readable for the group', canary, 0o640, 'config.secret-exposed'],
];
for (const [name, text, mode, code] of bad)
  test(`a file with ${name}: ${code}, and it stays as it is`, (t) => {
    const directory = folder(t);
    const file = join(directory, hostKeyFileName);
    writeFileSync(file, text);
    chmodSync(file, mode);
    const opened = openHostKey(directory, seeded('a'));
    assert.ok(opened.is === 'bad' && opened.why.code === code, JSON.stringify(opened));
    assert.ok(!JSON.stringify(opened).includes(canary));
    assert.equal(readFileSync(file, 'utf8'), text);
  });

test('reading makes nothing', (t) => {
  const directory = folder(t);
  const read = readHostKey(directory);
  assert.ok(read.is === 'bad' && read.why.code === 'config.unreadable');
  assert.deepEqual(readdirSync(directory), []);
});

test('what it signs verifies with its own line, for that purpose and those bytes only', (t) => {
  const opened = openHostKey(folder(t), systemRandom());
  assert.ok(opened.is === 'loaded');
  const key = opened.value;
  const signature = key.sign('felhom-report@1', message);
  assert.equal(isSignedByHost(key.publicLine, 'felhom-report@1', message, signature), true);
  assert.equal(isSignedByHost(key.publicLine, 'felhom-job@1', message, signature), false);
  assert.equal(isSignedByHost(key.publicLine, 'felhom-report@1', Buffer.from('other'), signature), false);
  const other = openHostKey(folder(t), systemRandom());
  assert.ok(other.is === 'loaded');
  assert.equal(isSignedByHost(other.value.publicLine, 'felhom-report@1', message, signature), false);
});

test('a text that is no key is named without being quoted', () => {
  assert.throws(
    () => createHostKey(canary),
    (error: Error) => !error.message.includes(canary),
  );
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

test('ssh-keygen accepts what it signs, and names the same fingerprint', { skip }, async (t) => {
  const directory = folder(t);
  const opened = openHostKey(directory, systemRandom());
  assert.ok(opened.is === 'loaded');
  const { publicLine, fingerprint } = opened.value;
  const question = {
    payload: message,
    signature: opened.value.sign('felhom-report@1', message),
    principal: 'box-1',
    namespace: 'felhom-report@1',
    allowedSigners: `box-1 ${publicLine}\n`,
    revoked: '',
    at: Date.UTC(2026, 0, 1),
  } as const;
  const verifier = createSshKeygenVerifier({ directory: join(directory, 'private') });
  const never = new AbortController().signal;
  assert.deepEqual(await verifier.verify(question, never), { is: 'valid' });
  assert.equal((await verifier.verify({ ...question, payload: Buffer.from('x') }, never)).is, 'invalid');
  writeFileSync(join(directory, 'key.pub'), `${publicLine}\n`);
  const listed = execFileSync('ssh-keygen', ['-lf', join(directory, 'key.pub')], { encoding: 'utf8' });
  assert.equal(listed.split(' ')[1], fingerprint);
});
