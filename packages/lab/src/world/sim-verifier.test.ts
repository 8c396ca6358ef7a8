/** The stand-in and the real `ssh-keygen` are asked the same questions. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { signatureNamespaces } from '@felhom/protocol';
import type { SignatureQuestion } from '@felhom/agent';
import { createSimRandom } from '../simulation/sim-random.ts';
import { findSshKeygen } from '../stage/openssh.ts';
import { createOperators, createTouchKey } from './operators.ts';
import { judge } from './sim-verifier.ts';

const { job, release, report } = signatureNamespaces;
const random = createSimRandom(1);
const { alice, bob } = createOperators(['alice', 'bob'], random);
const stick = createTouchKey('alice', random.fork('stick'));
const payload = Buffer.from('{"v":1}');
const at = Date.UTC(2026, 5, 1, 12, 0, 0);
const line = (principal: string, key: string, options = `namespaces="${job}"`): string =>
  `${principal} ${options}${options === '' ? '' : ' '}${key}\n`;
const signed = alice.sign(job, payload);
const lines = signed.split('\n');
const flipped = [
  ...lines.slice(0, 3),
  (lines[3] ?? '').replace(/^./, (c) => (c === 'A' ? 'B' : 'A')),
  ...lines.slice(4),
];

interface Case extends Partial<SignatureQuestion> {
  readonly name: string;
  readonly expect: 'valid' | 'invalid';
}

const cases: readonly Case[] = [
  { name: 'a good signature', expect: 'valid' },
  { name: 'of a FIDO2 key, touched', expect: 'valid', signature: stick.sign(job, payload, true) },
  // Touch is ours to ask for: ssh-keygen takes a signature without [R39].
  { name: 'of a FIDO2 key, not touched', expect: 'valid', signature: stick.sign(job, payload, false) },
  { name: 'of a FIDO2 key over other bytes', expect: 'invalid', signature: stick.sign(job, Buffer.from('x'), true) },
  { name: 'other bytes', expect: 'invalid', payload: Buffer.from('{"v":2}') },
  { name: 'one bit of the signature', expect: 'invalid', signature: flipped.join('\n') },
  { name: 'made for another namespace', expect: 'invalid', signature: alice.sign(report, payload) },
  { name: 'asked in another namespace', expect: 'invalid', namespace: release },
  {
    name: 'a namespace that the key may not sign',
    expect: 'invalid',
    namespace: release,
    signature: alice.sign(release, payload),
  },
  {
    name: 'two namespaces',
    expect: 'valid',
    namespace: release,
    signature: alice.sign(release, payload),
    allowedSigners: line('alice', alice.keyLine, `namespaces="${job},${release}"`),
  },
  { name: 'asked for somebody else', expect: 'invalid', principal: 'bob' },
  { name: 'asked for nobody on the list', expect: 'invalid', principal: 'mallory' },
  { name: 'signed by somebody else', expect: 'invalid', signature: bob.sign(job, payload) },
  { name: 'nobody is allowed', expect: 'invalid', allowedSigners: '' },
  { name: 'revoked', expect: 'invalid', revoked: `${bob.keyLine}\n${alice.keyLine}\n` },
  { name: 'somebody else is revoked', expect: 'valid', revoked: `${bob.keyLine}\n` },
  ...[
    ['20260601115959Z', 'valid'],
    ['20260601120000Z', 'valid'],
    ['20260601120001Z', 'invalid'],
  ].map(([time, expect]) => ({
    name: `valid after ${time}`,
    expect: expect as 'valid',
    allowedSigners: line('alice', alice.keyLine, `namespaces="${job}",valid-after="${time}"`),
  })),
  ...[
    ['20260601115959Z', 'invalid'],
    ['20260601120000Z', 'valid'],
    ['20260601120001Z', 'valid'],
  ].map(([time, expect]) => ({
    name: `valid before ${time}`,
    expect: expect as 'valid',
    allowedSigners: line('alice', alice.keyLine, `namespaces="${job}",valid-before="${time}"`),
  })),
  {
    name: 'a second line of the same key that is still good',
    expect: 'valid',
    allowedSigners: [
      line('alice', alice.keyLine, `namespaces="${job}",valid-before="20200101000000Z"`),
      line('alice', alice.keyLine),
    ].join(''),
  },
  {
    name: 'a line before it that does not read',
    expect: 'valid',
    allowedSigners: `so not\n${line('alice', alice.keyLine)}`,
  },
  { name: 'a key as an authority', expect: 'invalid', allowedSigners: line('alice', alice.keyLine, 'cert-authority') },
  { name: 'empty', expect: 'invalid', signature: '' },
  { name: 'no signature', expect: 'invalid', signature: 'hello' },
  { name: 'cut short', expect: 'invalid', signature: lines.slice(0, 2).join('\n') },
];

const questionOf = (given: Case): SignatureQuestion => ({
  payload,
  signature: signed,
  principal: 'alice',
  namespace: job,
  allowedSigners: line('alice', alice.keyLine) + line('alice', stick.keyLine) + line('bob', bob.keyLine),
  revoked: '',
  at,
  ...given,
});

const tool = findSshKeygen();

for (const row of cases) {
  test(`stand-in: ${row.name}`, () => assert.equal(judge(questionOf(row)).is, row.expect));
  test(`ssh-keygen: ${row.name}`, { skip: tool.is === 'missing' ? tool.text : false }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'felhom-verify-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    assert.equal(askSshKeygen(folder, questionOf(row)), row.expect);
  });
}

function askSshKeygen(folder: string, question: SignatureQuestion): 'valid' | 'invalid' {
  const write = (name: string, content: string): string => {
    const file = join(folder, name);
    writeFileSync(file, content);
    return file;
  };
  const time = new Date(question.at).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const run = spawnSync(
    'ssh-keygen',
    [
      '-Y',
      'verify',
      '-f',
      write('allowed', question.allowedSigners),
      '-I',
      question.principal,
      '-n',
      question.namespace,
      '-s',
      write('signature', question.signature),
      ...(question.revoked === '' ? [] : ['-r', write('revoked', question.revoked)]),
      `-Overify-time=${time}Z`,
    ],
    { input: question.payload },
  );
  return run.status === 0 ? 'valid' : 'invalid';
}
