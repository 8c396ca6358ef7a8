/** Passwords at rest: sealed by systemd where it can, else a file of root's; never in an argument, and never half. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { keepCredential, readCredential } from './credentials.ts';

/** Turns a text round, and knows the name that it was sealed under. */
const sealing = (seen: string[]) => ({
  systemdCreds: async (args: readonly string[], input = '') => {
    seen.push(args.join(' '));
    const name = args[1]?.slice('--name='.length);
    if (args[0] === 'has-tpm2') return { code: 1, stdout: '', stderr: '' };
    if (args[0] === 'encrypt')
      return { code: 0, stdout: `${name} ${input.split('').toReversed().join('')}`, stderr: '' };
    const [sealedUnder, text = ''] = input.split(' ');
    if (sealedUnder !== name) return { code: 1, stdout: '', stderr: 'Embedded credential name does not match' };
    return { code: 0, stdout: text.split('').toReversed().join(''), stderr: '' };
  },
});

test('sealed, read again, and never an argument', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-credentials-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const seen: string[] = [];
  const credentials = join(folder, 'credentials');
  const world = { credentials, tools: sealing(seen) };
  const plain = { credentials, tools: { systemdCreds: () => Promise.reject(new Error('no such program')) } };
  assert.deepEqual(await readCredential(world, 'nas'), { is: 'none' });
  assert.deepEqual(await keepCredential(plain, 'nas', 'hunter1'), { is: 'plain' });
  assert.deepEqual(await readCredential(world, 'nas'), { is: 'secret', secret: 'hunter1' });
  assert.deepEqual(await keepCredential(world, 'nas', 'hunter2'), { is: 'sealed', tpm: false });
  // The old one in clear is gone.
  assert.deepEqual(readdirSync(credentials), ['nas.cred']);
  assert.ok(!readFileSync(join(credentials, 'nas.cred'), 'utf8').includes('hunter2'));
  assert.deepEqual(await readCredential(world, 'nas'), { is: 'secret', secret: 'hunter2' });
  assert.ok(!seen.join(' ').includes('hunter'));
  // Sealed and not to be opened is never taken for none.
  const unopened = await readCredential(plain, 'nas');
  assert.equal(unopened.is, 'bad');
  chmodSync(join(credentials, 'nas.cred'), 0o644);
  const exposed = await readCredential(world, 'nas');
  assert.match(exposed.is === 'bad' ? exposed.text : '', /others may read it/);
});

for (const secret of ['', 'two\nlines', 'a\0b', 'ü', 'x'.repeat(257), 'pass\r'])
  test(`${JSON.stringify(secret.slice(0, 10))} is no password`, async () => {
    const world = { credentials: '/nowhere', tools: sealing([]) };
    assert.equal((await keepCredential(world, 'nas', secret)).is, 'bad');
  });
