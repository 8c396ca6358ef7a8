// Storage definitions that no recording shows. From the source, not recorded: API2/Storage/Config.pm, SectionConfig.pm
// check_config, Storage/Plugin.pm decode_value, parse_config; Storage.pm prune_backups.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeGuest, testNode } from './storage-node.fixture.ts';

type Verb = 'GET' | 'POST' | 'PUT' | 'DELETE';

test('wrong options are refused in Proxmox order and words', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'nfs:10.0.0.9:/x', capacityBytes: 1e9 });
  await world.data('POST', '/storage', { storage: 'nas', type: 'nfs', server: '10.0.0.9', export: '/x' });
  const cases: [method: Verb, path: string, params: object, answer: string][] = [
    ['POST', '/storage', { storage: 'x1', type: 'dir', export: '/x' }, "unexpected property 'export'"],
    ['POST', '/storage', { storage: 'x1', type: 'dir', password: 'x', path: '/x' }, "unexpected property 'password'"],
    ['POST', '/storage', { storage: 'x1', type: 'nfs', export: '/x' }, "missing value for required option 'server'"],
    [
      'POST',
      '/storage',
      { storage: 'x1', type: 'dir', path: '/x', content: 'none,backup' },
      "unable to combine 'none' with other content types",
    ],
    ['PUT', '/storage/nosuch', { digest: 'ff' }, 'update storage failed: detected modified configuration'],
    ['PUT', '/storage/felhom', { digest: 'ff' }, 'update storage failed: detected modified configuration'],
    ['PUT', '/storage/felhom', { delete: 'path' }, "update storage failed: unable to delete required option 'path'"],
    ['PUT', '/storage/felhom', { delete: 'bogus' }, "update storage failed: no such option 'bogus'"],
    ['PUT', '/storage/felhom', { options: 'soft' }, "update storage failed: unexpected property 'options'"],
    ['PUT', '/storage/nas', { delete: 'path' }, "update storage failed: unable to delete fixed option 'path'"],
    [
      'PUT',
      '/storage/nas',
      { server: '10.0.0.8' },
      "update storage failed: can't change value of fixed parameter 'server'",
    ],
    [
      'PUT',
      '/storage/felhom',
      { delete: 'content', content: 'backup' },
      "update storage failed: unable to set and delete property 'content' at the same time!",
    ],
  ];
  for (const [method, path, params, answer] of cases) {
    const { status, reason } = await world.call(method, path, params);
    assert.equal(status, 500, JSON.stringify(params));
    assert.ok(reason.startsWith(answer), `${reason} begins with ${answer}`);
  }
});

test('what is stored: content the type does not know is dropped, a network storage has its mount point', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'nfs:10.0.0.9:/x', capacityBytes: 1e9 });
  world.node.storage.hardware.add({ id: 'lvm:pve/data', capacityBytes: 1e9 });
  const cases: [params: object, key: string, value: unknown][] = [
    [{ storage: 'nas', type: 'nfs', server: '10.0.0.9', export: '/x' }, 'path', '/mnt/pve/nas'],
    [{ storage: 'thin', type: 'lvmthin', vgname: 'pve', thinpool: 'data', content: 'backup' }, 'content', 'none'],
    [{ storage: 'dirs', type: 'dir', path: '/srv/d', content: 'backup;backup iso' }, 'content', 'backup,iso'],
  ];
  for (const [params, key, value] of cases) {
    await world.data('POST', '/storage', params);
    const stored = await world.data('GET', `/storage/${String(Reflect.get(params, 'storage'))}`);
    assert.equal(Reflect.get(Object(stored), key), value);
  }
});

test('local comes back with its defaults when it is deleted', async () => {
  const world = await testNode();
  await world.data('PUT', '/storage/local', { content: 'iso' });
  await world.data('DELETE', '/storage/local');
  const local = await world.data('GET', '/storage/local');
  assert.equal(Reflect.get(Object(local), 'prune-backups'), 'keep-all=1');
});

test('pruning complains in the worker, a dry run at once', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  await world.data('POST', '/storage', { storage: 'disks', type: 'dir', path: '/srv/d', content: 'images' });
  const cases: [storage: string, params: object, complaint: string][] = [
    ['felhom', {}, "no prune-backups options configured for storage 'felhom'"],
    ['disks', { 'prune-backups': 'keep-last=1' }, "storage 'disks' does not support backups"],
    ['nosuch', { 'prune-backups': 'keep-last=1' }, "storage 'nosuch' does not exist"],
  ];
  for (const [storage, params, complaint] of cases) {
    const path = `/nodes/pve1/storage/${storage}/prunebackups`;
    assert.equal((await world.call('GET', path, params)).reason, complaint);
    assert.equal((await world.run('DELETE', path, params)).at(-1), `TASK ERROR: ${complaint}`);
  }
});
