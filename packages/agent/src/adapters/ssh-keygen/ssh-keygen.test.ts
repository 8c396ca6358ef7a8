import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { parseSshsig } from '@felhom/protocol';
import { createIdleClock } from '../../../test/idle-clock.ts';
import type { SignatureAnswer, SignatureQuestion } from '../../ports/signatures.ts';
import { createSshKeygenVerifier } from './index.ts';
import { recorded } from './test/sk-signatures.fixture.ts';
import { createSoftwareAuthenticator } from './test/software-authenticator.ts';

const never = new AbortController().signal;
const at = Date.UTC(2026, 5, 1);
const namespace = 'felhom-job@1';

const installed = ((): boolean => {
  try {
    execFileSync('ssh-keygen', ['-Y', 'verify'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
})();
const skip = installed ? false : 'ssh-keygen is not installed here; install openssh-client to run this';

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'felhom-keygen-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

/** A person with a key of her own, and one signature over `payload`, both made by ssh-keygen. */
function alice(t: TestContext, payload = 'the payload\n') {
  const directory = folder(t);
  const key = join(directory, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', key]);
  const message = join(directory, 'message');
  writeFileSync(message, payload);
  execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-f', key, '-n', namespace, message], { stdio: 'ignore' });
  const keyLine = readFileSync(`${key}.pub`, 'utf8').trim();
  const question: SignatureQuestion = {
    payload: Buffer.from(payload),
    signature: readFileSync(`${message}.sig`, 'utf8'),
    principal: 'alice',
    namespace,
    allowedSigners: `alice namespaces="${namespace}" ${keyLine}\n`,
    revoked: '',
    at,
  };
  const verifier = createSshKeygenVerifier({ directory: join(directory, 'private') });
  return { directory, keyLine, question, verifier };
}

const rows: [
  name: string,
  change: (question: SignatureQuestion, keyLine: string) => Partial<SignatureQuestion>,
  is: string,
][] = [
  ['as it was signed', () => ({}), 'valid'],
  [
    'a payload with one byte more',
    ({ payload }) => ({ payload: Buffer.concat([payload, Buffer.from('x')]) }),
    'invalid',
  ],
  ['an empty payload', () => ({ payload: Buffer.alloc(0) }), 'invalid'],
  ['another namespace', () => ({ namespace: 'felhom-release@1' }), 'invalid'],
  ['a key listed for another namespace', (_, key) => ({ allowedSigners: `alice namespaces="x" ${key}\n` }), 'invalid'],
  ['another person', () => ({ principal: 'bob' }), 'invalid'],
  ['nobody listed', () => ({ allowedSigners: '' }), 'invalid'],
  ['a revoked key', (_, key) => ({ revoked: `${key}\n` }), 'invalid'],
  [
    'a key that was valid before',
    (_, key) => ({ allowedSigners: `alice valid-before="20260531235959Z" ${key}\n` }),
    'invalid',
  ],
  [
    'a key that will be valid later',
    (_, key) => ({ allowedSigners: `alice valid-after="20260601000001Z" ${key}\n` }),
    'invalid',
  ],
  [
    'a key in its validity',
    (_, key) => ({ allowedSigners: `alice valid-after="20260601000000Z",valid-before="20260602000000Z" ${key}\n` }),
    'valid',
  ],
  ['no signature at all', () => ({ signature: 'nothing' }), 'invalid'],
  ['a time beyond four-digit years', () => ({ at: Number.MAX_SAFE_INTEGER }), 'valid'],
];
test('what ssh-keygen says', { skip }, async (t) => {
  const { question, keyLine, verifier } = alice(t);
  for (const [name, change, is] of rows)
    await t.test(`${name}: ${is}`, async () => {
      const answer = await verifier.verify({ ...question, ...change(question, keyLine) }, never);
      assert.equal(answer.is, is, JSON.stringify(answer));
    });
});

test('many questions at once do not mix up their files, and leave none behind', { skip }, async (t) => {
  const { question, verifier, directory } = alice(t);
  const wrong = { ...question, payload: Buffer.from('other') };
  const asked = Array.from({ length: 12 }, (_, at) => verifier.verify(at % 2 === 0 ? question : wrong, never));
  const answers = await Promise.all(asked);
  assert.deepEqual(
    answers.map(({ is }) => is),
    answers.map((_, at) => (at % 2 === 0 ? 'valid' : 'invalid')),
  );
  assert.deepEqual(readdirSync(join(directory, 'private')), []);
});

test(
  'the recorded signature of a FIDO2 key is good, touched or not; only our own reader tells them apart',
  { skip },
  async (t) => {
    const verifier = createSshKeygenVerifier({ directory: join(folder(t), 'private') });
    for (const [signature, present, counter] of [
      [recorded.touched, true, 7],
      [recorded.untouched, false, 8],
    ] as const) {
      const question = {
        payload: Buffer.from(recorded.message),
        signature,
        principal: 'alice',
        namespace,
        allowedSigners: `alice namespaces="${namespace}" ${recorded.keyLine}\n`,
        revoked: '',
        at,
      } as const;
      assert.deepEqual(await verifier.verify(question, never), { is: 'valid' });
      assert.equal((await verifier.verify({ ...question, payload: Buffer.from('x') }, never)).is, 'invalid');
      assert.deepEqual(parseSshsig(signature)?.touch, { present, userVerified: false, counter });
    }
  },
);

test('a flag that was set after signing breaks the signature', { skip }, async (t) => {
  const key = createSoftwareAuthenticator('ssh:felhom');
  const message = Buffer.from('m');
  const untouched = key.sign(namespace, message, 0x00, 1);
  const lines = untouched.trim().split('\n');
  const blob = Buffer.from(lines.slice(1, -1).join(''), 'base64');
  // The flags lie right before the four bytes of the counter, at the very end.
  blob[blob.length - 5] = 0x01;
  const forged = [lines[0], ...(blob.toString('base64').match(/.{1,70}/g) ?? []), lines.at(-1), ''].join('\n');
  assert.equal(parseSshsig(forged)?.touch?.present, true);
  const verifier = createSshKeygenVerifier({ directory: join(folder(t), 'private') });
  const ask = (signature: string): Promise<SignatureAnswer> =>
    verifier.verify(
      {
        payload: message,
        signature,
        principal: 'alice',
        namespace,
        allowedSigners: `alice ${key.keyLine}\n`,
        revoked: '',
        at,
      },
      never,
    );
  assert.equal((await ask(untouched)).is, 'valid');
  assert.equal((await ask(forged)).is, 'invalid');
});

const question: SignatureQuestion = {
  payload: Buffer.from('x'),
  signature: 's',
  principal: 'alice',
  namespace,
  allowedSigners: '',
  revoked: '',
  at,
};
const codeOf = (answer: SignatureAnswer): string => (answer.is === 'unknown' ? answer.why.code : answer.is);

/** A program in the place of ssh-keygen; the first line says what runs it. */
function standIn(t: TestContext, script: string) {
  const directory = folder(t);
  const program = join(directory, 'program');
  writeFileSync(program, `#!${process.execPath}\n${script}`);
  chmodSync(program, 0o700);
  return { program, directory: join(directory, 'private') };
}

const verdictless: [name: string, script: string][] = [
  ['exits with 0 and says nothing', ''],
  ['exits with 0 and names somebody else', `console.log('Good "${namespace}" signature for bob with ED25519 key x')`],
  ['exits with 255 and says nothing', 'process.exitCode = 255'],
  [
    'cannot open its files',
    `console.error('Unable to open allowed keys file "/dev/fd/4": No such file or directory'); console.log('Could not verify signature.'); process.exitCode = 255`,
  ],
  ['dies', `process.kill(process.pid, 'SIGKILL')`],
  ['talks for ever', `process.stdout.write('x'.repeat(100_000)); setInterval(() => {}, 1000)`],
];
for (const [name, script] of verdictless)
  test(`a program that ${name} gives no verdict`, async (t) => {
    assert.equal(
      codeOf(await createSshKeygenVerifier(standIn(t, script)).verify(question, never)),
      'trust.verifier-failed',
    );
  });

test('what the program is given: nothing secret in its arguments, nothing of ours in its environment', async (t) => {
  const { program, directory } = standIn(
    t,
    `const fs = require('fs');
     const read = (name) => fs.readFileSync(name, 'utf8');
     fs.writeFileSync(__dirname + '/seen', JSON.stringify({ argv: process.argv.slice(2), env: process.env,
       files: ['/dev/fd/3', '/dev/fd/4', '/dev/fd/5'].map(read), input: read(0) }));`,
  );
  process.env['FELHOM_CANARY'] = 'canary';
  t.after(() => delete process.env['FELHOM_CANARY']);
  const asked = { ...question, signature: 'the signature', allowedSigners: 'the signers', revoked: 'the revoked' };
  await createSshKeygenVerifier({ program, directory }).verify(asked, never);
  const seen = JSON.parse(readFileSync(join(program, '..', 'seen'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(seen['files'], ['the signature', 'the signers', 'the revoked']);
  assert.equal(seen['input'], 'x');
  assert.deepEqual(Object.keys(seen['env'] as object).sort(), ['LC_ALL', 'PATH', 'TZ']);
  const files = ['-s', '/dev/fd/3', '-f', '/dev/fd/4', '-r', '/dev/fd/5'];
  const rest = ['-I', 'alice', '-n', namespace, '-Overify-time=20260601000000'];
  assert.deepEqual(seen['argv'], ['-Y', 'verify', ...files, ...rest]);
});

test('without the program nothing is known', async (t) => {
  const verifier = createSshKeygenVerifier({ program: '/nonexistent/ssh-keygen', directory: join(folder(t), 'p') });
  assert.equal(codeOf(await verifier.verify(question, never)), 'trust.verifier-missing');
});

test('time over and giving up end the program', async (t) => {
  const clock = createIdleClock();
  const hanging = standIn(t, 'setInterval(() => {}, 1000)');
  const answer = await clock.until(createSshKeygenVerifier({ ...hanging, clock }).verify(question, never));
  assert.equal(codeOf(answer), 'trust.verifier-failed');
  const stop = new AbortController();
  const waiting = createSshKeygenVerifier(hanging).verify(question, stop.signal);
  stop.abort();
  assert.equal(codeOf(await waiting), 'pve.aborted');
  assert.equal(codeOf(await createSshKeygenVerifier(hanging).verify(question, stop.signal)), 'pve.aborted');
});

test('a folder that others may write into is not used', async (t) => {
  const directory = folder(t);
  chmodSync(directory, 0o770);
  const answer = await createSshKeygenVerifier({ directory }).verify(question, never);
  assert.ok(answer.is === 'unknown' && /chmod 700/.test(answer.why.text));
});
