import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createManifestFile } from './index.ts';

const text = JSON.stringify({ v: 1, targets: [] });

test('the manifest: none, held, changed, unreadable, and not believed where others may write it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-manifest-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'storage.json');
  const read = createManifestFile(file, { ownerUids: [process.getuid?.() ?? 0] });
  assert.deepEqual(read(), { is: 'none' });
  writeFileSync(file, text, { mode: 0o644 });
  assert.deepEqual(read(), { is: 'held', manifest: { v: 1, targets: [] } });
  assert.equal(read(), read());
  writeFileSync(file, '{"v":2}');
  const bad = read();
  assert.ok(bad.is === 'unreadable' && bad.why.code === 'storage.manifest-unreadable');
  writeFileSync(file, text);
  chmodSync(file, 0o666);
  assert.equal(read().is, 'unreadable');
});
