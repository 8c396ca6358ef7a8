/** What the agent reads, and how absence, refusal and nonsense look. Changes nothing. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { StorageId, Upid, Vmid, VolumeId } from '@felhom/protocol';
import { codeOf, never, nodeUnderTest, value } from './node-under-test.ts';

const node = await nodeUnderTest();
after(() => node.close());
const { pve, settings, storage, archive } = node;
const archiveStorage = (settings.archive.split(':')[0] ?? '') as StorageId;

test('guests: the list is readable and normalised', async () => {
  for (const row of value(await pve.reader.list(never))) {
    assert.ok(Number.isInteger(row.vmid));
    assert.ok(Number.isFinite(row.maxMemBytes));
    assert.ok(['running', 'stopped', 'unknown'].includes(row.status));
  }
});

test('a declared VMID without a guest is absent, one outside the pool is forbidden', async () => {
  const free = await node.freeVmid();
  assert.deepEqual(value(await pve.reader.config(free, { current: true }, never)), { is: 'absent' });
  assert.equal(value(await pve.reader.isVmidFree(free, never)), true);
  assert.deepEqual(value(await pve.reader.config(899_999_999 as Vmid, { current: true }, never)), { is: 'forbidden' });
});

test('storages: ours is there, active, with numbers', async () => {
  const row = value(await pve.stores.list(never)).find((candidate) => candidate.storage === storage);
  assert.ok(row !== undefined && row.active && row.enabled);
  assert.ok(row.content.includes('rootdir'), `content of ${storage} is ${row.content.join(',')}`);
  assert.ok(row.availableBytes > 0 && row.totalBytes >= row.availableBytes);
});

test('the archive is listed, and its config is readable', async () => {
  const items = value(await pve.stores.contents(archiveStorage, { content: 'backup' }, never));
  const item = items.find((candidate) => candidate.volid === archive);
  assert.ok(item !== undefined, `${archive} is not in the list`);
  assert.ok(item.sizeBytes > 0);
  assert.match(value(await pve.stores.extractConfig(archive, never)), /^rootfs: /m);
});

test('an unknown storage is refused, not an empty list', async () => {
  const outcome = await pve.stores.contents('felhom-nosuch' as StorageId, {}, never);
  assert.match(codeOf(outcome), /^refused pve\.(?:storage-absent|forbidden)$/);
});

test('an unknown archive is refused', async () => {
  const outcome = await pve.stores.extractConfig(`${archiveStorage}:backup/nonsense` as VolumeId, never);
  assert.notEqual(outcome.is, 'done');
});

test('a task that Proxmox does not know is lost, whatever it looks like', async () => {
  for (const upid of [
    `UPID:${settings.node}:00000001:00000001:60000000:vzstart:${settings.vmids.from}:${settings.token.split('=')[0]}:`,
    'nonsense',
  ]) {
    const status = value(await pve.tasks.status(upid as Upid, never));
    assert.deepEqual(status, { is: 'ended', end: { verdict: { is: 'lost' }, logTail: [] } });
  }
});

test('changing what is not there is refused', async () => {
  const free = await node.freeVmid();
  assert.equal(codeOf(await pve.writer.configure(free, { set: { cores: '1' } }, never)), 'refused pve.guest-absent');
  assert.equal(codeOf(await pve.writer.resize(free, 'rootfs', 1, never)), 'refused pve.guest-absent');
});
