/** The verbs about storage as the agent asks for them: once per operation, with a receipt, for nobody's signature. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { markText } from '../../storage-manifest.ts';
import { receiptsIn } from '../receipts.ts';
import { serveStorage } from './serve.ts';
import type { StorageRequest } from './serve.ts';
import { declaredUsb, makeStorageHost, mark, uuid } from './test/storage-host.ts';

test('an operation is carried out once, and its receipt says which it was', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-storage-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const host = makeStorageHost(folder);
  host.declare(declaredUsb);
  const receipts = receiptsIn(join(folder, 'receipts'));
  const ask = (verb: StorageRequest['verb'], operation: string) =>
    serveStorage({ verb, operation, target: 'usb-1' }, { storage: host.world, receipts, now: () => 7 });
  assert.equal((await ask('mount', 'a')).is, 'refused');
  assert.equal(receipts.of('a'), undefined, 'a refusal left a receipt');
  host.plug({ device: 'sdb1', uuid, fileSystem: 'ext4', serial: 'WD-123' }, { '.felhom-target': markText(mark) });
  assert.deepEqual(await ask('mount', 'a'), { is: 'done' });
  assert.deepEqual(receipts.of('a'), { operation: 'a', verb: 'mount', at: 7 });
  assert.equal((await ask('unmount', 'a')).is, 'refused', 'one operation was two things');
  assert.deepEqual(await ask('storage-define', 'b'), { is: 'done' });
  assert.deepEqual(await ask('unmount', 'c'), { is: 'done' });
  // It was mounted by this operation once; it is not mounted again for it.
  assert.deepEqual(await ask('mount', 'a'), { is: 'done' });
  assert.equal(host.mountedDevice('usb-1'), undefined);
});
