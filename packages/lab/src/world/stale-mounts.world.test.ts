/** Guests with a volume on a disk that is pulled and comes back: found, told, restarted once, and live again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClaim, storageView, volumesView } from '@felhom/protocol';
import type { Report } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import type { LabGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const second = 1000;
const minute = 60 * second;
const vmid = 9000;

const onDisk = labGuest('web', {
  volumes: [{ name: 'photos', path: '/srv/photos', storage: 'usb-usb1', sizeGiB: 4, backup: false }],
});

const plan = {
  graceMinutes: 5,
  tiers: [{ name: 'local', target: 'local', schedule: '*-*-* 03:06:00', keep: { days: 7, weeks: 4 } }],
};

/** A guest that is up, with a volume on a disk. It is three. */
async function worldOnDisk(options: { readonly backups?: unknown; readonly seed?: number } = {}): Promise<SimWorld> {
  const world = await createSimWorld({ seed: options.seed ?? 5, pace: { backupMs: 4 * minute } });
  await world.clock.runUntil(world.targets.attach('usb1', { role: 'bulk-data' }));
  world.hub.publish([onDisk], options.backups === undefined ? {} : { backups: options.backups });
  world.boot();
  assert.ok(await world.until(() => reportOf(world).converged, 10 * minute), JSON.stringify(reportOf(world)));
  assert.ok(await world.until(() => asked(world) > 0, 5 * minute), 'root was never asked');
  return world;
}

const reportOf = (world: SimWorld): Report => world.life()?.agent.report() ?? assert.fail('no agent runs');
const keys = (world: SimWorld): readonly string[] => reportOf(world).findings.map(({ key }) => key);
const asked = ({ targets }: SimWorld): number => targets.asked.filter((line) => line === `guest-mounts ${vmid}`).length;
const remounting = (world: SimWorld): boolean => reportOf(world).sagas.some(({ name }) => name === 'remount-guest');
const isLive = ({ targets }: SimWorld): boolean => {
  const seen = targets.guestMounts(vmid);
  return seen.is === 'done' && seen.value.running && seen.value.mounts.every(({ state }) => state === 'live');
};

function countStarts(world: SimWorld): () => number {
  let starts = 0;
  world.node.guests.onPower(({ is }) => void (is === 'up' && (starts += 1)));
  return () => starts;
}

test('pulled and back: told while it is away, restarted once, live, and nothing left to tell', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  const before = asked(world);
  await world.clock.advance(30 * minute);
  assert.equal(asked(world), before, 'it is asked again although nothing happened');
  world.targets.pull('usb1');
  assert.ok(await world.until(() => keys(world).includes('guest.volume-away'), minute), keys(world).join());
  const away = reportOf(world).findings.find(({ key }) => key === 'guest.volume-away');
  assert.match(away?.text ?? '', /guest web .*photos on target usb1/);
  await world.clock.advance(5 * minute);
  assert.equal(starts(), 0, 'it is restarted although its disk is away');
  world.targets.plugIn('usb1');
  assert.ok(await world.until(() => remounting(world), 2 * minute), keys(world).join());
  assert.ok(await world.until(() => !remounting(world) && isLive(world), 5 * minute), keys(world).join());
  await world.clock.advance(2 * minute);
  assert.deepEqual(
    keys(world).filter((key) => /^guest\.(?:stale|volume|mounts|failed)|^storage/.test(key)),
    [],
  );
  await world.clock.advance(30 * minute);
  assert.equal(starts(), 1);
});

test('pulled and back while no agent ran: found at the next start', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  world.cut();
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  await world.clock.advance(minute);
  world.boot();
  assert.ok(await world.until(() => starts() === 1 && isLive(world), 5 * minute), keys(world).join());
  await world.clock.advance(20 * minute);
  assert.equal(starts(), 1);
});

test('the power goes in the middle of it: one restart in all', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  assert.ok(await world.until(() => remounting(world), 2 * minute));
  world.cut();
  await world.clock.advance(10 * second);
  world.boot();
  assert.ok(await world.until(() => isLive(world), 5 * minute), keys(world).join());
  await world.clock.advance(10 * minute);
  assert.equal(starts(), 1);
});

test('a reboot of the host: everything is mounted anew, and nothing is restarted for it', async () => {
  const world = await worldOnDisk();
  world.cut();
  await world.clock.runUntil(world.node.reboot());
  const starts = countStarts(world);
  await world.clock.advance(minute);
  world.boot();
  await world.clock.advance(20 * minute);
  assert.ok(isLive(world));
  assert.equal(starts(), 0);
  assert.ok(!keys(world).some((key) => key.startsWith('guest.')), keys(world).join());
});

test('a disk that comes and goes: not restarted each time, and once it has stayed', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  for (let drops = 0; drops < 4; drops += 1) {
    world.targets.pull('usb1');
    await world.clock.advance(3 * second);
    world.targets.plugIn('usb1');
    await world.clock.advance(3 * second);
  }
  await world.clock.advance(3 * minute);
  assert.ok(starts() <= 2, `started ${starts()} times`);
  assert.ok(await world.until(() => isLive(world), 40 * minute), keys(world).join());
  await world.clock.advance(10 * minute);
  assert.ok(starts() <= 2, `started ${starts()} times`);
});

test('a backup of the guest is under way: it ends first', async () => {
  const world = await worldOnDisk({ backups: plan });
  const starts = countStarts(world);
  const backsUp = (): boolean => reportOf(world).sagas.some(({ name }) => name === 'backup');
  assert.ok(await world.until(backsUp, 20 * minute), 'no backup begins');
  world.targets.pull('usb1');
  await world.clock.advance(10 * second);
  world.targets.plugIn('usb1');
  while (backsUp()) {
    assert.equal(starts(), 0, 'restarted during a backup');
    await world.clock.advance(10 * second);
  }
  assert.equal(reportOf(world).backups[0]?.copies, 1);
  assert.ok(await world.until(() => starts() === 1 && isLive(world), 10 * minute), keys(world).join());
});

test('gone again while the guest is down: it waits for its disk, and starts at once when that is back', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  const isDown = (): boolean => !world.node.guests.isRunning(vmid);
  assert.ok(await world.until(isDown, 5 * minute), 'it was not brought down');
  world.targets.pull('usb1');
  assert.ok(await world.until(() => keys(world).includes('guest.waits-for-disk'), 10 * minute), keys(world).join());
  await world.clock.advance(60 * minute);
  assert.ok(isDown());
  assert.ok(!keys(world).some((key) => key.startsWith('guest.failed')), keys(world).join());
  world.targets.plugIn('usb1');
  assert.ok(await world.until(() => isLive(world), 3 * minute), keys(world).join());
  assert.equal(starts(), 1);
});

async function dropAndBack(world: SimWorld): Promise<void> {
  world.targets.pull('usb1');
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
}

const adviceOf = (world: SimWorld): string =>
  reportOf(world).findings.find(({ key }) => key === 'guest.stale-mount')?.advice.text ?? '';

test('it cannot even be stopped: not tried again, and a person is told to restart the host', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  const { tasks } = world.node;
  let stops = 0;
  const real = tasks.fork.bind(tasks);
  tasks.fork = (...call) => {
    const [, type] = call;
    if (type === 'vzshutdown' || type === 'vzstop') {
      stops += 1;
      tasks.trap({ type, action: 'kill' });
    }
    return real(...call);
  };
  await dropAndBack(world);
  assert.ok(await world.until(() => adviceOf(world).includes('Restart the host'), 20 * minute), adviceOf(world));
  const before = stops;
  await world.clock.advance(6 * 60 * minute);
  assert.equal(stops, before, 'it is tried again and again');
  assert.equal(starts(), 0);
});

test('restarts that do not help end after three, for as long as the disk stays as it is', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  const mounts = [{ path: '/srv/photos', target: 'usb1', state: 'dead' as const, why: 'as before' }];
  world.targets.guestMounts = () => ({ is: 'done', value: { running: true, mounts } });
  await dropAndBack(world);
  assert.ok(await world.until(() => adviceOf(world).includes('restarted 3 times'), 50 * minute), adviceOf(world));
  assert.equal(starts(), 3);
  await world.clock.advance(6 * 60 * minute);
  assert.equal(starts(), 3, 'it begins again after an hour');
  assert.match(adviceOf(world), /restarted 3 times/);
  assert.ok(!reportOf(world).parked.length, JSON.stringify(reportOf(world).parked));
});

const [aaa, bbb] = ['aaa', 'bbb'].map((name) => ({ ...onDisk, name, hostname: name })) as [LabGuest, LabGuest];

/** Two guests with an image each on one disk. */
async function worldOfTwo(): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 6 });
  await world.clock.runUntil(world.targets.attach('usb1', { role: 'bulk-data' }));
  world.hub.publish([aaa, bbb]);
  world.boot();
  const isAsked = (): boolean =>
    new Set(world.targets.asked.filter((line) => line.startsWith('guest-mounts'))).size > 1;
  assert.ok(await world.until(() => reportOf(world).converged && isAsked(), 15 * minute), keys(world).join());
  return world;
}

const adviceTo = (world: SimWorld, name: string): string | undefined =>
  reportOf(world).findings.find(({ key, subject }) => key === 'guest.stale-mount' && subject === name)?.advice.text;

/** It is told that bbb keeps the disk, and for an hour both run on; then nothing is in the way. */
async function keptAndThenNot(world: SimWorld, starts: () => number, then: () => void): Promise<void> {
  const isTold = (): boolean => adviceTo(world, 'aaa')?.includes('guest bbb') === true;
  assert.ok(await world.until(isTold, 5 * minute), JSON.stringify(reportOf(world).findings));
  await world.clock.advance(60 * minute);
  assert.ok(!keys(world).includes('guest.waits-for-disk'), keys(world).join());
  assert.ok(!keys(world).some((key) => key.startsWith('guest.failed')), keys(world).join());
  assert.equal(starts(), 0);
  assert.ok(isTold() && adviceTo(world, 'bbb') !== undefined, 'a guest was taken down');
  then();
  assert.ok(await world.until(() => starts() === 2 && !keys(world).includes('guest.stale-mount'), 20 * minute));
  await world.clock.advance(10 * minute);
  assert.equal(starts(), 2);
}

test('another guest keeps the disk and is not to run: nobody is taken down for it, and who keeps it is told', async () => {
  const world = await worldOfTwo();
  const starts = countStarts(world);
  world.targets.pull('usb1');
  // Taking it down takes a signature: it runs on.
  world.hub.publish([aaa, { ...bbb, power: 'stopped' }]);
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  await keptAndThenNot(world, starts, () => world.hub.publish([aaa, bbb]));
});

test('another guest keeps the disk and is on hold: the same, and that one is told of its hold', async () => {
  const world = await worldOfTwo();
  const starts = countStarts(world);
  const record =
    world
      .life()
      ?.agent.guests()
      .find(({ name }) => name === 'bbb') ?? assert.fail('there is no bbb');
  const scope = { uid: record.uid, incarnation: record.incarnation };
  const hold = (set: boolean): void =>
    world.hub.mail(world.sign('hold', { scope, set }, [world.people.alice]).envelope);
  world.targets.pull('usb1');
  hold(true);
  await world.clock.advance(2 * minute);
  world.targets.plugIn('usb1');
  assert.ok(await world.until(() => adviceTo(world, 'bbb') !== undefined, 5 * minute), keys(world).join());
  assert.match(adviceTo(world, 'bbb') ?? '', /once the hold is over/);
  await keptAndThenNot(world, starts, () => hold(false));
});

test('not to run: told, and left to people', async () => {
  const world = await worldOnDisk();
  const starts = countStarts(world);
  world.targets.pull('usb1');
  // Taking it down takes a signature.
  world.hub.publish([{ ...onDisk, power: 'stopped' }]);
  await world.clock.advance(minute);
  world.targets.plugIn('usb1');
  assert.ok(await world.until(() => keys(world).includes('guest.stale-mount'), 5 * minute), keys(world).join());
  await world.clock.advance(10 * minute);
  assert.equal(starts(), 0);
  const told = reportOf(world).findings.find(({ key }) => key === 'guest.stale-mount');
  assert.match(told?.advice.text ?? '', /does not want it to run/);
});

test('the guest itself is told: attached, away, stale, and attached again', async () => {
  const world = await createSimWorld({ seed: 9 });
  await world.clock.runUntil(world.targets.attach('usb1', { role: 'bulk-data' }));
  world.hub.publish([{ ...onDisk, controller: { role: 'apps', config: {} } }]);
  const { agent } = world.boot();
  assert.ok(await world.until(() => reportOf(world).converged && asked(world) > 0, 10 * minute));
  const call = async (method: 'GET' | 'POST', target: string, body?: unknown, token?: string): Promise<unknown> => {
    const api = agent.localApi() ?? assert.fail('there is no local API');
    const answer = await world.clock.runUntil(
      api.handle(
        {
          method,
          target,
          headers: {
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
          readBody: async () => new TextEncoder().encode(body === undefined ? '' : JSON.stringify(body)),
          port: { is: 'guest', vmid, net: 0, mac: 'BC:24:11:00:00:01', port: `veth${vmid}i0` },
        },
        new AbortController().signal,
      ),
    );
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body);
  };
  const env = world.node.guests.config(vmid).active.get('env') ?? '';
  const claim = parseClaim(/FELHOM_CLAIM=([^\0]+)/.exec(env)?.[1] ?? '') ?? assert.fail(`no claim in ${env}`);
  const redeemed = (await call('POST', '/v1/bootstrap/redeem', { claim: claim.secret })) as { readonly token: string };
  const state = async (): Promise<string> => {
    const told = storageView.parse(await call('GET', '/v1/storage', undefined, redeemed.token));
    const { volumes } = volumesView.parse(await call('GET', '/v1/volumes', undefined, redeemed.token));
    const all = told.volumes.map(({ name, path, state: is }) => ({
      name,
      path,
      ...(is === undefined ? {} : { state: is }),
    }));
    assert.deepEqual(volumes, all);
    return told.volumes.map((volume) => `${volume.name} ${volume.state ?? 'attached'}`).join();
  };
  assert.equal(await state(), 'rootfs attached,photos attached');
  world.targets.pull('usb1');
  await world.clock.advance(second);
  assert.equal(await state(), 'rootfs attached,photos away');
  world.targets.plugIn('usb1');
  await world.clock.advance(second);
  assert.equal(await state(), 'rootfs attached,photos stale');
  assert.ok(await world.until(() => isLive(world) && !remounting(world), 10 * minute), keys(world).join());
  assert.equal(await state(), 'rootfs attached,photos attached');
  await world.clock.advance(minute);
  assert.equal(await state(), 'rootfs attached,photos attached');
});
