import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { loadFile, loadSecret } from './index.ts';

const schema = z.strictObject({ v: z.literal(1), name: z.string().optional() });
const canary = 'canary-3f9b1c';

/** What people, editors and enemies put into a file. None may throw, and none may be shown. */
const bad: readonly (readonly [string, string | Buffer])[] = [
  ['nothing', ''],
  ['a NUL', Buffer.from('v: 1\0\n')],
  ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe, 0x76])],
  ['the same key twice', 'v: 1\nv: 1\n'],
  ['a prototype', `v: 1\n__proto__: { name: ${canary} }\n`],
  ['a constructor', `v: 1\nconstructor: ${canary}\n`],
  ['an alias', 'v: &a 1\nname: *a\n'],
  ['aliases that explode', `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nv: 1\n`],
  ['a tag', `v: !!js/function 'process.exit(1)'\n`],
  ['two documents', 'v: 1\n---\nv: 1\n'],
  ['a list that is very deep', '['.repeat(100_000)],
  ['a mapping that is very deep', '{a: '.repeat(20_000)],
  ['a number beyond all numbers', `v: 1e999\nname: ${canary}\n`],
  ['a secret in the wrong file', `${canary}\n`],
  ['a secret in the wrong field', `v: 1\nname: { ${canary}: 1 }\n`],
];

function place(content: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-config-'));
  const file = join(folder, 'file');
  writeFileSync(file, content, { mode: 0o600 });
  return file;
}

for (const [name, content] of bad)
  test(`${name}: a reason, not an exception`, () => {
    const file = place(content);
    const loaded = loadFile(file, schema);
    assert.equal(loaded.is, 'bad', JSON.stringify(loaded));
    assert.ok(loaded.is === 'bad' && loaded.why.text.includes(file) && loaded.why.text.length < 1000);
    assert.ok(!JSON.stringify(loaded).includes(canary), JSON.stringify(loaded));
    assert.equal(Object.hasOwn(Object.prototype, 'name'), false);
    rmSync(file);
  });

test('a byte order mark does no harm', () => {
  assert.equal(loadFile(place('\ufeffv: 1\n'), schema).is, 'loaded');
});

test('a device is not read, neither as a file nor as a secret', () => {
  assert.equal(loadFile('/dev/zero', schema).is, 'bad');
  assert.equal(loadSecret('/dev/zero').is, 'bad');
});

test('a secret that others may read is refused without being shown', () => {
  const file = place(`${canary}\n`);
  chmodSync(file, 0o640);
  const loaded = loadSecret(file);
  assert.ok(loaded.is === 'bad' && /chmod 600/.test(loaded.why.text) && !loaded.why.text.includes(canary));
});
