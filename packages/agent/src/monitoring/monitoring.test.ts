import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import type { Upid, Vmid } from '@felhom/protocol';
import type { StoredDocument } from '../kernel/journal.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { DiskRow, PoolRow, UnitState } from '../ports/host-facts.ts';
import type { GuestRow, TaskRow } from '../ports/proxmox.ts';
import type { IngressRule, RunningIngress } from '../ports/tunnel.ts';
import { tunnelUnit } from './judge-tunnel.ts';
import { createMonitoring } from './monitoring.ts';
import { policy, unit, use, wellSample, wellUnits } from './test/looks.ts';

const never = new AbortController().signal;
const start = Date.UTC(2026, 10, 26);
const silent = <T>(): Outcome<T> => unknown(reason('host.not-told', 'cannot tell'));
const vmid = 9001 as Vmid;
const web: IngressRule = { hostname: 'photos.example', path: '', service: 'http://10.98.0.5:80' };

/** A host that is well, whose parts a test changes; `minutes` lets time pass, a round every half minute. */
function host() {
  const calls: string[] = [];
  const count = <T>(what: string, value: () => Promise<T>): Promise<T> => {
    calls.push(what);
    return value();
  };
  const world = {
    sample: wellSample,
    units: done([...wellUnits, unit(tunnelUnit)]) as Outcome<readonly UnitState[]>,
    unitsAnswer: async (): Promise<Outcome<readonly UnitState[]>> => world.units,
    synchronised: done(true),
    reboot: done(undefined) as Outcome<string | undefined>,
    pools: [] as PoolRow[],
    disks: done([]) as Outcome<readonly DiskRow[]>,
    smart: '{}',
    connections: done(4),
    ingress: done({ rules: [web], privateNetworks: false }) as Outcome<RunningIngress>,
    declared: done([web]) as Outcome<readonly IngressRule[] | undefined>,
    internet: true,
    hubReached: undefined as boolean | undefined,
    rows: [] as Pick<GuestRow, 'vmid' | 'name' | 'lock'>[],
    running: [] as TaskRow[],
    ended: [] as TaskRow[],
    tokenEndsAt: undefined as number | undefined,
    policy: policy as typeof policy | undefined,
    news: 0,
    restarts: [] as number[],
    documents: new Map<string, StoredDocument>(),
  };
  let at = 0;
  /** Ends every wait that goes on at the time. */
  const timeOver: (() => void)[] = [];
  const pulse = { moved: 0, restsMs: 0 };
  const monitoring = createMonitoring({
    host: {
      sample: () => count('sample', async () => world.sample),
      units: () => count('units', () => world.unitsAnswer()),
      clockSynchronised: () => count('clock', async () => world.synchronised),
      rebootPending: () => count('reboot', async () => world.reboot),
      fence: async () => silent(),
    },
    pools: { pools: () => count('pools', async () => world.pools) },
    disks: { disks: () => count('disks', async () => world.disks) },
    login: { tokenLife: () => count('login', async () => done({ told: true, endsAtSeconds: world.tokenEndsAt })) },
    smart: async () => done(world.smart),
    tunnel: {
      endpoint: {
        connections: () => count('connections', async () => world.connections),
        ingress: () => count('ingress', async () => world.ingress),
      },
      declared: async () => world.declared,
    },
    internet: () => count('internet', async () => world.internet),
    endings: () => [],
    tasks: {
      find: ({ only }) => count('tasks', async () => done(only === 'running' ? world.running : world.ended)),
    },
    node: { time: async () => done(Math.floor((start + at) / 1000)) },
    tokenId: 'felhom@pve!agent',
    restartTunnel: async () => {
      world.restarts.push(at / 60_000);
      return done(undefined);
    },
    mayMend: () => true,
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    documents: {
      get: (key) => world.documents.get(key),
      put: (document) => void world.documents.set(document.key, document),
      remove: (key) => void world.documents.delete(key),
    },
    policy: () => world.policy,
    rows: () => world.rows as GuestRow[],
    inHand: () => new Set(),
    working: () => false,
    hubReached: () => world.hubReached,
    news: () => void (world.news += 1),
    clock: {
      now: () => start + at,
      monotonicMs: () => at,
      bootMs: () => at,
      sleep: (_, signal) =>
        new Promise((resolve, reject) => {
          timeOver.push(resolve);
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }),
    },
    watch: () => ({ moved: () => (pulse.moved += 1), rests: (ms) => (pulse.restsMs = ms) }),
  });
  const overTime = (): void => {
    for (const end of timeOver.splice(0)) end();
  };
  const minutes = async (many: number): Promise<void> => {
    for (let round = 0; round < many * 2; round += 1) {
      await monitoring.look(never);
      at += 30_000;
    }
  };
  const keys = () => monitoring.findings().map(({ key }) => key);
  return { world, monitoring, minutes, keys, calls, pulse, overTime };
}
const times = (calls: readonly string[], what: string): number => calls.filter((one) => one === what).length;

test('a day on a host that is well costs few questions, and is no news', async () => {
  const { minutes, keys, calls, world, monitoring } = host();
  await minutes(24 * 60);
  assert.deepEqual(keys(), []);
  assert.equal(world.news, 1, 'the first look alone');
  assert.deepEqual(monitoring.tunnel(), { is: 'up', since: start });
  assert.equal(times(calls, 'sample'), 2880);
  assert.equal(times(calls, 'units'), 1440);
  assert.equal(times(calls, 'tasks'), 288, 'no lock, so only those that failed are asked for');
  assert.equal(times(calls, 'clock'), 144);
  assert.equal(times(calls, 'disks'), 4);
  assert.equal(times(calls, 'login'), 4);
  assert.equal(times(calls, 'internet'), 0);
});

test('a part that does not come back holds up neither the others nor the rounds, and is not sent again', async () => {
  const { world, calls, monitoring, overTime } = host();
  const back = Promise.withResolvers<Outcome<readonly UnitState[]>>();
  world.unitsAnswer = () => back.promise;
  const round = async (): Promise<void> => {
    const over = monitoring.look(never);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    overTime();
    await over;
  };
  await round();
  assert.deepEqual([times(calls, 'sample'), times(calls, 'tasks'), times(calls, 'login')], [1, 1, 1]);
  await round();
  await round();
  assert.deepEqual([times(calls, 'sample'), times(calls, 'units')], [1, 1]);
  back.resolve(world.units);
  await round();
  await round();
  assert.equal(times(calls, 'sample'), 2);
});

test('the rounds say that they go on', async () => {
  const { pulse, monitoring, calls } = host();
  const stop = new AbortController();
  void monitoring.run(stop.signal);
  while (pulse.restsMs === 0) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.deepEqual([times(calls, 'sample'), pulse.moved, pulse.restsMs], [1, 7, 30_000]);
});

test('numbers of now, with the share of the processors between two rounds', async () => {
  const { minutes, world, monitoring } = host();
  assert.equal(monitoring.vitals(), undefined);
  await minutes(0.5);
  assert.equal(monitoring.vitals()?.cpuPercent, undefined, 'one sample is no share');
  world.sample = { ...wellSample, cpu: { busy: 350, total: 2000, processors: 2 } };
  await minutes(0.5);
  assert.deepEqual(monitoring.vitals(), {
    at: start + 30_000,
    uptimeSeconds: 86_400,
    cpuPercent: 25,
    load1: 0.3,
    memory: use(40),
    rootDisk: use(30),
    pressure: { cpu: 0, memory: 0, io: 0 },
    hottestC: 45,
    targets: [],
  });
});

test('a tunnel that hangs is restarted with growing pauses, and then no more', async () => {
  const first = host();
  await first.minutes(1);
  first.world.connections = done(0);
  first.world.hubReached = true;
  await first.minutes(40);
  assert.deepEqual(first.world.restarts, [4, 14, 34]);
  assert.match(first.monitoring.findings()[0]?.text ?? '', /restarted it 3 times .* tried again after a while/);
  await first.minutes(12 * 60);
  assert.equal(first.world.restarts.length, 6);
  assert.match(first.monitoring.findings()[0]?.text ?? '', /restarted it 6 times .* not tried any more/);
});

test('a pool that lost a disk is told within ten minutes, and asked about every ten', async () => {
  const { world, minutes, keys, calls } = host();
  await minutes(30);
  assert.equal(times(calls, 'pools'), 3);
  world.pools = [{ is: 'zfs', name: 'rpool', health: 'DEGRADED' }];
  await minutes(11);
  assert.deepEqual(keys(), ['pool.unwell']);
});

test('what was restarted is forgotten when it is well for a while', async () => {
  const { world, minutes } = host();
  Object.assign(world, { connections: done(0), hubReached: true });
  await minutes(5);
  assert.equal(world.restarts.length, 1);
  world.connections = done(4);
  await minutes(20);
  assert.equal(world.documents.size, 1);
  await minutes(15);
  assert.equal(world.documents.size, 0);
});

test('one that a person stopped a moment ago is left alone', async () => {
  const { world, minutes, calls } = host();
  Object.assign(world, { connections: done(0), hubReached: true });
  await minutes(2.5);
  const asked = times(calls, 'units');
  world.units = done([...wellUnits, unit(tunnelUnit, { active: 'inactive' })]);
  await minutes(2);
  assert.ok(times(calls, 'units') > asked);
  assert.deepEqual(world.restarts, []);
});

test('a tunnel that is down is told apart from a line that is', async () => {
  const { minutes, world, monitoring, keys, calls } = host();
  await minutes(1);
  world.connections = done(0);
  world.hubReached = true;
  await minutes(1);
  assert.equal(monitoring.tunnel().is, 'down');
  assert.deepEqual(keys(), ['tunnel.down']);
  assert.equal(times(calls, 'internet'), 0, 'the hub has told it already');
  world.hubReached = false;
  world.internet = false;
  await minutes(1);
  assert.deepEqual(keys(), ['host.no-internet']);
  world.connections = done(4);
  await minutes(0.5);
  assert.deepEqual(keys(), []);
});

test('an ingress that is not what root declared', async () => {
  const { minutes, world, keys } = host();
  world.ingress = done({ rules: [web, { ...web, service: 'ssh://localhost:22' }], privateNetworks: false });
  await minutes(1);
  assert.deepEqual(keys(), ['tunnel.ingress-differs']);
  world.ingress = done({ rules: [web], privateNetworks: false });
  await minutes(15);
  assert.deepEqual(keys(), []);
});

test('no tunnel, no questions about one', async () => {
  const { minutes, world, monitoring, keys, calls } = host();
  world.units = done([...wellUnits, unit(tunnelUnit, { load: 'not-found', active: 'inactive', file: '' })]);
  await minutes(5);
  assert.deepEqual(monitoring.tunnel(), { is: 'none' });
  assert.deepEqual([times(calls, 'connections'), times(calls, 'internet')], [0, 0]);
  // Nor where systemd tells nothing.
  world.units = silent();
  await minutes(65);
  assert.equal(monitoring.tunnel().is, 'unknown');
  assert.deepEqual(keys(), []);
});

const task = (change: Partial<TaskRow>): TaskRow => ({
  upid: 'UPID:pve1:00007A67:0003CC74:6B04CBDC:vzdump:9001:root@pam:' as Upid,
  type: 'vzdump',
  id: '9001',
  user: 'root@pam',
  startTime: start / 1000 - 60,
  endTime: start / 1000 - 30,
  status: 'unexpected status',
  ...change,
});

test('a lock is looked into only where there is one, and tells how its task ended', async () => {
  const { minutes, world, monitoring, keys } = host();
  world.rows = [{ vmid, name: 'photos', lock: 'backup' }];
  world.running = [task({ endTime: undefined, status: undefined })];
  await minutes(10);
  assert.deepEqual(keys(), []);
  world.running = [];
  world.ended = [task({ user: 'felhom@pve!agent' })];
  await minutes(3.5);
  assert.deepEqual(keys(), ['guest.lock-stale']);
  assert.match(monitoring.findings()[0]?.text ?? '', /vzdump by felhom@pve!agent, ended with: unexpected status/);
  world.rows = [{ vmid, name: 'photos', lock: undefined }];
  await minutes(1);
  assert.deepEqual(keys(), []);
});

test('a task of somebody else that failed is told until one goes well', async () => {
  const { minutes, world, keys } = host();
  world.ended = [task({ type: 'zfsscrub', id: 'rpool' })];
  await minutes(0.5);
  assert.deepEqual(keys(), ['task.failed']);
  world.ended = [...world.ended, task({ type: 'zfsscrub', id: 'rpool', status: 'OK', startTime: start / 1000 })];
  await minutes(5.5);
  assert.deepEqual(keys(), []);
});

test('disks come with the report; one that fails is told for as long as nobody says otherwise', async () => {
  const { minutes, world, monitoring, keys } = host();
  const row: DiskRow = { device: 'sda', model: 'M', serial: 'S', health: 'failed', wornPercent: 3 };
  world.disks = done([row]);
  await minutes(1);
  assert.deepEqual(monitoring.disks(), [{ device: 'sda', model: 'M', serial: 'S', health: 'failed', wornPercent: 3 }]);
  assert.deepEqual(keys(), ['disk.failed']);
  world.disks = silent();
  await minutes(24 * 60);
  assert.deepEqual(keys(), ['disk.failed']);
});

test('a disk that hangs holds up nobody but whoever asks about disks', async () => {
  const { minutes, world, calls, monitoring } = host();
  Object.defineProperty(world, 'disks', { get: () => new Promise(() => {}) });
  await minutes(24 * 60);
  assert.equal(times(calls, 'sample'), 2880);
  assert.equal(times(calls, 'disks'), 1, 'nobody else is sent after the one who waits');
  assert.deepEqual(monitoring.disks(), []);
});

test('the end of the token is told in time', async () => {
  const { minutes, world, monitoring } = host();
  world.tokenEndsAt = start / 1000 + 5 * 86_400;
  await minutes(0.5);
  const [finding] = monitoring.findings();
  assert.equal(finding?.key, 'host.expires');
  assert.equal(finding.advice.command, 'pveum user token modify felhom@pve agent --expire 0');
});

test('what is not told any more is believed for an hour and no longer', async () => {
  const { minutes, world, keys } = host();
  world.rows = [{ vmid, name: 'photos', lock: 'backup' }];
  await minutes(4);
  assert.deepEqual(keys(), ['guest.lock-stale']);
  const { monitoring } = host();
  assert.deepEqual(monitoring.findings(), []);
  world.policy = undefined;
  await minutes(59);
  assert.deepEqual(keys(), ['guest.lock-stale'], 'without a policy nobody looks');
  await minutes(2);
  assert.deepEqual(keys(), []);
});

test('one part that throws does not keep the others from looking', async () => {
  const { minutes, world, keys } = host();
  world.rows = [{ vmid, name: 'photos', lock: 'backup' }];
  Object.defineProperty(world, 'units', { get: () => assert.fail('broken') });
  await minutes(5);
  assert.deepEqual(keys(), ['guest.lock-stale']);
});

test('it looks until it is told to stop', async () => {
  const { monitoring, calls, overTime } = host();
  const stop = new AbortController();
  const running = monitoring.run(stop.signal);
  while (times(calls, 'sample') < 3) {
    await new Promise((resolve) => setImmediate(resolve));
    overTime();
  }
  stop.abort();
  await running;
  const looked = times(calls, 'sample');
  await Promise.resolve();
  assert.equal(times(calls, 'sample'), looked);
});
