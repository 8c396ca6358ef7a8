import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT, GOLDEN, createBench, upidOf } from './bench-node.fixture.ts';
import { hostActions } from './host-actions.ts';

const CONFIG = [
  'arch: amd64',
  'cores: 1',
  'features: nesting=1,keyctl=1',
  'hostname: golden',
  'memory: 256',
  'mp0: files:vm-100-disk-1,mp=/srv/data,backup=0,size=1G',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:86:11:FE,ip=10.98.0.100/24,type=veth',
  'onboot: 1',
  'ostype: alpine',
  'protection: 1',
  'rootfs: files:vm-100-disk-0,size=1G',
  'swap: 0',
  'tags: felhom;golden',
  'unprivileged: 1',
  '',
].join('\n');

const RESTORE = { vmid: 101, ostemplate: GOLDEN, restore: 1, storage: 'files' };

async function benchWith(first: string, rest: { last?: string; firewall?: string; unpackFails?: string } = {}) {
  const bench = await createBench();
  bench.node.storage.archives.set(GOLDEN, { first, ...rest });
  return bench;
}

test('a plain restore takes everything from the archive but where its volumes are', async () => {
  const bench = await benchWith(CONFIG, { firewall: '[OPTIONS]\n' });
  const done = await bench.run('POST', '/lxc', RESTORE, AGENT);
  assert.equal(done.status, 'OK');
  assert.deepEqual(
    done.log.filter((line) => !line.startsWith('Formatting')),
    [
      `recovering backed-up configuration from '${GOLDEN}'`,
      `restoring '${GOLDEN}' now..`,
      `extracting archive '${GOLDEN}'`,
      'merging backed-up and given configuration..',
      'TASK OK',
    ],
  );
  const text = bench.node.guests.inside.files.get(101);
  assert.equal(text, CONFIG.replaceAll('vm-100', 'vm-101'));
  assert.equal(bench.node.guests.firewall(101), '[OPTIONS]\n');
  assert.equal(bench.node.guests.inside.mounts.size, 0);
});

test('the traps of a restore', async (t) => {
  const bind = CONFIG.replace('onboot: 1', 'mp1: /srv/bind,mp=/b');
  const privileged = CONFIG.replace('unprivileged: 1\n', '');
  const raw = `${CONFIG}lxc.cgroup2.devices.allow: c 10:200 rwm\n`;
  const failed = (why: string): string => `unable to restore CT 101 - ${why}`;
  const rows: {
    name: string;
    archive: string;
    params?: Record<string, unknown>;
    status: string;
    has?: Record<string, unknown>;
    lacks?: string[];
  }[] = [
    {
      name: 'rootfs given: the mount points of the archive are left out',
      archive: CONFIG,
      params: { rootfs: 'files:2' },
      status: 'OK',
      has: { rootfs: 'files:vm-101-disk-0,size=2G' },
      lacks: ['mp0'],
    },
    {
      name: 'given keys win over archived ones',
      archive: CONFIG,
      params: { hostname: 'app1', onboot: 0, memory: 512 },
      status: 'OK',
      has: { hostname: 'app1', onboot: 0, memory: 512, protection: 1 },
    },
    {
      name: 'a bind mount of the archive is for root',
      archive: bind,
      status: failed("restoring 'mp1' to bind mount is only possible for root"),
    },
    {
      name: 'a bind mount is not even looked at with rootfs given',
      archive: bind,
      params: { rootfs: 'files:1' },
      status: 'OK',
      lacks: ['mp1'],
    },
    {
      name: 'a privileged archive needs Sys.Modify',
      archive: privileged,
      status: failed('403 Permission check failed (/, Sys.Modify)'),
    },
    {
      name: 'a privileged archive may be made unprivileged',
      archive: privileged,
      params: { unprivileged: 1 },
      status: 'OK',
      has: { unprivileged: 1 },
    },
    { name: 'raw lxc lines are skipped with a warning', archive: raw, status: 'WARNINGS: 1', lacks: ['lxc'] },
    {
      name: 'features may be narrowed to nesting only when unprivileged is said',
      archive: CONFIG,
      params: { features: 'nesting=1', unprivileged: 1 },
      status: 'OK',
      has: { features: 'nesting=1' },
    },
  ];
  for (const { name, archive, params, status, has = {}, lacks = [] } of rows) {
    await t.test(name, async () => {
      const bench = await benchWith(archive);
      const done = await bench.run('POST', '/lxc', { ...RESTORE, ...params }, AGENT);
      assert.equal(done.status, status);
      if (status.startsWith('unable')) {
        assert.equal(bench.node.guests.exists(101), false);
        assert.deepEqual(bench.node.storage.volumesOf(101), []);
        return;
      }
      const config = await bench.config(101);
      for (const [key, value] of Object.entries(has)) assert.equal(config[key], value);
      for (const key of lacks) assert.equal(key in config, false);
    });
  }
});

test('unique gives a new MAC and throws away the net0 of the caller', async () => {
  const bench = await benchWith(CONFIG);
  await bench.run('POST', '/lxc', { ...RESTORE, unique: 1, net0: 'name=eth0,bridge=vmbr0,ip=dhcp' }, AGENT);
  const { net0 } = await bench.config(101);
  assert.match(String(net0), /^name=eth0,bridge=vmbr0,hwaddr=BC:24:11:..:..:..,ip=10\.98\.0\.100\/24,type=veth$/);
  assert.doesNotMatch(String(net0), /86:11:FE/);
});

test('what is refused before a task begins', async () => {
  const bench = await benchWith(CONFIG);
  bench.guest(100, CONFIG);
  const rows: [Record<string, unknown>, string, number, string][] = [
    [{ vmid: 100 }, AGENT, 500, "CT 100 already exists on node 'pve1'"],
    [{ mp0: 'files:1,mp=/x' }, AGENT, 500, "mount points configured, but 'rootfs' not set - aborting"],
    [
      { features: 'nesting=1' },
      AGENT,
      403,
      'Permission check failed (changing feature flags for privileged container is only allowed for root@pam)',
    ],
    [
      { features: 'nesting=1,keyctl=1', unprivileged: 1 },
      AGENT,
      403,
      'Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)',
    ],
    [
      { rootfs: 'files:1', mp0: '/etc,mp=/x' },
      AGENT,
      403,
      'Permission check failed (mount point type bind is only allowed for root@pam)',
    ],
    [{ storage: 'nosuch' }, AGENT, 500, "storage 'nosuch' does not exist"],
    [{ ostemplate: 'nosuch:backup/x' }, AGENT, 500, "storage 'nosuch' does not exist"],
    [
      { ostemplate: '/x.tar' },
      AGENT,
      500,
      'Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.',
    ],
    [{ restore: 0 }, AGENT, 500, `unable to use volume ${GOLDEN} - content type needs to be 'vztmpl'`],
    [{ pool: 'nosuch' }, AGENT, 403, "Permission check failed (pool 'nosuch' does not exist)"],
    [{ vmid: 100, force: 1 }, AGENT, 500, 'unable to restore CT 100 - protection mode enabled'],
    [{}, 'nobody@pve', 403, 'Permission check failed'],
  ];
  for (const [params, as, status, reason] of rows) {
    const answer = await bench.call('POST', '/lxc', { ...RESTORE, ...params }, as);
    assert.deepEqual([answer.status, answer.reason], [status, reason]);
  }
  assert.deepEqual(bench.node.guests.ids(), [100]);
});

test('a forced restore destroys every volume of the old guest, the one without backup included', async () => {
  const bench = await benchWith(CONFIG);
  bench.guest(101, CONFIG.replaceAll('vm-100', 'vm-101').replace('protection: 1', 'protection: 0'));
  const done = await bench.run('POST', '/lxc', { ...RESTORE, force: 1 }, AGENT);
  assert.equal(done.status, 'OK');
  assert.deepEqual(
    bench.node.storage.volumesOf(101).map(({ volid }) => volid),
    ['files:vm-101-disk-2', 'files:vm-101-disk-3'],
  );
});

test('a forced restore that fails late leaves nothing of the old guest', async () => {
  const bench = await benchWith(CONFIG, { unpackFails: 'exit code 2' });
  bench.guest(101, CONFIG.replaceAll('vm-100', 'vm-101').replace('protection: 1', 'protection: 0'));
  const done = await bench.run('POST', '/lxc', { ...RESTORE, force: 1 }, AGENT);
  assert.equal(done.status, 'unable to restore CT 101 - exit code 2');
  assert.equal(bench.node.guests.exists(101), false);
  assert.deepEqual(bench.node.storage.volumesOf(101), []);
});

test('a forced restore that fails before it destroys only gives the lock back', async () => {
  const bench = await benchWith(CONFIG.replace('unprivileged: 1\n', ''));
  const old = CONFIG.replaceAll('vm-100', 'vm-101').replace('protection: 1', 'protection: 0');
  bench.guest(101, old);
  const done = await bench.run('POST', '/lxc', { ...RESTORE, force: 1 }, AGENT);
  assert.match(done.status, /Sys\.Modify/);
  assert.equal(bench.node.guests.inside.files.get(101), old);
});

test('the config that is merged is the last member of the archive, the one that is judged is the first', async () => {
  const bench = await benchWith(CONFIG, { last: CONFIG.replace('hostname: golden', 'dev0: /dev/sda\nhostname: sly') });
  await bench.run('POST', '/lxc', RESTORE, AGENT);
  const config = await bench.config(101);
  assert.deepEqual([config['hostname'], config['dev0']], ['sly', '/dev/sda']);
});

test('while it runs there is a stub, nobody else gets the config lock, and the pool comes last', async () => {
  const bench = await benchWith(CONFIG);
  await bench.call('POST', '/pools', { poolid: 'p' });
  const { call, clock, node } = bench;
  node.pace.restoreMs = 20_000;
  const upid = upidOf(await call('POST', '/lxc', { ...RESTORE, pool: 'p' }));
  await clock.advance(100);
  assert.deepEqual(await bench.config(101), { lock: 'create' });
  assert.equal(node.guests.inside.mounts.get(101)?.get('/srv/data'), 'files:vm-101-disk-1');
  assert.equal((await call('POST', '/lxc', RESTORE)).reason, "CT 101 already exists on node 'pve1'");
  assert.equal((await call('DELETE', '/lxc/101')).reason, 'CT is locked (create)');
  const start = await bench.run('POST', '/lxc/101/status/start');
  assert.equal(start.status, "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout");
  assert.equal(node.access.poolOfGuest(101), undefined);
  await clock.runUntil(node.tasks.settled(upid));
  assert.equal(node.access.poolOfGuest(101), 'p');
});

test('a killed worker leaves stub, volumes and mounts; an aborted one nothing', async () => {
  for (const end of ['kill', 'abort'] as const) {
    const { clock, node, call } = await benchWith(CONFIG);
    const upid = upidOf(await call('POST', '/lxc', { ...RESTORE, bwlimit: 100 }));
    await clock.advance(500);
    node.tasks[end](upid);
    await clock.runUntil(node.tasks.settled(upid));
    await clock.settle();
    const facts = hostActions(node, node.tasks).stubFacts(101);
    if (end === 'abort') {
      assert.equal(node.tasks.find(upid)?.exitStatus, 'unable to restore CT 101 - interrupted by signal');
      assert.deepEqual([facts.config, facts.mounts.size, node.storage.volumesOf(101).length], [undefined, 0, 0]);
      continue;
    }
    assert.deepEqual([facts.config, facts.mounts.size, node.storage.volumesOf(101).length], ['lock: create\n', 2, 2]);
    assert.deepEqual(facts.newestCreate?.end, {
      is: 'ended',
      at: node.tasks.find(upid)?.endtime,
      exitStatus: 'unexpected status',
    });
    assert.equal(
      (await call('POST', '/lxc', { ...RESTORE, force: 1 })).reason,
      'unable to restore CT 101 - CT is locked (create)',
    );
    hostActions(node, node.tasks).unlock(101);
    assert.equal(node.guests.inside.files.get(101), '');
  }
});

test('what a dead worker left mounted cannot be destroyed on block storage before it is unmounted', async () => {
  const { clock, node, call, run } = await benchWith(CONFIG);
  const upid = upidOf(await call('POST', '/lxc', { ...RESTORE, storage: 'thin' }));
  await clock.advance(500);
  node.tasks.kill(upid);
  const host = hostActions(node, node.tasks);
  host.unlock(101);
  const busy = await run('DELETE', '/lxc/101', { 'destroy-unreferenced-disks': 1 });
  assert.match(busy.log.join(), /contains a filesystem in use/);
  assert.equal(node.storage.volumesOf(101).length, 2);
  host.unmount(101);
  for (const { volid } of node.storage.volumesOf(101)) await host.freeVolume(volid);
  assert.equal(node.storage.volumesOf(101).length, 0);
});

test('create from a template has defaults and detects what it unpacked', async () => {
  const bench = await createBench();
  bench.node.storage.archives.set('files:vztmpl/base.tar.zst', { first: '' });
  const order = { vmid: 130, ostemplate: 'files:vztmpl/base.tar.zst', storage: 'files', hostname: 't' };
  assert.equal(
    (await bench.call('POST', '/lxc', { ...order, unprivileged: 0 }, AGENT)).reason,
    'Permission check failed (/, Sys.Modify)',
  );
  assert.equal(
    (await bench.call('POST', '/lxc', { ...order, 'ssh-public-keys': 'junk' }, AGENT)).reason,
    'SSH public key validation error',
  );
  const done = await bench.run('POST', '/lxc', { ...order, start: 1 }, AGENT);
  assert.equal(done.status, 'OK');
  assert.deepEqual(await bench.config(130), {
    arch: 'amd64',
    hostname: 't',
    memory: 512,
    ostype: 'alpine',
    rootfs: 'files:vm-130-disk-0,size=4G',
    swap: 512,
    unprivileged: 1,
  });
  await bench.clock.runUntilIdle();
  assert.equal(bench.node.guests.isRunning(130), true);
  assert.equal(bench.node.tasks.all()[0]?.parts.type, 'vzstart');
});
