import { test } from 'node:test';
import assert from 'node:assert/strict';
import { reason } from '@felhom/protocol';
import { crashPointsOf, done, refused } from '../kernel/index.ts';
import type { SagaEnd } from '../kernel/index.ts';
import { bringUp } from './bring-up.saga.ts';
import { photos, wish, World } from '../guests/test/world.ts';

function assertAfter(world: World): void {
  const record = world.registry.byName(photos);
  assert.ok(record, 'the guest is on record');
  assert.equal(world.registry.all().length, 1);
  const guest = world.node.guests.get(record.vmid);
  assert.ok(guest?.running);
  assert.equal(guest.values['onboot'], '1');
  assert.deepEqual(record.volumes.map((v) => v.volid).toSorted(), world.node.volumesOf(record.vmid).toSorted());
  assert.deepEqual(record.volumes.map((v) => v.name).toSorted(), ['bulk', 'data', 'rootfs']);
  assert.equal(record.configDigest, world.node.digestOf(record.vmid));
  const own = [...world.node.guests.values()].filter((g) => g.values['hostname'] !== 'stranger');
  assert.equal(own.length, 1, 'never two guests');
  assert.equal(world.node.volumes.size, 3);
}

function assertBefore(world: World): void {
  assert.deepEqual(world.registry.all(), []);
  assert.deepEqual(
    [...world.node.guests.values()].filter((guest) => guest.values['hostname'] !== 'stranger'),
    [],
  );
  assert.equal(world.node.volumes.size, 0, 'no orphan volume');
}

function assertWhole(world: World, end: SagaEnd | undefined): void {
  if (end?.is === 'completed') return assertAfter(world);
  assert.equal(end?.is, 'unwound', JSON.stringify(end));
  assertBefore(world);
}

test('a guest comes up with everything that was asked for', async () => {
  const world = new World();
  const end = await world.run(bringUp, { desired: wish() });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assertAfter(world);
  const { values } = world.node.guests.get(9000) ?? assert.fail();
  assert.match(values['net0'] ?? '', /^name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth$/);
  assert.equal(values['net1'], undefined, 'the second network of the archive is gone');
  assert.equal(values['tags'], 'felhom');
  assert.equal(values['env'], 'FELHOM_IDENTITY=fresh');
  assert.equal(values['mp0']?.includes('mp=/srv/data,backup=1,size=20G'), true);
  assert.equal(values['mp1']?.includes('mp=/srv/bulk,backup=0,size=100G'), true);
  assert.equal(values['features'], 'nesting=1,keyctl=1');
});

test('a guest that is wanted stopped is made and not started', async () => {
  const world = new World();
  const end = await world.run(bringUp, { desired: wish({ power: 'stopped' }) });
  assert.equal(end.is, 'completed');
  assert.equal(world.node.guests.get(9000)?.running, false);
  assert.equal(world.node.guests.get(9000)?.values['onboot'], '0');
  assert.equal(world.registry.byName(photos)?.servedAt, undefined);
});

test('before PVE 9.1 no env is sent', async () => {
  const world = new World();
  world.node.version = '8.4.1';
  assert.equal((await world.run(bringUp, { desired: wish() })).is, 'completed');
  assert.equal(world.node.guests.get(9000)?.values['env'], undefined);
});

interface Trouble {
  readonly name: string;
  readonly given: (world: World) => void;
  readonly expect: 'completed' | 'unwound';
  readonly code?: string;
}

const troubles: readonly Trouble[] = [
  {
    name: 'the golden is not registered',
    given: () => {},
    expect: 'unwound',
    code: 'guest.golden-unregistered',
  },
  {
    name: 'the archive has another size than registered',
    given: (world) => (world.node.archiveSize = 999),
    expect: 'unwound',
    code: 'guest.golden-changed',
  },
  {
    name: 'the archive shows a device',
    given: (world) => (world.node.archive += '\ndev0: /dev/sda'),
    expect: 'unwound',
    code: 'guest.archive-refused',
  },
  {
    name: 'the archive lied: the preview was clean, the restored config has a device',
    given: (world) => (world.node.smuggled = { dev0: '/dev/sda' }),
    expect: 'unwound',
    code: 'guest.archive-refused',
  },
  {
    name: 'the archive lied about privilege',
    given: (world) => (world.node.smuggled = { unprivileged: '0' }),
    expect: 'unwound',
    code: 'guest.archive-refused',
  },
  {
    name: 'no room on the storage',
    given: (world) => (world.node.availableBytes = 1),
    expect: 'unwound',
    code: 'guest.no-space',
  },
  {
    name: 'the archive is corrupt',
    given: (world) =>
      world.node.mishaps.restore.push({
        fails: 'unable to restore CT 9000 - command tar failed: exit code 2',
        log: ['zstd: error 70'],
      }),
    expect: 'unwound',
    code: 'guest.archive-corrupt',
  },
  {
    name: 'the storage runs full while unpacking',
    given: (world) =>
      world.node.mishaps.restore.push({
        fails: 'tar: exit code 2',
        log: ['tar: ./a: Cannot write: No space left on device'],
      }),
    expect: 'unwound',
    code: 'pve.no-space',
  },
  {
    name: 'the worker is killed at the stub',
    given: (world) => world.node.mishaps.restore.push('killed-at-stub'),
    expect: 'unwound',
    code: 'guest.restore-died',
  },
  {
    name: 'the worker is killed when the guest was complete',
    given: (world) => world.node.mishaps.restore.push('killed-when-complete'),
    expect: 'completed',
  },
  {
    name: 'the request is lost',
    given: (world) => world.node.mishaps.restore.push('lost-request'),
    expect: 'completed',
  },
  { name: 'the answer is lost', given: (world) => world.node.mishaps.restore.push('lost-answer'), expect: 'completed' },
  {
    name: 'the restore ends with warnings',
    given: (world) => world.node.mishaps.restore.push({ warns: 'WARN: lxc.* line skipped' }),
    expect: 'completed',
  },
  {
    name: 'somebody takes the VMID first',
    given: (world) => world.node.mishaps.restore.push('raced'),
    expect: 'completed',
  },
  {
    name: 'every candidate is taken first',
    given: (world) => world.node.mishaps.restore.push('raced', 'raced', 'raced'),
    expect: 'unwound',
    code: 'guest.vmid-taken',
  },
  {
    name: 'the answer of an allocation is lost',
    given: (world) => world.node.mishaps.configure.push('lost-request', 'lost-answer', 'lost-answer', 'lost-answer'),
    expect: 'completed',
  },
  {
    name: 'the answer of the start is lost',
    given: (world) => world.node.mishaps.start.push('lost-answer'),
    expect: 'completed',
  },
  {
    name: 'the start never arrives',
    given: (world) => world.node.mishaps.start.push('lost-request'),
    expect: 'completed',
  },
  {
    name: 'the start fails',
    given: (world) => world.node.mishaps.start.push({ fails: "bridge 'vmbr0' does not exist" }),
    expect: 'unwound',
    code: 'guest.did-not-start',
  },
  {
    name: 'the guest goes down right after its start',
    given: (world) => (world.node.diesAfterReads = 1),
    expect: 'unwound',
    code: 'guest.did-not-stay-up',
  },
  {
    name: 'the answer of the destroy in the undo is lost',
    given: (world) => {
      world.node.diesAfterReads = 1;
      world.node.mishaps.destroy.push('lost-request', 'lost-answer');
    },
    expect: 'unwound',
    code: 'guest.did-not-stay-up',
  },
];

for (const { name, given, expect, code } of troubles)
  test(`when ${name}: ${expect}`, async () => {
    const world = new World();
    given(world);
    const golden = code === 'guest.golden-unregistered' ? 'nobody-knows' : 'debian-1';
    const end = await world.run(bringUp, { desired: wish({ golden }) });
    assert.equal(end.is, expect, JSON.stringify(end));
    if (end.is === 'unwound') assert.equal(end.why.code, code, end.why.text);
    assertWhole(world, end);
  });

test('a VMID with volumes and no guest is passed over and reported', async () => {
  const world = new World();
  world.node.volumes.set('local:9000/vm-9000-disk-9.raw' as never, 9000);
  const end = await world.run(bringUp, { desired: wish() });
  assert.equal(end.is, 'completed');
  assert.equal(world.registry.byName(photos)?.vmid, 9001);
  assert.equal(world.node.volumesOf(9000).length, 1, 'and what lay there still lies there');
  assert.ok(end.is === 'completed');
  assert.deepEqual(end.state['occupied'], [{ vmid: 9000, volumes: ['local:9000/vm-9000-disk-9.raw'] }]);
});

test('a call that lands only after it was asked for again is found, at every candidate', async () => {
  for (const races of [0, 1, 2]) {
    const world = new World();
    for (let n = 0; n < races; n++) world.node.mishaps.restore.push('raced');
    const find = world.node.pveTasks.find.bind(world.node.pveTasks);
    let blind = true;
    // The first search comes too early to see the task of the lost call.
    world.node.pveTasks.find = async (filter, signal) => {
      if (filter.type !== 'vzrestore' || !blind) return find(filter, signal);
      blind = false;
      return { is: 'done', value: [] };
    };
    world.node.mishaps.restore.push('lost-answer');
    const end = await world.run(bringUp, { desired: wish() });
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assertAfter(world);
  }
});

test('after a destroy whose answer was lost the VMID is held until nothing can land on it any more', async () => {
  const world = new World();
  world.node.diesAfterReads = 1;
  world.node.mishaps.destroy.push('lost-answer');
  const times: number[] = [];
  const destroy = world.node.destroyer.destroy.bind(world.node.destroyer);
  world.node.destroyer.destroy = (warrant, signal) => {
    times.push(world.now);
    return destroy(warrant, signal);
  };
  const end = await world.run(bringUp, { desired: wish() });
  assert.equal(end.is, 'unwound');
  assert.ok(world.now - (times[0] ?? 0) >= 30_000);
});

test('two guests come up at the same time under two VMIDs', async () => {
  const world = new World();
  const needs = world.needs();
  world.needs = () => needs;
  const ends = await Promise.all([
    world.run(bringUp, { desired: wish() }),
    world.run(bringUp, { desired: wish({ name: 'music', hostname: 'music' }) }),
  ]);
  assert.deepEqual(
    ends.map((end) => end.is),
    ['completed', 'completed'],
  );
  const vmids = world.registry.all().map((record) => record.vmid);
  assert.equal(new Set(vmids).size, 2);
  assert.equal(world.node.volumes.size, 6);
});

test('a volume that somebody attached meanwhile is not freed: the undo parks and names it', async () => {
  const world = new World();
  world.node.mishaps.start.push({ fails: 'no' });
  const start = world.node.writer.start.bind(world.node.writer);
  world.node.writer.start = (vmid, signal) => {
    world.node.volumes.set('local:9000/vm-9000-disk-77.raw' as never, 9000);
    return start(vmid, signal);
  };
  const end = await world.run(bringUp, { desired: wish() });
  assert.equal(end.is, 'parked', JSON.stringify(end));
  assert.ok(end.is === 'parked' && end.why.text.includes('vm-9000-disk-77'));
  assert.equal(world.node.calls.includes('destroy 9000'), false);
});

for (const [when, kind, nth] of [
  ['after the restore', 'restore', 1],
  ['at its identity', 'configure', 1],
  ['at its first volume', 'configure', 2],
  ['at its start', 'start', 1],
] as const)
  for (const fails of [false, true])
    test(`a guest that cannot be read any more ${when}${fails ? ' and then does not start' : ''} is not forgotten`, async () => {
      const world = new World();
      if (fails) world.node.mishaps.start.push({ fails: 'no' });
      hideAfter(world, kind, nth);
      const end = await world.run(bringUp, { desired: wish() });
      if (end.is === 'parked') assert.equal(world.node.guests.size, 1);
      else assertWhole(world, end);
    });

/** From that call on, for three minutes, the config of every guest answers 403: its VMID fell out of the pool. */
function hideAfter(world: World, kind: 'restore' | 'configure' | 'start', nth: number): void {
  const { reader, writer, helper } = world.node;
  let calls = 0;
  let hiddenUntil = 0;
  const count =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const answer = await call(...args);
      calls += 1;
      if (calls === nth) hiddenUntil = world.now + 180_000;
      return answer;
    };
  if (kind === 'restore') writer.restore = count(writer.restore.bind(writer));
  if (kind === 'configure') writer.configure = count(writer.configure.bind(writer));
  if (kind === 'start') writer.start = count(writer.start.bind(writer));
  const config = reader.config.bind(reader);
  reader.config = async (...call) => (world.now < hiddenUntil ? done({ is: 'forbidden' }) : config(...call));
  helper.poolEnsure = async () =>
    world.now < hiddenUntil ? refused(reason('helper.busy', 'cannot pool-ensure: busy')) : done(undefined);
}

test('an allocation that died half-way is taken back with everything else', async () => {
  const world = new World();
  // identity, then the first volume
  world.node.mishaps.configure.push('lost-answer', 'killed-at-stub');
  const end = await world.run(bringUp, { desired: wish() });
  assert.equal(end.is, 'unwound', JSON.stringify(end));
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.orphan-volume');
  assertBefore(world);
});

const situations: readonly { readonly name: string; readonly given: (world: World) => void }[] = [
  { name: 'all goes well', given: () => {} },
  { name: 'the worker is killed at its stub', given: (world) => world.node.mishaps.restore.push('killed-at-stub') },
  {
    name: 'the worker is killed when complete',
    given: (world) => world.node.mishaps.restore.push('killed-when-complete'),
  },
  { name: 'the first VMID is raced away', given: (world) => world.node.mishaps.restore.push('raced') },
  { name: 'it goes down after its start', given: (world) => (world.node.diesAfterReads = 1) },
];

for (const { name, given } of situations)
  test(`wherever the power goes, while ${name}, it ends wholly before or wholly after`, async () => {
    let crashes = 0;
    for (const point of crashPointsOf(bringUp)) {
      const world = new World();
      given(world);
      world.crashAt = point;
      const first = await world.run(bringUp, { desired: wish() });
      if (world.crashed) {
        crashes++;
        assert.equal(first.is, 'left-open', point);
      }
      const ends = world.crashed ? await world.reboot() : [first];
      try {
        if (ends.length === 0) assert.ok(world.journal.openSagas().length === 0);
        else assertWhole(world, ends[0]);
        const strangers = [...world.node.guests.values()].filter((guest) => guest.values['hostname'] === 'stranger');
        const raced = name.includes('raced') && world.node.calls.some((call) => call.startsWith('restore'));
        assert.equal(strangers.length, raced ? 1 : 0, 'a foreign guest is never touched');
      } catch (error) {
        throw new Error(`crash at ${point}: ${String(error)}\n${world.node.calls.join('\n')}`, { cause: error });
      }
    }
    assert.ok(crashes > 12, `only ${crashes} crashes happened`);
  });

test('a second power loss during the replay changes nothing about that', async () => {
  // Every first crash around the restore and the allocations, every second one anywhere: the rest repeats itself.
  const firsts = crashPointsOf(bringUp).filter((point) => /\/(?:restore|mounts|start)\//.test(point));
  let twice = 0;
  for (const [at, first] of firsts.entries())
    for (const [n, second] of crashPointsOf(bringUp).entries()) {
      if ((n + at) % 3 !== 0) continue;
      const world = new World();
      situations[at % situations.length]?.given(world);
      world.crashAt = first;
      await world.run(bringUp, { desired: wish() });
      if (!world.crashed) continue;
      world.crashed = false;
      world.crashAt = second;
      let ends = await world.reboot();
      if (world.crashed) {
        twice++;
        ends = await world.reboot();
      }
      try {
        if (ends.length > 0) assertWhole(world, ends[0]);
      } catch (error) {
        throw new Error(`crash at ${first}, then at ${second}: ${String(error)}\n${world.node.calls.join('\n')}`, {
          cause: error,
        });
      }
    }
  assert.ok(twice > 40, `only ${twice} second crashes happened`);
});
