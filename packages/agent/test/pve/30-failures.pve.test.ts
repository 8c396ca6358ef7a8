/** Restores that cannot end well, and one that is aborted: nothing may be left of any of them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { StorageId, Vmid, VolumeId } from '@felhom/protocol';
import { codeOf, never, nodeUnderTest, value } from './node-under-test.ts';

const node = await nodeUnderTest();
const { pve, settings, storage, archive } = node;
before(() => node.cleanUp());
after(async () => {
  await node.cleanUp();
  await node.close();
});

const call = (
  vmid: Vmid,
  extra: { archive?: VolumeId; storage?: StorageId; values?: Record<string, string> } = {},
) => ({
  vmid,
  archive: extra.archive ?? archive,
  pool: settings.pool,
  storage: extra.storage ?? storage,
  values: node.markedValues(extra.values),
});
const nothingLeftOf = async (vmid: Vmid): Promise<void> => {
  const read = value(await pve.reader.config(vmid, { current: true }, never));
  assert.notEqual(read.is, 'present');
  assert.equal(value(await pve.reader.isVmidFree(vmid, never)), true);
};

test('an archive that is not there fails in the task or before it', { timeout: 120_000 }, async (t) => {
  const vmid = await node.freeVmid();
  // Same owner, other time: the owner's rights let the call through to where the file is looked for.
  const missing = archive.replace(/\d{4}_\d{2}_\d{2}-\d{2}_\d{2}_\d{2}/, '2001_01_01-00_00_00') as VolumeId;
  if (missing === archive) {
    t.skip(`${archive} has no time in its name`);
    return;
  }
  const restoring = await pve.writer.restore(call(vmid, { archive: missing }), never);
  if (restoring.is === 'done') {
    const end = await node.wait(restoring);
    assert.equal(end.verdict.is, 'failed');
    assert.ok(
      end.logTail.some((line) => line.includes('does not exist')),
      end.logTail.join('\n'),
    );
  } else assert.equal(restoring.is, 'refused');
  await nothingLeftOf(vmid);
});

test('an unknown storage is refused before anything begins', async () => {
  const vmid = await node.freeVmid();
  const outcome = await pve.writer.restore(call(vmid, { storage: 'felhom-nosuch' as StorageId }), never);
  assert.match(codeOf(outcome), /^refused pve\.(?:storage-absent|forbidden)$/);
  await nothingLeftOf(vmid);
});

test('a VMID outside the pool, and a pool that is not there, are refused', async () => {
  const outside = await pve.writer.restore({ ...call(await node.freeVmid()), pool: 'felhom-nosuch' }, never);
  assert.equal(codeOf(outside), 'refused pve.pool-absent');
});

test('keys that are reserved for root are refused', async () => {
  const vmid = await node.freeVmid();
  const outcome = await pve.writer.restore(
    call(vmid, { values: { mp9: '/etc,mp=/srv/etc', rootfs: `${storage}:1` } }),
    never,
  );
  assert.equal(codeOf(outcome), 'refused pve.root-only');
  await nothingLeftOf(vmid);
});

test('aborting a restore leaves nothing, or the task was faster', { timeout: 300_000 }, async (t) => {
  const vmid = await node.freeVmid();
  const upid = value(await pve.writer.restore(call(vmid), never));
  value(await pve.tasks.abort(upid, never));
  const end = value(await pve.tasks.wait(upid, {}, never));
  t.diagnostic(`verdict: ${JSON.stringify(end.verdict)}`);
  if (end.verdict.is === 'failed') await nothingLeftOf(vmid);
  assert.equal(codeOf(await pve.tasks.abort(upid, never)), 'done', 'aborting what has ended is nothing');
});

test('waiting can be given up without touching the task', { timeout: 300_000 }, async () => {
  const vmid = await node.freeVmid();
  const upid = value(await pve.writer.restore(call(vmid), never));
  const stop = new AbortController();
  const waiting = pve.tasks.wait(upid, {}, stop.signal);
  stop.abort();
  assert.equal(codeOf(await waiting), 'unknown pve.aborted');
  const end = value(await pve.tasks.wait(upid, {}, never));
  assert.ok(end.verdict.is === 'ok' || end.verdict.is === 'warnings', end.logTail.join('\n'));
});
