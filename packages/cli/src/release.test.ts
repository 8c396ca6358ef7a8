import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseEnvelope, parsePayload, releaseManifestKind } from '@felhom/protocol';
import { noOpenssh, operator, startedAt } from './signing.fixture.ts';

const manifest = {
  v: 1,
  product: 'agent',
  role: 'agent-linux-x64',
  version: '1.4.0',
  digests: ['d'.repeat(64)],
  issuedAt: startedAt,
  expiresAt: startedAt + 86_400_000,
  rollout: {
    salt: 'a'.repeat(16),
    starts: [
      { percent: 10, at: startedAt },
      { percent: 100, at: startedAt + 1 },
    ],
  },
};

test('a release is checked, shown, and signed with the namespace of releases only', { skip: noOpenssh }, async (t) => {
  const anna = operator(t, { url: 'http://127.0.0.1:1' });
  const line = await anna.key('id');
  const file = join(anna.home, 'manifest.json');
  writeFileSync(file, JSON.stringify(manifest, null, 2));
  assert.equal((await anna.felhom(['release', 'sign', file], { answers: ['no'] })).code, 1);
  assert.equal(anna.made.signatures, 0);
  const signed = await anna.felhom(['release', 'sign', file], { answers: ['yes'] });
  assert.equal(signed.code, 0, signed.err);
  assert.match(signed.out, /agent 1.4.0 for agent-linux-x64[^]*for 10 % of the hosts/);
  const parsed = parseEnvelope(readFileSync(`${file}.signed.json`, 'utf8').trim());
  assert.equal(parsed.is, 'ok');
  if (parsed.is !== 'ok') return;
  const { payload, envelope } = parsed.value;
  assert.deepEqual(parsePayload(releaseManifestKind, payload), { is: 'ok', value: manifest });
  writeFileSync(join(anna.home, 'allowed'), `anna namespaces="felhom-release@1,felhom-job@1" ${line}\n`);
  writeFileSync(join(anna.home, 'sig'), envelope.signatures[0] ?? '');
  const verify = (namespace: string) =>
    spawnSync(
      'ssh-keygen',
      ['-Y', 'verify', '-f', join(anna.home, 'allowed'), '-I', 'anna', '-n', namespace, '-s', join(anna.home, 'sig')],
      { input: payload },
    ).status;
  assert.equal(verify('felhom-release@1'), 0);
  assert.notEqual(verify('felhom-job@1'), 0);
  const shown = await anna.felhom(['release', 'show', `${file}.signed.json`]);
  assert.equal(shown.code, 0);
  assert.match(shown.out, /signed by SHA256:/);
  const forged = {
    ...envelope,
    payload: Buffer.from(Buffer.from(payload).toString().replace('1.4.0', '1.5.0')).toString('base64'),
  };
  writeFileSync(file, JSON.stringify(forged));
  const wrong = await anna.felhom(['release', 'show', file]);
  assert.equal(wrong.code, 6);
});

const bad: readonly (readonly [name: string, change: object])[] = [
  ['a role that is none', { role: 'Agent Linux' }],
  ['no digest', { digests: [] }],
  ['an unknown field', { force: true }],
  ['a time that is over', { issuedAt: 1, expiresAt: 2 }],
];
for (const [name, change] of bad)
  test(`a release with ${name} is not signed`, { skip: noOpenssh }, async (t) => {
    const anna = operator(t, { url: 'http://127.0.0.1:1' });
    await anna.key('id');
    const file = join(anna.home, 'manifest.json');
    writeFileSync(file, JSON.stringify({ ...manifest, ...change }));
    assert.equal((await anna.felhom(['release', 'sign', file, '--yes'])).code, 1);
    assert.equal(anna.made.signatures, 0);
  });
