import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { GuestRecord } from '../authority/guest-record.ts';
import { crashPointsOf } from '../kernel/index.ts';
import type { AnySaga, SagaEnd } from '../kernel/index.ts';
import { bringUp } from '../bring-up/bring-up.saga.ts';
import { changeAtRest } from './change-at-rest.saga.ts';
import type { ChangeAtRest } from './change-at-rest.saga.ts';
import { refOf } from '../authority/guest-record.ts';
import { stopGuest } from './stop.saga.ts';
import { photos, wish, World } from './test/world.ts';

async function withGuest(): Promise<{ world: World; record: () => GuestRecord }> {
  const world = new World();
  assert.equal((await world.run(bringUp, { desired: wish() })).is, 'completed');
  world.now += 60_000;
  return { world, record: () => world.registry.byName(photos) ?? assert.fail('the guest is gone') };
}

const guestAt = (world: World, record: GuestRecord) => world.node.guests.get(record.vmid) ?? assert.fail();

const eth0 = { name: 'eth0', bridge: 'vmbr0', ipv4: { address: '10.0.0.9/24', gateway: '10.0.0.1' }, firewall: true };

interface Case {
  readonly name: string;
  readonly saga: AnySaga;
  readonly change?: ChangeAtRest;
  readonly runsAfter: boolean;
  readonly isAfter: (values: Readonly<Record<string, string>>) => boolean;
}

const cases: readonly Case[] = [
  { name: 'a stop', saga: stopGuest, runsAfter: false, isAfter: () => true },
  {
    name: 'another address',
    saga: changeAtRest,
    change: { is: 'network', network: 'eth0', to: eth0 },
    runsAfter: true,
    isAfter: ({ net0 = '' }) => net0.includes('ip=10.0.0.9/24') && net0.includes('firewall=1'),
  },
  {
    name: 'one interface more',
    saga: changeAtRest,
    change: { is: 'network', network: 'eth2', to: { ...eth0, name: 'eth2' } },
    runsAfter: true,
    isAfter: ({ net2 = '' }) => net2.includes('name=eth2'),
  },
  {
    name: 'an interface less',
    saga: changeAtRest,
    change: { is: 'network', network: 'eth0', to: null },
    runsAfter: true,
    isAfter: ({ net0 }) => net0 === undefined,
  },
  {
    name: 'name servers',
    saga: changeAtRest,
    change: { is: 'nameservers', to: ['9.9.9.9', '1.1.1.1'] },
    runsAfter: true,
    isAfter: ({ nameserver }) => nameserver === '9.9.9.9 1.1.1.1',
  },
  {
    name: 'another mount path',
    saga: changeAtRest,
    change: { is: 'mount', key: 'mp0', to: '/srv/other' },
    runsAfter: true,
    isAfter: ({ mp0 = '' }) => mp0.includes('mp=/srv/other') && mp0.includes('size=20G'),
  },
  {
    name: 'a volume out of backups',
    saga: changeAtRest,
    change: { is: 'backup-off', key: 'mp0' },
    runsAfter: true,
    isAfter: ({ mp0 = '' }) => mp0.includes('backup=0'),
  },
];

const paramsOf = (record: GuestRecord, { change }: Case) => ({
  guest: refOf(record),
  ...(change === undefined ? {} : { change }),
});

for (const row of cases) {
  test(`${row.name}: done, volumes as before`, async () => {
    const { world, record } = await withGuest();
    const volumes = [...world.node.volumes.keys()];
    const end = await world.run(row.saga, paramsOf(record(), row));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assert.ok(row.isAfter(guestAt(world, record()).values));
    assert.equal(guestAt(world, record()).running, row.runsAfter);
    assert.deepEqual([...world.node.volumes.keys()], volumes);
    if (row.saga === changeAtRest) assert.equal(record().configDigest, world.node.digestOf(record().vmid));
  });

  test(`${row.name}: a guest that stood still stays so, and is written all the same`, async () => {
    const { world, record } = await withGuest();
    guestAt(world, record()).running = false;
    const calls = world.node.calls.length;
    assert.equal((await world.run(row.saga, paramsOf(record(), row))).is, 'completed');
    assert.ok(row.isAfter(guestAt(world, record()).values));
    assert.equal(guestAt(world, record()).running, false);
    assert.ok(!world.node.calls.slice(calls).some((call) => /^(?:start|stop|shutdown)/.test(call)));
  });

  test(`${row.name}: wherever the power goes, it is done in the end`, async () => {
    for (const point of crashPointsOf(row.saga)) {
      const { world, record } = await withGuest();
      world.crashAt = point;
      const first = await world.run(row.saga, paramsOf(record(), row));
      const ends: readonly SagaEnd[] = world.crashed ? await world.reboot() : [first];
      if (ends.length === 0) continue;
      assert.equal(ends[0]?.is, 'completed', `${point}: ${JSON.stringify(ends)}`);
      assert.ok(row.isAfter(guestAt(world, record()).values), point);
      assert.equal(guestAt(world, record()).running, row.runsAfter, point);
    }
  });

  for (const mishap of ['lost-request', 'lost-answer'] as const)
    test(`${row.name}: every first call is a ${mishap}`, async () => {
      const { world, record } = await withGuest();
      for (const kind of ['shutdown', 'configure', 'start'] as const) world.node.mishaps[kind].push(mishap);
      const end = await world.run(row.saga, paramsOf(record(), row));
      assert.equal(end.is, 'completed', JSON.stringify(end));
      assert.ok(row.isAfter(guestAt(world, record()).values));
      assert.equal(guestAt(world, record()).running, row.runsAfter);
    });

  test(`${row.name}: a guest of somebody else under the VMID is not touched`, async () => {
    const { world, record } = await withGuest();
    world.node.foreignGuest(record().vmid);
    guestAt(world, record()).running = true;
    const end = await world.run(row.saga, paramsOf(record(), row));
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.deepEqual(guestAt(world, record()).values, { hostname: 'stranger' });
    assert.equal(guestAt(world, record()).running, true);
  });
}

test('a shutdown that fails is followed by a stop', async () => {
  const { world, record } = await withGuest();
  world.node.mishaps.shutdown.push({ fails: 'command failed' });
  assert.equal((await world.run(stopGuest, { guest: refOf(record()) })).is, 'completed');
  assert.deepEqual(world.node.calls.slice(-2), [`shutdown ${record().vmid}`, `stop ${record().vmid}`]);
});

test('the MAC and whatever else stood in the line stay', async () => {
  const { world, record } = await withGuest();
  const { values } = guestAt(world, record());
  values['net0'] = 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:86:8C:AE,ip=dhcp,link_down=1,mtu=1400,rate=5,type=veth';
  const change = { is: 'network', network: 'eth0', to: eth0 };
  assert.equal((await world.run(changeAtRest, { guest: refOf(record()), change })).is, 'completed');
  assert.equal(
    guestAt(world, record()).values['net0'],
    'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:86:8C:AE,ip=10.0.0.9/24,mtu=1400,rate=5,type=veth,gw=10.0.0.1,firewall=1',
  );
});

test('a change that the guest does not come up with is taken back, and it runs again', async () => {
  const { world, record } = await withGuest();
  const before = guestAt(world, record()).values['net0'];
  world.node.mishaps.start.push({ fails: "bridge 'vmbr0' does not exist" });
  const change = { is: 'network', network: 'eth0', to: eth0 };
  const end = await world.run(changeAtRest, { guest: refOf(record()), change });
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.did-not-start', JSON.stringify(end));
  assert.equal(guestAt(world, record()).values['net0'], before);
  assert.equal(guestAt(world, record()).running, true);
  assert.equal(record().configDigest, world.node.digestOf(record().vmid));
});

test('a refused write brings the guest up again as it was', async () => {
  const { world, record } = await withGuest();
  const before = { ...guestAt(world, record()).values };
  const configure = world.node.writer.configure.bind(world.node.writer);
  world.node.writer.configure = async (vmid, change, signal) =>
    'net0' in (change.set ?? {})
      ? { is: 'refused', why: { code: 'pve.forbidden', text: 'cannot change: SDN.Use', retry: 'operator' } }
      : configure(vmid, change, signal);
  const change = { is: 'network', network: 'eth0', to: eth0 };
  const end = await world.run(changeAtRest, { guest: refOf(record()), change });
  assert.ok(end.is === 'unwound' && end.why.code === 'pve.forbidden', JSON.stringify(end));
  assert.deepEqual(guestAt(world, record()).values, before);
  assert.equal(guestAt(world, record()).running, true);
});

test('a mount that is gone by now is refused before anything but the rest', async () => {
  const { world, record } = await withGuest();
  const change = { is: 'mount', key: 'mp9', to: '/srv/other' };
  const end = await world.run(changeAtRest, { guest: refOf(record()), change });
  assert.ok(end.is === 'unwound' && end.why.code === 'job.changed', JSON.stringify(end));
  assert.equal(guestAt(world, record()).running, true);
});
