import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileDisk, fileMember, placeArchive, type Disk } from '../index.ts';
import { textOf, treePath } from '../disk/disk.ts';
import { makeGuest, start, testNode, type TestNode } from '../storage-node.fixture.ts';
import { checkTemplate, fillTemplate } from './vzdump-order.ts';
import { archiveMembers } from './vzdump-tree.ts';

const vzdump = '/nodes/pve1/vzdump';
const zstd = { storage: 'felhom', mode: 'stop', compress: 'zstd' };
const exit = (log: readonly string[]) => log.at(-1);

function backups({ node }: TestNode, storage = 'felhom') {
  return node.storage.archives.list(storage).map(({ file }) => file);
}
async function stalled(world: TestNode, atLine: RegExp, params: object): Promise<string> {
  // oxlint-disable-next-line unicorn/no-thenable -- the field is a word, nobody awaits a trap
  world.node.tasks.trap({ type: 'vzdump', atLine, action: 'stall' });
  const upid = await world.data('POST', vzdump, params);
  await world.clock.settle();
  assert.ok(typeof upid === 'string');
  return upid;
}

for (const kind of ['memory', 'files'] as const) {
  test(`${kind}: a backup of a stopped guest, restored, holds the same bytes`, async (t) => {
    const root = kind === 'files' ? mkdtempSync(join(tmpdir(), 'fake-vzdump-')) : undefined;
    if (root !== undefined) t.after(() => rmSync(root, { recursive: true }));
    const disk: ((now: () => number) => Disk) | undefined = root === undefined ? undefined : () => new FileDisk(root);
    const world = await testNode(disk);
    const files = [
      fileMember('./etc/hostname', 'golden\n', { uid: 7 }),
      fileMember('./srv/x', new Uint8Array([0, 255])),
    ];
    const { bulk } = await makeGuest(world, 100, 'felhom', files);
    const bulkPath = world.node.storage.volumeDiskPath(bulk);
    await world.disk.writeTree(bulkPath, [fileMember('./photo', 'not in the backup')], { skipExisting: false });

    const log = await world.run('POST', vzdump, { ...zstd, vmid: 100, 'notes-template': '{{guestname}} {{vmid}}' });
    assert.equal(exit(log), 'TASK OK');
    assert.ok(log.includes("INFO: excluding volume mount point mp0 ('/srv/data') from backup (disabled)"));
    const [file = ''] = backups(world);
    assert.equal(world.node.storage.archives.notes(`felhom:backup/${file}`), 'golden 100');

    const restored = await world.run('POST', '/nodes/pve1/lxc', {
      vmid: 200,
      ostemplate: `felhom:backup/${file}`,
      restore: 1,
      storage: 'felhom',
    });
    assert.equal(exit(restored), 'TASK OK', restored.join('\n'));
    const tree = await world.disk.readTree(world.node.storage.volumeDiskPath('felhom:200/vm-200-disk-0.raw'));
    const found = tree.filter(({ type }) => type === 'file').map(({ name, uid, content }) => [name, uid, [...content]]);
    assert.deepEqual(found, [
      ['./etc/hostname', 7, [...Buffer.from('golden\n')]],
      ['./srv/x', 0, [0, 255]],
    ]);
    const empty = await world.disk.readTree(world.node.storage.volumeDiskPath('felhom:200/vm-200-disk-1.raw'));
    assert.deepEqual(
      empty.map(({ name }) => name),
      ['./'],
    );
  });
}

test('the config that extractconfig shows is not the one that a two-member archive restores', async () => {
  const world = await testNode();
  const clean =
    'arch: amd64\nhostname: clean\nostype: debian\nrootfs: felhom:100/vm-100-disk-0.raw,size=1G\nunprivileged: 1\n';
  const rawMembers = [
    fileMember('etc/vzdump/pct.conf', `dev0: /dev/sda\n${clean}`),
    fileMember('./etc/vzdump/pct.conf', clean),
  ];
  const volid = await placeArchive(world.node.storage, 'felhom', 100, start, { config: '', rawMembers });
  assert.equal(await world.data('GET', `${vzdump}/extractconfig`, { volume: volid }), clean);
  const log = await world.run('POST', '/nodes/pve1/lxc', {
    vmid: 200,
    ostemplate: volid,
    restore: 1,
    storage: 'felhom',
  });
  assert.equal(exit(log), 'TASK OK');
  assert.match(world.host.rawConfig(200) ?? '', /^dev0: \/dev\/sda$/m);
});

test('a damaged archive fails as tar does and leaves no guest', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  await world.run('POST', vzdump, { ...zstd, vmid: 100 });
  const volid = `felhom:backup/${backups(world)[0]}`;
  world.disk.damageArchive(world.node.storage.archives.volidPath(volid) ?? '');
  const log = await world.run('POST', '/nodes/pve1/lxc', {
    vmid: 200,
    ostemplate: volid,
    restore: 1,
    storage: 'felhom',
  });
  assert.match(
    exit(log) ?? '',
    /^TASK ERROR: unable to restore CT 200 - command '.* tar xpf - --zstd .*' failed: exit code 2$/,
  );
  assert.ok(log.some((line) => line.includes('Decoding error')));
  assert.equal(world.node.guests.exists(200), false);
});

test('killed in the middle: the lock and the unfinished file stay; aborted: nothing does', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  const aborted = await stalled(world, /creating vzdump/, { ...zstd, vmid: 100 });
  assert.equal(world.node.guests.config(100).active.get('lock'), 'backup');
  world.node.tasks.abort(aborted);
  await world.clock.runUntil(world.node.tasks.settled(aborted));
  const lines = world.node.tasks.find(aborted)?.lines ?? [];
  assert.equal(exit(lines), 'TASK ERROR: job errors');
  assert.ok(
    lines.some((line) => /^ERROR: Backup of VM 100 failed - command '.*' failed: interrupted by signal$/.test(line)),
  );
  assert.equal(world.node.guests.config(100).active.get('lock'), undefined);
  assert.deepEqual(
    world.disk.list('/root/srv/felhom/dump').filter((name) => name.endsWith('.dat')),
    [],
  );

  const killed = await stalled(world, /creating vzdump/, { ...zstd, vmid: 100 });
  world.node.tasks.kill(killed);
  await world.clock.settle();
  assert.equal(world.node.guests.config(100).active.get('lock'), 'backup');
  assert.equal(world.disk.list('/root/srv/felhom/dump').filter((name) => name.endsWith('.dat')).length, 1);
  assert.deepEqual(backups(world), []);
  assert.match(
    (await world.run('POST', vzdump, { ...zstd, vmid: 100 })).join('\n'),
    /failed - CT is locked \(backup\)/,
  );
});

test('one vzdump per node: the second waits, also when the first one dies', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  const first = await stalled(world, /creating vzdump/, { ...zstd, vmid: 100 });
  const second = await world.data('POST', vzdump, { ...zstd, vmid: 100 });
  assert.ok(typeof second === 'string');
  await world.clock.settle();
  assert.deepEqual(world.node.tasks.find(second)?.lines, ['INFO: trying to get global lock - waiting...']);
  world.node.tasks.kill(first);
  await world.clock.runUntil(world.node.tasks.settled(second));
  assert.equal(world.node.tasks.find(second)?.lines[1], 'INFO: got global lock');
});

test('the global lock is waited for so long and no longer', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  await stalled(world, /creating vzdump/, { ...zstd, vmid: 100 });
  const second = await world.data('POST', vzdump, { ...zstd, vmid: 100, lockwait: 2 });
  assert.ok(typeof second === 'string');
  await world.clock.runUntil(world.node.tasks.settled(second), 600_000);
  const { lines, exitStatus } = world.node.tasks.find(second) ?? {};
  assert.equal(lines?.at(-1), "ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout");
  assert.equal(exitStatus, 'unexpected status');
});

test('what the modes do to a running guest', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  await world.run('POST', '/nodes/pve1/lxc/100/status/start');
  const cases: [string, RegExp[]][] = [
    ['stop', [/stopping virtual guest/, /creating vzdump/, /restarting vm/, /online again after/]],
    ['suspend', [/first sync finished/, /suspending guest/, /resuming guest/, /creating vzdump/]],
    [
      'snapshot',
      [/mode failure - some volumes do not support snapshots/, /trying 'suspend' mode/, /backup mode: suspend/],
    ],
  ];
  for (const [mode, patterns] of cases) {
    const log = await world.run('POST', vzdump, { ...zstd, mode, vmid: 100 });
    const at = patterns.map((pattern) => log.findIndex((line) => pattern.test(line)));
    assert.ok(
      at.every((one, n) => one > (at[n - 1] ?? 0)),
      `${mode}: ${at.join(' ')}\n${log.join('\n')}`,
    );
    assert.equal(exit(log), 'TASK OK');
    assert.equal(world.node.guests.isRunning(100), true);
  }
});

test('a snapshot backup on a storage that can, and the snapshot a dead one left', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'lvm:pve/data', capacityBytes: 10 ** 10 });
  await world.data('POST', '/storage', { storage: 'thin', type: 'lvmthin', vgname: 'pve', thinpool: 'data' });
  const { rootfs } = await makeGuest(world, 100, 'thin');
  await world.run('POST', '/nodes/pve1/lxc/100/status/start');
  const killed = await stalled(world, /creating vzdump/, { ...zstd, mode: 'snapshot', vmid: 100 });
  const shown = async () => {
    const rows = (await world.data('GET', '/nodes/pve1/lxc/100/snapshot')) as { name: string; snapstate?: string }[];
    return rows.filter(({ name }) => name === 'vzdump').map(({ snapstate }) => snapstate);
  };
  assert.deepEqual(await shown(), [undefined]);
  world.node.tasks.kill(killed);
  assert.equal(world.node.storage.hasSnapshot(rootfs, 'vzdump'), true);
  world.host.unlock(100);
  const log = await world.run('POST', vzdump, { ...zstd, mode: 'snapshot', vmid: 100 });
  assert.equal(exit(log), 'TASK OK');
  assert.ok(log.includes('INFO: found old vzdump snapshot (force removal)'));
  assert.ok(log.includes("INFO: cleanup temporary 'vzdump' snapshot"));
  assert.equal(world.node.storage.hasSnapshot(rootfs, 'vzdump'), false);
  assert.deepEqual(await shown(), []);
});

test('retention: pruned after the backup with remove, refused before it without', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  for (const _ of [1, 2, 3]) {
    const log = await world.run('POST', vzdump, { ...zstd, vmid: 100, 'prune-backups': 'keep-last=2' });
    assert.equal(exit(log), 'TASK OK');
    await world.clock.advance(2000);
  }
  assert.equal(backups(world).length, 2);
  const refused = await world.run('POST', vzdump, { ...zstd, vmid: 100, remove: 0, 'prune-backups': 'keep-last=2' });
  assert.match(refused.join('\n'), /failed - There is a max backup limit of 2 enforced/);
  const kept = await world.run('POST', vzdump, { ...zstd, vmid: 100, remove: 0 });
  assert.equal(exit(kept), 'TASK OK');
  const logs = world.disk.list('/root/srv/felhom/dump').filter((name) => name.endsWith('.log'));
  assert.equal(logs.length, backups(world).length, 'the log of a backup goes with it');
});

test('a target that is too small: no archive, no lock, the next guest has its turn', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'stick', capacityBytes: 1000 });
  world.node.storage.hardware.mount('/mnt/small', 'stick');
  await world.data('POST', '/storage', {
    storage: 'small',
    type: 'dir',
    path: '/mnt/small',
    is_mountpoint: 'yes',
    content: 'backup',
  });
  await makeGuest(world, 100);
  await makeGuest(world, 101);
  const log = await world.run('POST', vzdump, { ...zstd, storage: 'small', vmid: '101,100' });
  assert.equal(exit(log), 'TASK ERROR: job errors');
  assert.equal(log.filter((line) => line.includes('No space left on device')).length, 2);
  assert.deepEqual(backups(world, 'small'), []);
  assert.equal(world.node.guests.config(100).active.get('lock'), undefined);
});

test('a target that goes away in the middle fails the backup and leaves the guest free', async () => {
  const world = await testNode();
  const { hardware } = world.node.storage;
  hardware.add({ id: 'nfs:nas:/x', capacityBytes: 10 ** 10 });
  await world.data('POST', '/storage', { storage: 'nas', type: 'nfs', server: 'nas', export: '/x', content: 'backup' });
  await makeGuest(world, 100);
  const upid = await stalled(world, /creating vzdump/, { ...zstd, storage: 'nas', vmid: 100 });
  hardware.add({ id: 'nfs:nas:/x', capacityBytes: 10 ** 10, online: false });
  world.node.tasks.release(upid);
  await world.clock.runUntil(world.node.tasks.settled(upid));
  const lines = world.node.tasks.find(upid)?.lines ?? [];
  assert.ok(
    lines.some((line) => line.includes('cannot write block : Input/output error')),
    lines.join('\n'),
  );
  assert.equal(exit(lines), 'TASK ERROR: job errors');
  assert.equal(world.node.guests.config(100).active.get('lock'), undefined);
  hardware.add({ id: 'nfs:nas:/x', capacityBytes: 10 ** 10 });
  assert.deepEqual(backups(world, 'nas'), []);
});

test('to a Proxmox Backup Server and back', async () => {
  const world = await testNode();
  world.node.storage.hardware.add({ id: 'pbs:backup/ds', capacityBytes: 10 ** 10 });
  await world.data('POST', '/storage', { storage: 'offsite', type: 'pbs', server: 'backup', datastore: 'ds' });
  await makeGuest(world, 100);
  const log = await world.run('POST', vzdump, { storage: 'offsite', mode: 'stop', vmid: 100, 'notes-template': 'n' });
  assert.equal(exit(log), 'TASK OK');
  const [file = ''] = backups(world, 'offsite');
  assert.match(file, /^ct\/100\/2026-11-23T23:\d\d:\d\dZ$/);
  const ostemplate = `offsite:backup/${file}`;
  const restored = await world.run('POST', '/nodes/pve1/lxc', { vmid: 200, ostemplate, restore: 1, storage: 'felhom' });
  assert.equal(exit(restored), 'TASK OK');
  const tree = await world.disk.readTree(world.node.storage.volumeDiskPath('felhom:200/vm-200-disk-0.raw'));
  assert.ok(tree.some(({ name }) => name === './etc/hostname'));
});

test('who may back up what', async () => {
  const world = await testNode();
  const { access } = world.node;
  await makeGuest(world, 100);
  await makeGuest(world, 101);
  access.config.roles.set('Keeper', new Set(['VM.Backup', 'Datastore.AllocateSpace']));
  access.addUser('keeper@pve', {});
  for (const path of ['/vms/100', '/storage/felhom']) {
    access.grant({ path, type: 'user', ugid: 'keeper@pve', roleid: 'Keeper' });
  }
  const as = 'keeper@pve';
  const refusals: [object, string][] = [
    [{ ...zstd, storage: 'local', vmid: 100 }, '403 Permission check failed (/storage/local, Datastore.AllocateSpace)'],
    [
      { ...zstd, vmid: 100, 'prune-backups': 'keep-last=1' },
      '403 Permission check failed (/storage/felhom, Datastore.Allocate)',
    ],
    [{ ...zstd, vmid: 100, bwlimit: 1 }, '403 Permission check failed (/, Sys.Modify)'],
    [{ ...zstd, vmid: 100, script: '/bin/true' }, '400 Parameter verification failed.'],
    [zstd, '400 Parameter verification failed.'],
    [{ ...zstd, vmid: 100, stdout: 1 }, '400 Parameter verification failed.'],
    [{ ...zstd, vmid: 100, all: 1 }, '400 Parameter verification failed.'],
  ];
  for (const [params, want] of refusals) {
    const { status, reason } = await world.call('POST', vzdump, params, as);
    assert.equal(`${status} ${reason}`, want, JSON.stringify(params));
  }
  const foreign = await world.run('POST', vzdump, { ...zstd, vmid: '100,101' }, as);
  assert.equal(exit(foreign), 'TASK ERROR: 403 Permission check failed (/vms/101, VM.Backup)');
  const all = await world.run('POST', vzdump, { ...zstd, all: 1 }, as);
  assert.deepEqual(
    all.filter((line) => line.startsWith('INFO: Starting')),
    ['INFO: Starting Backup of VM 100 (lxc)'],
  );
});

// From the source, not recorded: VZDump.pm get_included_guests, verify_vzdump_parameters; API2Tools.pm.
test('which guests a job takes, and the id of its task', async () => {
  const world = await testNode();
  for (const vmid of [100, 101, 102]) await makeGuest(world, vmid);
  for (const poolid of ['two', 'empty']) await world.data('POST', '/pools', { poolid });
  await world.data('PUT', '/pools', { poolid: 'two', vms: '101,102' });
  const cases: [params: object, id: string, vmids: number[]][] = [
    [{ all: 1 }, '', [100, 101, 102]],
    [{ exclude: '101' }, '', [100, 102]],
    [{ exclude: '100;101' }, '102', [102]],
    [{ pool: 'two' }, '', [101, 102]],
    [{ pool: 'two', exclude: '101' }, '', [101, 102]],
    [{ vmid: '102,100' }, '', [100, 102]],
    [{ vmid: '99999,102' }, '', [102, 99_999]],
    [{ vmid: 999 }, '999', [999]],
  ];
  for (const [params, id, vmids] of cases) {
    const upid = String(await world.data('POST', vzdump, { ...zstd, ...params }));
    await world.clock.runUntil(world.node.tasks.settled(upid));
    const task = world.node.tasks.find(upid);
    const named = task?.lines.flatMap((line) => /(?:Starting Backup|^ERROR: Backup) of VM (\d+)/.exec(line)?.[1] ?? []);
    assert.deepEqual([task?.parts.id, named?.map(Number)], [id, vmids], JSON.stringify(params));
    if ('exclude' in params && !('pool' in params)) assert.match(task?.lines[0] ?? '', / --all 1/);
  }
  assert.equal(await world.data('POST', vzdump, { ...zstd, pool: 'empty' }), 'OK');
  const unknown = await world.call('POST', vzdump, { ...zstd, pool: 'nobody' });
  assert.equal(`${unknown.status} ${unknown.reason}`, "500 pool 'nobody' does not exist");
});

// From the source, not recorded: VZDump.pm stop_running_backups.
test('stop ends the running job first', async () => {
  const world = await testNode();
  await makeGuest(world, 100);
  const running = String(await world.data('POST', vzdump, { ...zstd, vmid: 100 }));
  await world.clock.advance(1);
  assert.equal(await world.data('POST', vzdump, { stop: 1 }), 'OK');
  assert.equal(world.node.tasks.find(running)?.exitStatus, 'job errors');
});

test('what a mounted volume hides is not backed up, and what is excluded stays out', () => {
  const names = (files: readonly string[], excludes: readonly string[], bulk?: readonly string[]) => {
    const root = { at: '/', members: files.map((name) => fileMember(name, '')) };
    const trees =
      bulk === undefined ? [root] : [root, { at: '/srv/data', members: bulk.map((name) => fileMember(name, '')) }];
    return archiveMembers('c', undefined, trees, excludes)
      .slice(2)
      .map(({ name }) => treePath(name));
  };
  assert.deepEqual(names(['./a', './srv/data/below'], [], ['./photo']), ['a', 'srv/data/photo']);
  assert.deepEqual(names(['./tmp/x', './var/tmp/y', './home/tmp/z'], ['/tmp/?*', '/var/tmp/?*']), ['home/tmp/z']);
  assert.deepEqual(names(['./a/cache/x', './cache/y', './cached'], ['cache']), ['cached']);
  assert.deepEqual(names(['./lost+found/x', './a'], []), ['a']);
  assert.equal(textOf(archiveMembers('c', 'fw', [], [])[1] ?? fileMember('', '')), 'fw');
});

test('notes are filled from a template that was checked', () => {
  assert.throws(() => checkTemplate('{{bogus}}'), {
    errors: { 'notes-template': "found unknown: variable 'bogus' at char 4\n" },
  });
  checkTemplate('{{guestname}} on {{node}} ({{cluster}}, {{vmid}})\\nline \\\\ two');
  const filled = fillTemplate('{{guestname}} {{cluster}} {{vmid}}\\nx', { guestname: 'g', node: 'pve1', vmid: 7 });
  assert.equal(filled, 'g standalone node 7\nx');
});
