import { test } from 'node:test';
import assert from 'node:assert/strict';
import { fileMember, placeArchive, placeTemplate } from './index.ts';
import { makeGuest, start, testNode, type TestNode } from './storage-node.fixture.ts';
import { emptyImageBytes, mkfsLines } from './types.ts';

const content = (storage = 'felhom') => `/nodes/pve1/storage/${storage}/content`;
const at = (volid: string) => `${content()}/${encodeURIComponent(volid)}`;

async function volids(world: TestNode, params: object = {}, as = 'root@pam', storage = 'felhom'): Promise<string[]> {
  const items = await world.data('GET', content(storage), params, as);
  assert.ok(Array.isArray(items));
  return items.map((item: { volid: string; content: string }) => `${item.content} ${item.volid}`);
}
async function answer(world: TestNode, method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params: object = {}) {
  const { status, reason } = await world.call(method, path, params);
  return `${status} ${reason}`;
}
function usb(world: TestNode, capacityBytes = 10 ** 10): void {
  world.node.storage.hardware.add({ id: 'usb-disk', capacityBytes });
  world.node.storage.hardware.mount('/mnt/usb', 'usb-disk');
}
/** A user without Datastore.Allocate: sees the storage and owns guest 100. */
function limitedUser({ node: { access } }: TestNode): string {
  access.config.roles.set('Space', new Set(['Datastore.AllocateSpace', 'Datastore.Audit']));
  access.config.roles.set('Guest', new Set(['VM.Backup', 'VM.Config.Disk']));
  access.addUser('limited@pve', {});
  access.grant({ path: '/storage/felhom', type: 'user', ugid: 'limited@pve', roleid: 'Space' });
  access.grant({ path: '/vms/100', type: 'user', ugid: 'limited@pve', roleid: 'Guest' });
  return 'limited@pve';
}

test('what a storage cannot be defined with', async () => {
  const world = await testNode();
  const cases: [object, string][] = [
    [{ storage: 'felhom', type: 'dir', path: '/x' }, "500 create storage failed: storage ID 'felhom' already defined"],
    [{ storage: 'xx', type: 'dir' }, "500 missing value for required option 'path'"],
    [{ storage: 'xx', type: 'nfs', server: '10.0.0.5' }, "500 missing value for required option 'export'"],
    [
      { storage: 'xx', type: 'nfs', server: '10.0.0.5', export: '/x' },
      "500 create storage failed: storage 'xx' is not online",
    ],
    [
      { storage: 'xx', type: 'lvmthin', vgname: 'pve', thinpool: 'data' },
      '500 create storage failed: no such logical volume pve/data',
    ],
    [
      { storage: 'xx', type: 'btrfs', path: '/mnt/x' },
      "500 create storage failed: '/mnt/x' is not a btrfs file system",
    ],
    [
      { storage: 'xx', type: 'dir', path: '/mnt/x', is_mountpoint: 'yes' },
      "500 create storage failed: unable to activate storage 'xx' - directory is expected to be a mount point but is not mounted: '/mnt/x'",
    ],
    [
      { storage: 'xx', type: 'pbs', server: '10.0.0.6', datastore: 'ds' },
      "500 create storage failed: xx: error fetching datastores - 500 Can't connect to 10.0.0.6:8007 (Connection refused)",
    ],
    [
      { storage: 'xx', type: 'pbs', server: '10.0.0.6', datastore: 'ds', 'encryption-key': 'junk' },
      '500 create storage failed: Value does not seems like a valid, JSON formatted encryption key!',
    ],
  ];
  for (const [params, want] of cases) assert.equal(await answer(world, 'POST', '/storage', params), want);
  assert.deepEqual(world.node.storage.ids(), ['local', 'felhom']);
});

test('every type can be defined when its backend is there', async () => {
  const world = await testNode();
  const { hardware } = world.node.storage;
  for (const id of ['nfs:nas:/x', 'cifs:nas/share', 'pbs:backup/ds', 'lvm:pve/data', 'zfs:rpool/data']) {
    hardware.add({ id, capacityBytes: 10 ** 10 });
  }
  hardware.add({ id: 'pool', capacityBytes: 10 ** 10, filesystem: 'btrfs' });
  hardware.mount('/mnt/btr', 'pool');
  usb(world);
  const types: [object, string[]][] = [
    [{ type: 'nfs', server: 'nas', export: '/x', content: 'rootdir' }, []],
    [{ type: 'cifs', server: 'nas', share: 'share', content: 'rootdir' }, []],
    [{ type: 'dir', path: '/mnt/usb', is_mountpoint: 'yes', content: 'rootdir' }, []],
    [{ type: 'btrfs', path: '/mnt/btr', content: 'rootdir' }, ['snapshot', 'clone']],
    [{ type: 'lvmthin', vgname: 'pve', thinpool: 'data' }, ['snapshot', 'clone']],
    [{ type: 'zfspool', pool: 'rpool/data' }, ['snapshot', 'clone']],
  ];
  for (const [index, [params, features]] of types.entries()) {
    const storage = `st${index}`;
    await world.data('POST', '/storage', { storage, ...params });
    const { volid } = await world.node.storage.allocate(undefined, storage, 100, 1024 ** 2);
    const able = ['snapshot', 'clone'].filter((feature) => world.node.storage.hasFeature(volid, feature, false));
    assert.deepEqual(able, features, storage);
    const { status } = await world.call('GET', `/nodes/pve1/storage/${storage}/status`);
    assert.equal(status, 200);
  }
  await world.data('POST', '/storage', { storage: 'offsite', type: 'pbs', server: 'backup', datastore: 'ds' });
  const volid = await placeArchive(world.node.storage, 'offsite', 100, start, { config: 'hostname: g\n' });
  assert.equal(volid, 'offsite:backup/ct/100/2026-11-23T23:00:00Z');
  assert.deepEqual(await volids(world, {}, 'root@pam', 'offsite'), [`backup ${volid}`]);
  assert.equal(await world.data('GET', '/nodes/pve1/vzdump/extractconfig', { volume: volid }), 'hostname: g\n');
  hardware.add({ id: 'pbs:backup/ds', capacityBytes: 10 ** 10, online: false });
  assert.match(await answer(world, 'GET', content('offsite')), /^500 offsite: error fetching datastores/);
});

test('the key of a PBS storage is shown once and forgotten with it', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'pbs:backup/ds', capacityBytes: 10 ** 10 });
  const params = { storage: 'offsite', type: 'pbs', server: 'backup', datastore: 'ds', 'encryption-key': 'autogen' };
  const made = await world.data('POST', '/storage', params);
  assert.match(JSON.stringify(made), /"encryption-key":"\{.*data/);
  const shown = await world.data('GET', '/storage/offsite');
  assert.ok(typeof shown === 'object' && shown !== null && 'encryption-key' in shown);
  assert.match(String(shown['encryption-key']), /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/);
  await world.data('DELETE', '/storage/offsite');
  assert.equal(world.node.storage.definitions.secrets.has('offsite'), false);
});

test('a lost disk: with is_mountpoint the storage goes, without it the root disk fills', async () => {
  const world = await testNode();
  usb(world);
  const base = { type: 'dir', path: '/mnt/usb', content: 'rootdir,images,backup' };
  await world.data('POST', '/storage', { storage: 'guarded', is_mountpoint: 'yes', ...base });
  await world.data('POST', '/storage', { storage: 'naive', ...base, path: '/mnt/usb/naive' });
  const { volid } = await world.node.storage.allocate(undefined, 'guarded', 100, 1024);
  world.node.storage.hardware.unmount('/mnt/usb');
  const gone =
    "500 unable to activate storage 'guarded' - directory is expected to be a mount point but is not mounted: '/mnt/usb'";
  assert.equal(await answer(world, 'GET', content('guarded')), gone);
  assert.deepEqual(world.node.storage.status('guarded'), { enabled: true, active: false, total: 0, used: 0, avail: 0 });
  const before = world.node.storage.status('local').used;
  await world.node.storage.allocate(undefined, 'naive', 100, 1024 ** 2);
  assert.equal(world.node.storage.status('local').used - before, emptyImageBytes(1024 ** 3));
  world.node.storage.hardware.mount('/mnt/usb', 'usb-disk');
  assert.notEqual(world.node.storage.volume(volid), undefined);
  assert.deepEqual(await volids(world, {}, 'root@pam', 'naive'), [], 'what went to the root disk is hidden again');
});

test('orphans are images, and only for those who may see them', async () => {
  const world = await testNode();
  const limited = limitedUser(world);
  await makeGuest(world, 100);
  await world.node.storage.allocate(undefined, 'felhom', 120, 1024);
  await placeArchive(world.node.storage, 'felhom', 120, start, { config: '' });
  await placeArchive(world.node.storage, 'felhom', 100, start, { config: '' });
  await placeTemplate(world.node.storage, 'felhom', 'base_1_amd64.tar.zst');
  assert.deepEqual(await volids(world), [
    'rootdir felhom:100/vm-100-disk-0.raw',
    'rootdir felhom:100/vm-100-disk-1.raw',
    'images felhom:120/vm-120-disk-0.raw',
    'backup felhom:backup/vzdump-lxc-100-2026_11_23-23_00_00.tar.zst',
    'backup felhom:backup/vzdump-lxc-120-2026_11_23-23_00_00.tar.zst',
    'vztmpl felhom:vztmpl/base_1_amd64.tar.zst',
  ]);
  assert.deepEqual(await volids(world, {}, limited), [
    'rootdir felhom:100/vm-100-disk-0.raw',
    'rootdir felhom:100/vm-100-disk-1.raw',
    'backup felhom:backup/vzdump-lxc-100-2026_11_23-23_00_00.tar.zst',
    'vztmpl felhom:vztmpl/base_1_amd64.tar.zst',
  ]);
  assert.deepEqual(await volids(world, { content: 'images', vmid: 120 }), ['images felhom:120/vm-120-disk-0.raw']);
  await world.data('PUT', '/storage/felhom', { content: 'rootdir,backup' });
  assert.deepEqual(await volids(world, { vmid: 120, content: 'images' }), [], 'the storage does not hold images');
});

test('notes and protection of a backup; removing it needs VM.Backup, removing a disk Datastore.Allocate', async () => {
  const world = await testNode();
  const limited = limitedUser(world);
  await makeGuest(world, 100);
  const volid = await placeArchive(world.node.storage, 'felhom', 100, start, { config: '' });
  await world.data('PUT', at(volid), { notes: 'one\ntwo', protected: 1 }, limited);
  const shown = await world.data('GET', at(volid), {}, limited);
  assert.ok(typeof shown === 'object' && shown !== null && 'notes' in shown && 'protected' in shown);
  assert.deepEqual([shown.notes, shown.protected], ['one\ntwo', 1]);
  const refused = await world.run('DELETE', at(volid));
  assert.match(refused.join(), /^TASK ERROR: cannot remove protected volume 'backup\/.*' on 'felhom'$/);
  await world.data('PUT', at(volid), { protected: 0 }, limited);
  assert.equal(await world.data('DELETE', at(volid), { delay: 5 }, limited), null);
  const again = await world.run('DELETE', at(volid));
  assert.match(again.join('\n'), /^disk image '\/srv\/felhom\/dump\/.*' does not exist\nRemoved volume .*\nTASK OK$/);
  assert.equal(await answer(world, 'GET', at(volid)), `500 volume_size_info on '${volid}' failed - no format`);
  const disk = at('felhom:100/vm-100-disk-1.raw');
  const { status, reason } = await world.call('DELETE', disk, {}, limited);
  assert.equal(`${status} ${reason}`, '403 Permission check failed (/storage/felhom, Datastore.Allocate)');
  await world.run('DELETE', disk);
  assert.equal(
    world.node.storage.volume('felhom:100/vm-100-disk-1.raw'),
    undefined,
    'nobody asks whether it is in use',
  );
  assert.equal(
    await answer(world, 'PUT', at('felhom:100/vm-100-disk-0.raw'), { notes: 'x' }),
    '500 only backups can have notes',
  );
});

test('five protected backups per guest, more with Datastore.Allocate', async () => {
  const world = await testNode();
  const limited = limitedUser(world);
  const made: string[] = [];
  for (let n = 0; n < 6; n += 1) {
    made.push(await placeArchive(world.node.storage, 'felhom', 100, start + n * 60_000, { config: '' }));
  }
  for (const volid of made.slice(0, 5)) await world.data('PUT', at(volid), { protected: 1 }, limited);
  const { reason } = await world.call('PUT', at(made[5] ?? ''), { protected: 1 }, limited);
  assert.equal(reason, "The number of protected backups per guest is limited to 5 on storage 'felhom'");
  await world.data('PUT', at(made[5] ?? ''), { protected: 1 });
});

test('prunebackups shows first what it would do', async () => {
  const world = await testNode();
  for (const hour of [0, 1, 2]) {
    await placeArchive(world.node.storage, 'felhom', 100, start + hour * 3_600_000, { config: '' });
  }
  const path = '/nodes/pve1/storage/felhom/prunebackups';
  const params = { vmid: 100, 'prune-backups': 'keep-last=1' };
  const marks = await world.data('GET', path, params);
  assert.ok(Array.isArray(marks));
  assert.deepEqual(
    marks.map(({ mark }: { mark: string }) => mark),
    ['remove', 'remove', 'keep'],
  );
  assert.equal((await volids(world)).length, 3);
  const log = await world.run('DELETE', path, params);
  assert.equal(log.length, 3);
  assert.equal((await volids(world)).length, 1);
  assert.equal(
    await answer(world, 'GET', path, { vmid: 100 }),
    "500 no prune-backups options configured for storage 'felhom'",
  );
});

test('snapshots carry content; a renamed volume belongs to its new owner', async () => {
  const world = await testNode();
  const room = world.node.storage;
  room.hardware.add({ id: 'zfs:rpool', capacityBytes: 10 ** 10 });
  await world.data('POST', '/storage', { storage: 'zf', type: 'zfspool', pool: 'rpool' });
  const { volid } = await room.allocate(undefined, 'zf', 100, 1024);
  const write = (text: string) =>
    world.disk.writeTree(room.volumeDiskPath(volid), [fileMember('./x', text)], { skipExisting: false });
  const read = async (id: string) =>
    (await world.disk.readTree(room.volumeDiskPath(id))).slice(1).map((m) => Buffer.from(m.content).toString());
  await write('old');
  await room.snapshot(volid, 'first');
  await world.clock.advance(5000);
  await write('newer');
  await room.snapshot(volid, 'second');
  await assert.rejects(() => room.rollback(volid, 'first'), /can't rollback, 'first' is not most recent snapshot/);
  await room.deleteSnapshot(volid, 'second');
  await room.rollback(volid, 'first');
  assert.deepEqual(await read(volid), ['old']);
  const renamed = await room.rename(volid, 200);
  assert.deepEqual([renamed.volid, renamed.vmid], ['zf:subvol-200-disk-0', 200]);
  assert.deepEqual(await read(renamed.volid), ['old']);
  assert.equal(room.volume(volid), undefined);
});

test('a restore onto a full device says OK and has lost the files, as sparse images do', async () => {
  const world = await testNode();
  usb(world, 100_000);
  await world.data('POST', '/storage', { storage: 'small', type: 'dir', path: '/mnt/usb', content: 'rootdir,images' });
  const config =
    'arch: amd64\nhostname: g\nostype: debian\nrootfs: felhom:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';
  const files = [fileMember('./big', new Uint8Array(200_000))];
  const volid = await placeArchive(world.node.storage, 'felhom', 100, start, { config, files });
  const restore = { vmid: 200, ostemplate: volid, restore: 1 };
  const log = await world.run('POST', '/nodes/pve1/lxc', { ...restore, storage: 'small' });
  assert.equal(log.at(-1), 'TASK OK');
  assert.equal(world.node.guests.config(200).active.get('hostname'), 'g');
  const tree = await world.disk.readTree(world.node.storage.volumeDiskPath('small:200/vm-200-disk-0.raw'));
  assert.deepEqual(
    tree.filter(({ type }) => type === 'file').map(({ content: bytes }) => bytes.length),
    [0],
  );
});

test('owners that the user namespace cannot hold make tar fail', async () => {
  const world = await testNode();
  const config =
    'arch: amd64\nhostname: g\nostype: debian\nrootfs: felhom:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';
  const files = [fileMember('./x', 'x', { uid: 100_000, gid: 100_000 })];
  const volid = await placeArchive(world.node.storage, 'felhom', 100, start, { config, files });
  const log = await world.run('POST', '/nodes/pve1/lxc', {
    vmid: 200,
    ostemplate: volid,
    restore: 1,
    storage: 'felhom',
  });
  assert.ok(log.includes('tar: ./x: Cannot change ownership to uid 100000, gid 100000: Invalid argument'));
  assert.match(log.at(-1) ?? '', /failed: exit code 2$/);
});

test('a root filesystem that is too small for the archive fails late', async () => {
  const world = await testNode();
  const config =
    'arch: amd64\nhostname: g\nostype: debian\nrootfs: felhom:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';
  const files = [fileMember('./big', new Uint8Array(2_000_000))];
  const volid = await placeArchive(world.node.storage, 'felhom', 100, start, { config, files });
  const log = await world.run('POST', '/nodes/pve1/lxc', {
    vmid: 200,
    ostemplate: volid,
    restore: 1,
    rootfs: 'felhom:0.001',
  });
  assert.ok(log.includes('tar: ./big: Cannot write: No space left on device'), log.join('\n'));
  assert.match(log.at(-1) ?? '', /failed: exit code 2$/);
  assert.deepEqual(world.node.storage.volumesOf(200), []);
});

test('mkfs speaks of the right blocks', () => {
  assert.deepEqual(mkfsLines(4 * 1024 ** 3, 'u'), [
    'Creating filesystem with 1048576 4k blocks and 262144 inodes',
    'Filesystem UUID: u',
    'Superblock backups stored on blocks: ',
    '\t32768, 98304, 163840, 229376, 294912, 819200, 884736',
  ]);
  assert.equal(emptyImageBytes(1024 ** 3), 34_234_368);
  assert.equal(emptyImageBytes(1024 ** 3 / 2), 17_178_624);
});
