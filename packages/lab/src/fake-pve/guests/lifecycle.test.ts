import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT, createBench, dataOf, upidOf } from './bench-node.fixture.ts';
import { hostActions } from './host-actions.ts';

const CONFIG = [
  'hostname: app1',
  'memory: 256',
  'mp0: thin:vm-101-disk-1,mp=/srv/data,size=1G',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.0.0.5/24,type=veth',
  'rootfs: thin:vm-101-disk-0,size=1G',
  'unprivileged: 1',
  '',
].join('\n');

async function benchWith(config = CONFIG) {
  const bench = await createBench();
  bench.guest(101, config);
  return bench;
}

test('power: what is refused at once', async () => {
  const { call, run } = await benchWith();
  const rows: [string, Record<string, unknown>, number, string][] = [
    ['stop', {}, 500, 'CT 101 not running'],
    ['shutdown', {}, 500, 'CT 101 not running'],
    ['suspend', {}, 500, 'CT 101 not running'],
    ['reboot', {}, 500, 'VM 101 not running'],
    ['start', { skiplock: 1 }, 400, 'Parameter verification failed.'],
  ];
  for (const [verb, params, status, reason] of rows) {
    const answer = await call('POST', `/lxc/101/status/${verb}`, params, AGENT);
    assert.deepEqual([verb, answer.status, answer.reason], [verb, status, reason]);
  }
  assert.equal((await run('POST', '/lxc/101/status/start')).status, 'OK');
  assert.equal((await call('POST', '/lxc/101/status/start')).reason, 'CT 101 already running');
  assert.equal((await call('DELETE', '/lxc/101')).reason, 'unable to destroy CT 101 - container is running');
});

test('a start that fails says why in its task', async () => {
  const rows: [string, string][] = [
    [CONFIG.replace('vmbr0', 'vmbr9'), "bridge 'vmbr9' does not exist"],
    [CONFIG.replace('thin:vm-101-disk-0', 'gone:x'), "storage 'gone' does not exist"],
    [CONFIG.replace('thin:vm-101-disk-1', 'thin:gone'), "volume 'thin:gone' does not exist"],
    [`${CONFIG}template: 1\n`, "you can't start a CT if it's a template"],
    [`lock: backup\n${CONFIG}`, 'CT is locked (backup)'],
    [`lock: mounted\n${CONFIG}`, 'OK'],
    [CONFIG.replace('mp=/srv/data', 'mp=/srv/data,quota=1'), "startup for container '101' failed"],
  ];
  for (const [config, status] of rows) {
    const { run } = await benchWith(config);
    assert.equal((await run('POST', '/lxc/101/status/start')).status, status);
  }
  const { run, node } = await benchWith();
  node.storage.offline.add('thin');
  assert.equal((await run('POST', '/lxc/101/status/start')).status, "storage 'thin' is not online");
  assert.equal(
    (await run('POST', '/lxc/999/status/start')).status,
    "Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
  );
});

test('an init that does not listen costs the timeout, and only force ends it', async () => {
  const { run, node } = await benchWith(`entrypoint: /bin/sleep 9\n${CONFIG}`);
  await run('POST', '/lxc/101/status/start');
  const refused = await run('POST', '/lxc/101/status/shutdown', { timeout: 4 });
  assert.deepEqual(refused.log, [
    "command 'lxc-stop -n 101 --nokill --timeout 4' failed: exit code 1",
    'TASK ERROR: container did not stop',
  ]);
  assert.equal(node.guests.isRunning(101), true);
  assert.equal((await run('POST', '/lxc/101/status/shutdown', { timeout: 3, forceStop: 1 })).status, 'OK');
  assert.equal(node.guests.isRunning(101), false);
});

test('three starts at once: one starts, one trips over it, one never gets the lock', async () => {
  const { call, clock, node } = await benchWith();
  const upids = [];
  for (let index = 0; index < 3; index += 1) {
    const answer = call('POST', '/lxc/101/status/start');
    upids.push(String(Reflect.get(Object((await answer).body), 'data')));
  }
  const ends = [];
  for (const upid of upids) {
    await clock.runUntil(node.tasks.settled(upid));
    ends.push(node.tasks.find(upid)?.exitStatus);
  }
  assert.deepEqual(ends, ['OK', 'OK', "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"]);
});

test('snapshots: capability, parents, rollback', async () => {
  const { run, call, config, node } = await benchWith();
  assert.equal((await run('POST', '/lxc/101/snapshot', { snapname: 'one', description: 'why' }, AGENT)).status, 'OK');
  assert.equal(
    (await run('POST', '/lxc/101/snapshot', { snapname: 'one' })).status,
    "snapshot name 'one' already used",
  );
  assert.equal(
    (await call('POST', '/lxc/101/snapshot', { snapname: 'current' })).reason,
    "unable to use snapshot name 'current' (reserved name)",
  );
  await call('PUT', '/lxc/101/config', { memory: 64, description: 'kept', delete: 'mp0' });
  assert.equal((await run('POST', '/lxc/101/snapshot', { snapname: 'two' })).status, 'OK');
  const rows = Object.values(dataOf(await call('GET', '/lxc/101/snapshot')));
  assert.deepEqual(
    rows.map((row) => [Reflect.get(Object(row), 'name'), Reflect.get(Object(row), 'parent')]),
    [
      ['one', undefined],
      ['two', 'one'],
      ['current', 'two'],
    ],
  );
  await run('POST', '/lxc/101/status/start');
  assert.equal((await run('POST', '/lxc/101/snapshot/one/rollback')).status, 'OK');
  const back = await config(101);
  assert.deepEqual(
    [back['memory'], back['parent'], back['description'], back['mp0'], back['unused0']],
    [256, 'one', 'kept\n', 'thin:vm-101-disk-1,mp=/srv/data,size=1G', undefined],
  );
  assert.equal(node.guests.isRunning(101), false);
  await run('DELETE', '/lxc/101/snapshot/one');
  assert.equal((await config(101))['parent'], undefined);
  await call('PUT', '/lxc/101/config', { mp1: 'files:1,mp=/raw' });
  assert.equal(
    (await run('POST', '/lxc/101/snapshot', { snapname: 'three' })).status,
    'snapshot feature is not available',
  );
  assert.deepEqual(dataOf(await call('GET', '/lxc/101/feature', { feature: 'snapshot' })), { hasFeature: 0 });
});

test('resize only grows', async () => {
  const { run, call, config } = await benchWith();
  assert.equal((await run('PUT', '/lxc/101/resize', { disk: 'rootfs', size: '3G' }, AGENT)).status, 'OK');
  assert.equal((await config(101))['rootfs'], 'thin:vm-101-disk-0,size=3G');
  const rows: [Record<string, string>, string][] = [
    [{ disk: 'rootfs', size: '3G' }, 'disk is already at specified size'],
    [{ disk: 'rootfs', size: '1G' }, 'unable to shrink disk size'],
    [{ disk: 'mp7', size: '+1G' }, 'format error'],
  ];
  for (const [params, reason] of rows) assert.equal((await call('PUT', '/lxc/101/resize', params)).reason, reason);
});

test('a volume changes hands; a protected target refuses after the source has let go', async () => {
  const { run, call, config, guest, node } = await benchWith();
  guest(102, 'hostname: b\nmemory: 64\nrootfs: thin:vm-102-disk-0,size=1G\n');
  const done = await run(
    'POST',
    '/lxc/101/move_volume',
    { volume: 'mp0', 'target-vmid': 102, 'target-volume': 'mp3' },
    AGENT,
  );
  assert.deepEqual(done.log, [
    "moving volume 'mp0' from container '101' to '102'",
    "removing volume 'mp0' from container '101' config",
    "target container '102' updated with 'mp3'",
    'TASK OK',
  ]);
  assert.equal(node.tasks.all()[0]?.parts.id, '101-mp0>102-mp3');
  assert.equal((await config(102))['mp3'], 'thin:vm-102-disk-1,mp=/srv/data,size=1G');
  await call('PUT', '/lxc/101/config', { protection: 1 });
  const refused = await run('POST', '/lxc/102/move_volume', {
    volume: 'mp3',
    'target-vmid': 101,
    'target-volume': 'mp0',
  });
  assert.equal(refused.status, "can't update CT 101 drive 'mp0' - protection mode enabled");
  assert.deepEqual([(await config(101))['mp0'], (await config(102))['mp3']], [undefined, undefined]);
  assert.notEqual(node.storage.volume('thin:vm-101-disk-1'), undefined);
});

test('a volume moves to another storage; its old place becomes unused or is freed', async () => {
  const { run, config, node } = await benchWith();
  await run('POST', '/lxc/101/move_volume', { volume: 'mp0', storage: 'files' });
  const moved = await config(101);
  assert.deepEqual(
    [moved['mp0'], moved['unused0'], moved['lock']],
    ['files:vm-101-disk-0,mp=/srv/data,size=1G', 'thin:vm-101-disk-1', undefined],
  );
  await run('POST', '/lxc/101/move_volume', { volume: 'mp0', storage: 'thin', delete: 1 });
  assert.equal(node.storage.volume('files:vm-101-disk-0'), undefined);
});

test('destroy: everything of the guest goes, a stub keeps what nobody names', async () => {
  const { run, node, call } = await benchWith(`${CONFIG}unused0: thin:vm-101-disk-2\n`);
  node.guests.inside.firewalls.set(101, '[OPTIONS]');
  await call('POST', '/pools', { poolid: 'p' });
  await call('PUT', '/pools', { poolid: 'p', vms: '101' });
  const done = await run('DELETE', '/lxc/101', { purge: 1 });
  assert.deepEqual(done.log, ['purging CT 101 from related configurations..', 'TASK OK']);
  assert.deepEqual(
    [node.storage.volumesOf(101), node.guests.exists(101), node.guests.firewall(101), node.access.poolOfGuest(101)],
    [[], false, undefined, undefined],
  );
  for (const [params, left] of [
    [{}, 2],
    [{ 'destroy-unreferenced-disks': 1 }, 0],
  ] as const) {
    const bench = await benchWith();
    bench.node.guests.inside.files.set(101, '');
    await bench.run('DELETE', '/lxc/101', params);
    assert.equal(bench.node.storage.volumesOf(101).length, left);
  }
});

test('destroy with an unreachable storage stops half-way and keeps the config', async () => {
  const { run, node } = await benchWith(CONFIG.replace('thin:vm-101-disk-1', 'files:vm-101-disk-1'));
  node.storage.offline.add('files');
  assert.equal((await run('DELETE', '/lxc/101')).status, "storage 'files' is not online");
  assert.deepEqual([node.guests.exists(101), node.storage.volumesOf(101).length], [true, 1]);
});

test('destroy refuses protection and locks, and stops by force', async () => {
  for (const [line, reason] of [
    ['protection: 1', "can't remove CT 101 - protection mode enabled"],
    ['lock: create', 'CT is locked (create)'],
  ]) {
    const { call } = await benchWith(`${line}\n${CONFIG}`);
    assert.equal((await call('DELETE', '/lxc/101', { force: 1 })).reason, reason);
  }
  const { run, node } = await benchWith();
  await run('POST', '/lxc/101/status/start');
  assert.equal((await run('DELETE', '/lxc/101', { force: 1 })).log[0], 'forced to stop CT 101 before destroying!');
  assert.equal(node.guests.exists(101), false);
});

test('a clone has new MACs and everything else; the source is locked meanwhile', async () => {
  const { call, config, clock, node } = await benchWith();
  const answer = await call('POST', '/lxc/101/clone', { newid: 105, full: 1, hostname: 'copy' }, AGENT);
  assert.equal((await config(101))['lock'], 'disk');
  assert.equal((await call('POST', '/lxc/101/clone', { newid: 106, full: 1 })).reason, 'CT is locked (disk)');
  await clock.runUntil(node.tasks.settled(String(Reflect.get(Object(answer.body), 'data'))));
  const copy = await config(105);
  assert.deepEqual([copy['hostname'], copy['rootfs'], copy['lock']], ['copy', 'thin:vm-105-disk-0,size=1G', undefined]);
  assert.doesNotMatch(String(copy['net0']), /00:00:01/);
});

test('a reboot of the node: backup locks go, mounts go, onboot guests start', async () => {
  const { node, clock, guest } = await benchWith(`lock: backup\nonboot: 1\n${CONFIG}`);
  guest(102, 'lock: create\nonboot: 1\n');
  node.guests.inside.mounts.set(102, new Map([['/', 'x']]));
  await clock.runUntil(node.reboot());
  assert.deepEqual([node.guests.isRunning(101), node.guests.isRunning(102)], [true, false]);
  assert.deepEqual(
    [node.guests.config(101).active.get('lock'), node.guests.config(102).active.get('lock')],
    [undefined, 'create'],
  );
  assert.equal(node.guests.inside.mounts.size, 0);
});

test('status and interfaces of a stub, a stopped and a running guest', async () => {
  const { call, run, guest } = await benchWith();
  guest(120, 'lock: create\n');
  const stub = dataOf(await call('GET', '/lxc/120/status/current'));
  assert.deepEqual(
    [stub['name'], stub['cpus'], stub['maxmem'], stub['maxswap'], stub['maxdisk'], stub['lock']],
    ['CT120', 2, 536870912, 0, 4294967296, 'create'],
  );
  assert.equal(Reflect.get(Object((await call('GET', '/lxc/101/interfaces')).body), 'data'), null);
  await run('POST', '/lxc/101/status/start');
  const [, eth0] = Object.values(dataOf(await call('GET', '/lxc/101/interfaces')));
  assert.equal(Reflect.get(Object(eth0), 'inet'), '10.0.0.5/24');
  assert.equal(Object.values(dataOf(await call('GET', '/lxc', {}, 'nobody@pve'))).length, 0);
  assert.equal(Object.values(dataOf(await call('GET', '/lxc', {}, AGENT))).length, 2);
});

test('what root does on the host', async () => {
  const { node } = await benchWith();
  const host = hostActions(node, node.tasks);
  host.setRawConfig(101, 'memory: 16\n');
  assert.equal(node.guests.config(101).active.get('memory'), '16');
  host.removeConfig(101);
  assert.deepEqual([host.rawConfig(101), node.storage.volumesOf(101).length], [undefined, 2]);
  assert.throws(() => host.removeConfig(101), /cannot remove the config of 101/);
});

test('a worker that dies between two effects leaves exactly the first of them', async (t) => {
  /** Starts the task and kills it when it has been running for so many milliseconds of simulated time. */
  const killedAfter = async (ms: number, path: string, params: Record<string, unknown>, method: 'POST' | 'DELETE') => {
    const bench = await benchWith();
    bench.guest(102, 'hostname: b\nmemory: 64\nrootfs: thin:vm-102-disk-0,size=1G\n');
    const upid = upidOf(await bench.call(method, path, params));
    await bench.clock.advance(ms);
    bench.node.tasks.kill(upid);
    await bench.clock.runUntilIdle();
    assert.equal(bench.node.tasks.find(upid)?.exitStatus, 'unexpected status');
    return bench.node;
  };
  await t.test('destroy: one volume gone, the config as it was', async () => {
    const node = await killedAfter(0, '/lxc/101', {}, 'DELETE');
    assert.deepEqual([node.guests.inside.files.get(101), node.storage.volumesOf(101).length], [CONFIG, 1]);
  });
  await t.test('destroy: everything gone but the stub', async () => {
    const node = await killedAfter(2, '/lxc/101', { purge: 1 }, 'DELETE');
    assert.deepEqual([node.guests.inside.files.get(101), node.storage.volumesOf(101)], ['lock: destroyed\n', []]);
  });
  await t.test('move: renamed, but the source still names the old volume', async () => {
    const node = await killedAfter(1, '/lxc/101/move_volume', { volume: 'mp0', 'target-vmid': 102 }, 'POST');
    assert.equal(node.guests.config(101).active.get('mp0')?.split(',')[0], 'thin:vm-101-disk-1');
    assert.deepEqual([node.storage.volumesOf(101).length, node.storage.volumesOf(102).length], [1, 2]);
  });
  await t.test('snapshot: prepared and locked', async () => {
    const node = await killedAfter(0, '/lxc/101/snapshot', { snapname: 'one' }, 'POST');
    const { active, snapshots } = node.guests.config(101);
    assert.deepEqual([active.get('lock'), snapshots.get('one')?.get('snapstate')], ['snapshot', 'prepare']);
  });
});
