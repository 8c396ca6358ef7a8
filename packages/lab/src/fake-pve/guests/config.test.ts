import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGENT, createBench } from './bench-node.fixture.ts';
import { hostActions } from './host-actions.ts';
import { benchTraits } from './room.ts';

const CONFIG = [
  'cmode: tty',
  'cores: 1',
  'features: nesting=1,keyctl=1',
  'hostname: app1',
  'memory: 256',
  'mp0: files:vm-101-disk-1,mp=/srv/data,size=1G',
  'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth',
  'rootfs: files:vm-101-disk-0,size=1G',
  'unprivileged: 1',
  '',
].join('\n');

async function benchWith(config = CONFIG, running = false, traits = benchTraits) {
  const bench = await createBench(traits);
  bench.guest(101, config);
  if (running) await bench.run('POST', '/lxc/101/status/start');
  return {
    ...bench,
    put: (params: Record<string, unknown>, as = AGENT) => bench.call('PUT', '/lxc/101/config', params, as),
  };
}

test('who may change what, and in which words it is refused', async () => {
  const flags = 'Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)';
  const rows: [Record<string, unknown>, string, number, string][] = [
    [{ cores: 2 }, AGENT, 200, 'OK'],
    [{ features: 'nesting=1,keyctl=1' }, AGENT, 200, 'OK'],
    [{ features: 'nesting=0,keyctl=1' }, AGENT, 200, 'OK'],
    [{ features: 'nesting=1' }, AGENT, 403, flags],
    [{ delete: 'features' }, AGENT, 403, flags],
    [{ features: 'nesting=1,keyctl=1,fuse=1' }, 'root@pam!bench', 403, flags],
    [{ features: 'nesting=1,keyctl=1,fuse=1' }, 'root@pam', 200, 'OK'],
    [{ mp3: '/srv,mp=/c' }, AGENT, 403, 'Permission check failed (mount point type bind is only allowed for root@pam)'],
    [{ mp3: '/srv,mp=/c' }, 'root@pam', 200, 'OK'],
    [
      { dev0: '/dev/fuse' },
      AGENT,
      403,
      'Permission check failed (configuring device passthrough is only allowed for root@pam)',
    ],
    [
      { hookscript: 'local:snippets/x.sh' },
      AGENT,
      403,
      'Permission check failed (changing the hookscript is only allowed for root@pam)',
    ],
    [{ hookscript: 'local:snippets/x.sh' }, 'root@pam', 500, "script 'local:snippets/x.sh' does not exist"],
    [{ unprivileged: 0 }, AGENT, 500, "unable to modify read-only option: 'unprivileged'"],
    [{ delete: 'unprivileged' }, AGENT, 500, "unable to delete read-only option: 'unprivileged'"],
    [{ delete: 'rootfs' }, AGENT, 500, "unable to delete required option 'rootfs'"],
    [{ delete: 'nameserver' }, AGENT, 200, 'OK'],
    [{ delete: 'bogus' }, AGENT, 400, 'Parameter verification failed.'],
    [{}, AGENT, 500, 'no options specified'],
    [
      { cores: 1, digest: 'zz' },
      AGENT,
      500,
      'detected modified configuration - file changed by other user? Try again.',
    ],
    [{ mp4: 'nosuch:1,mp=/c' }, AGENT, 500, "storage 'nosuch' does not exist"],
    [{ lock: 'backup' }, AGENT, 200, 'OK'],
  ];
  for (const [params, as, status, reason] of rows) {
    const { put } = await benchWith();
    const answer = await put(params, as);
    assert.deepEqual([JSON.stringify(params), answer.status, answer.reason], [JSON.stringify(params), status, reason]);
  }
});

test('a lock once set can only be taken away on the host', async () => {
  const { put, node } = await benchWith();
  await put({ lock: 'backup' });
  for (const as of [AGENT, 'root@pam'])
    assert.equal((await put({ delete: 'lock' }, as)).reason, 'CT is locked (backup)');
  hostActions(node, node.tasks).unlock(101);
  assert.equal((await put({ cores: 2 })).status, 200);
});

test('a missing bridge wedges the config: each change answers 500 and is stored', async () => {
  const { put, config } = await benchWith();
  assert.equal((await put({ net0: 'name=eth0,bridge=vmbr9,ip=dhcp' })).reason, "bridge 'vmbr9' does not exist");
  assert.equal((await put({ cores: 4 })).reason, "bridge 'vmbr9' does not exist");
  assert.equal((await config(101))['cores'], 4);
  assert.equal((await put({ net0: 'name=eth0,ip=dhcp' })).reason, "bridge '' does not exist");
  assert.equal((await put({ net0: 'name=eth0,bridge=vmbr0' })).status, 200);
});

test('volumes: new, half a GiB, foreign, detached, destroyed', async () => {
  const { put, config, node, guest } = await benchWith();
  guest(100, 'rootfs: files:vm-100-disk-0,size=1G\n');
  await put({ mp2: 'files:0.5,mp=/b,backup=1' });
  assert.equal((await config(101))['mp2'], 'files:vm-101-disk-2,mp=/b,backup=1,size=512M');
  await put({ mp5: 'files:vm-100-disk-0,mp=/steal' });
  assert.equal((await config(101))['mp5'], 'files:vm-100-disk-0,mp=/steal,size=1G');
  await put({ delete: 'mp2,mp5' });
  const detached = await config(101);
  assert.deepEqual([detached['unused0'], detached['unused1']], ['files:vm-101-disk-2', 'files:vm-100-disk-0']);
  await put({ delete: 'unused0,unused1' });
  assert.equal(node.storage.volume('files:vm-101-disk-2'), undefined);
  assert.notEqual(node.storage.volume('files:vm-100-disk-0'), undefined);
  const tooBig = await put({ mp4: 'files:9999999,mp=/c' });
  assert.deepEqual(Reflect.get(Object(tooBig.body), 'errors'), {
    mp4: 'unable to apply pending change mp4 : unable to create image: too large\n',
  });
  await put({ mp0: 'files:1,mp=/srv/data' });
  assert.equal((await config(101))['unused0'], 'files:vm-101-disk-1');
});

test('a running guest: what is immediate, what waits, what the next start makes of it', async () => {
  const { put, config, call, run } = await benchWith(CONFIG, true);
  await put({ memory: 128, hostname: 'other', description: 'x' });
  await put({ cmode: 'shell', features: 'nesting=0,keyctl=1', nameserver: '1.1.1.1' });
  await put({ delete: 'mp0' });
  const current = Reflect.get(Object((await call('GET', '/lxc/101/config', { current: 1 })).body), 'data');
  assert.deepEqual([current.memory, current.hostname, current.cmode], [128, 'other', 'tty']);
  const pending = Reflect.get(Object((await call('GET', '/lxc/101/pending')).body), 'data');
  const row = (key: string): unknown => pending.find((entry: { key: string }) => entry.key === key);
  assert.deepEqual(row('cmode'), { key: 'cmode', value: 'tty', pending: 'shell' });
  assert.deepEqual(row('nameserver'), { key: 'nameserver', pending: '1.1.1.1' });
  assert.deepEqual(row('mp0'), { key: 'mp0', value: 'files:vm-101-disk-1,mp=/srv/data,size=1G', delete: 1 });
  assert.equal((await run('POST', '/lxc/101/status/reboot')).status, 'OK');
  const after = await config(101);
  assert.deepEqual([after['cmode'], after['unused0'], after['mp0']], ['shell', 'files:vm-101-disk-1', undefined]);
});

test('a failed hot change of the MAC takes the interface away and leaves the new value pending', async () => {
  const { put, call } = await benchWith(CONFIG, true);
  const answer = await put({ net0: 'name=eth0,bridge=vmbr0,ip=10.0.0.1/24' });
  assert.deepEqual(Reflect.get(Object(answer.body), 'errors'), {
    net0: "unable to hotplug net0: command 'lxc-device -n 101 add veth101i0p eth0' failed: exit code 1\n",
  });
  const current = Reflect.get(Object((await call('GET', '/lxc/101/config', { current: 1 })).body), 'data');
  assert.equal(current.net0, undefined);
  const merged = Reflect.get(Object((await call('GET', '/lxc/101/config')).body), 'data');
  assert.equal(merged.net0, 'name=eth0,bridge=vmbr0,ip=10.0.0.1/24');
  const again = await put({ net0: 'name=eth0,bridge=vmbr9' });
  assert.deepEqual(Reflect.get(Object(again.body), 'errors'), {
    net0: "unable to hotplug net0: bridge 'vmbr9' does not exist\n",
  });
  assert.equal((await put({ onboot: 1 })).status, 200);
});

test('a failed hot-plug of a mount point leaves no volume behind; elsewhere it works', async () => {
  const bench = await benchWith(CONFIG, true);
  const answer = await bench.put({ mp1: 'files:1,mp=/hot' });
  assert.equal(answer.status, 400);
  assert.equal(bench.node.storage.volumesOf(101).length, 2);
  const real = await benchWith(CONFIG, true, { hotplug: 'works', addresses: 'configured' });
  assert.equal((await real.put({ mp1: 'files:1,mp=/hot', net0: 'name=eth0,bridge=vmbr0,ip=dhcp' })).status, 200);
  assert.equal((await real.config(101))['mp1'], 'files:vm-101-disk-2,mp=/hot,size=1G');
});

test('options of a disk change in place; only another volume detaches the old one', async () => {
  const { put, config } = await benchWith();
  await put({ mp0: 'files:vm-101-disk-1,mp=/new,ro=1', rootfs: 'files:vm-101-disk-0,size=1G,acl=1' });
  const after = await config(101);
  assert.deepEqual(
    [after['mp0'], after['rootfs'], after['unused0']],
    ['files:vm-101-disk-1,mp=/new,ro=1,size=1G', 'files:vm-101-disk-0,size=1G,acl=1', undefined],
  );
});

test('one key cannot be set and removed or reverted in one call', async () => {
  const { put } = await benchWith();
  const rows: [Record<string, unknown>, string][] = [
    [{ cores: 1, delete: 'cores' }, "you can't use '-cores' and -delete cores' at the same time"],
    [{ cores: 1, revert: 'cores' }, "you can't use '-cores' and '-revert cores' at the same time"],
    [{ delete: 'cores', revert: 'cores' }, "you can't use '-delete cores' and '-revert cores' at the same time"],
  ];
  for (const [params, why] of rows) {
    const answer = await put(params);
    assert.deepEqual(Reflect.get(Object(answer.body), 'errors'), { delete: why });
  }
});

test('protection keeps the disks as they are', async () => {
  const { put } = await benchWith(`protection: 1\n${CONFIG}`);
  assert.equal(
    (await put({ mp1: 'files:1,mp=/x' })).reason,
    "can't update CT 101 drive 'mp1' - protection mode enabled",
  );
  assert.equal((await put({ delete: 'mp0' })).reason, "can't remove CT 101 drive 'mp0' - protection mode enabled");
});
