import { test } from 'node:test';
import assert from 'node:assert/strict';
import { reason } from '@felhom/protocol';
import type { GuestUid, Upid, Vmid } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { testPolicy } from '../guests/test/world.ts';
import { done, unknown } from '../kernel/saga.ts';
import type { GuestRow, PendingChange, TaskRow } from '../ports/proxmox.ts';
import { emptyMemory, observe } from './observe.ts';
import type { ObserveNeeds, ObserverMemory } from './observe.ts';

const tokenId = 'felhom@pve!agent';
const idle = { names: new Set<string>(), vmids: new Set<Vmid>() };

class Host {
  rows: GuestRow[] = [];
  tasks: TaskRow[] = [];
  registry: GuestRecord[] = [];
  reads: number[] = [];
  lists = 0;
  seconds = 1_000_000;
  memory: ObserverMemory = emptyMemory;
  listFails = false;
  digest = 'd';
  changes: PendingChange[] = [];
  pendingReads = 0;

  constructor(guests: number) {
    for (let vmid = 9000; vmid < 9000 + guests; vmid++) this.add(vmid as Vmid);
  }

  add(vmid: Vmid, ours = true): void {
    this.rows.push({
      vmid,
      name: `g${vmid}`,
      status: 'running',
      lock: undefined,
      tags: [],
      cpus: 1,
      maxMemBytes: 1,
      maxDiskBytes: 1,
      uptimeSeconds: 100,
    });
    if (ours)
      this.registry.push({
        uid: String(vmid) as GuestUid,
        incarnation: 1,
        marker: 'm',
        name: `g${vmid}` as never,
        vmid,
        golden: 'g',
        volumes: [],
        servedAt: 1,
        configDigest: 'd',
        createdAt: 900_000_000,
        scratch: false,
      });
  }

  task(type: string, vmid: number, user: string, startTime: number, endTime?: number): void {
    const upid = `UPID:pve1:1:1:${this.tasks.length}:${type}:${vmid}:${user}:` as Upid;
    this.tasks.push({ upid, type, id: String(vmid), user, startTime, endTime, status: 'OK' });
  }

  readonly needs: ObserveNeeds = {
    reader: {
      list: async () => {
        this.lists++;
        return this.listFails ? unknown(reason('pve.unreachable', 'cannot list')) : done(this.rows);
      },
      config: async (vmid) => {
        this.reads.push(vmid);
        return done({ is: 'present', config: { digest: this.digest, lock: undefined, values: {} } });
      },
      pending: async () => {
        this.pendingReads++;
        return done(this.changes);
      },
    },
    tasks: {
      find: async ({ sinceSeconds }) => done(this.tasks.filter((task) => task.startTime >= (sinceSeconds ?? 0))),
    },
    node: { time: async () => done(this.seconds) },
    tokenId,
  };

  /** One pass; answers the VMIDs whose configs were read. */
  async pass(inFlight = idle) {
    this.reads = [];
    const { needs, registry, memory } = this;
    const { observation, memory: next } = await observe(
      needs,
      { registry, policy: testPolicy, inFlight, memory },
      AbortSignal.timeout(5000),
    );
    this.memory = next;
    this.seconds += 30;
    for (const row of this.rows) Object.assign(row, { uptimeSeconds: row.uptimeSeconds + 30 });
    return { observation, reads: this.reads.toSorted((a, b) => a - b) };
  }
}

/** A host that was seen whole, with the rotation about to read other guests than 9000. */
async function settled(guests: number): Promise<Host> {
  const host = new Host(guests);
  await host.pass();
  await host.pass();
  return host;
}

test('a first pass reads every config, a later one a constant few', async () => {
  const host = new Host(20);
  assert.equal((await host.pass()).reads.length, 20);
  for (let n = 0; n < 5; n++) assert.equal((await host.pass()).reads.length, 2);
  assert.equal(host.lists, 6);
});

test('a silent edit is noticed within guests / 2 passes', async () => {
  const host = await settled(20);
  const seen = new Set<number>();
  for (let n = 0; n < 10; n++) for (const vmid of (await host.pass()).reads) seen.add(vmid);
  assert.equal(seen.size, 20);
});

const triggers: readonly [string, (host: Host) => void, boolean][] = [
  ['nothing', () => {}, false],
  ['its status', (host) => Object.assign(host.rows[0] ?? {}, { status: 'stopped' }), true],
  ['its lock', (host) => Object.assign(host.rows[0] ?? {}, { lock: 'backup' }), true],
  ['its memory', (host) => Object.assign(host.rows[0] ?? {}, { maxMemBytes: 2 }), true],
  ['a smaller uptime', (host) => Object.assign(host.rows[0] ?? {}, { uptimeSeconds: 1 }), true],
  ['our own record', (host) => Object.assign(host.registry[0] ?? {}, { configDigest: 'e' }), true],
  ['a task that ended', (host) => host.task('resize', 9000, 'root@pam', host.seconds - 5, host.seconds - 2), true],
  ['a task that runs', (host) => host.task('vzdump', 9000, 'root@pam', host.seconds - 5), true],
  [
    'a task of long ago',
    (host) => host.task('resize', 9000, 'root@pam', host.seconds - 300, host.seconds - 290),
    false,
  ],
  [
    'a task of another guest',
    (host) => host.task('resize', 9001, 'root@pam', host.seconds - 5, host.seconds - 2),
    false,
  ],
  ['its row is gone', (host) => host.rows.shift(), true],
];
for (const [name, change, expect] of triggers)
  test(`read again because of ${name}: ${expect}`, async () => {
    const host = await settled(20);
    change(host);
    assert.equal((await host.pass()).reads.includes(9000), expect);
  });

test('a change that waits for a restart is seen with the edit and gone with the restart', async () => {
  const host = await settled(1);
  const asked = host.pendingReads;
  await host.pass();
  assert.equal(host.pendingReads, asked, 'nothing changed, so nothing can have begun to wait');
  host.digest = 'edited';
  host.changes = [
    { key: 'timezone', value: 'host', pending: 'UTC', delete: false },
    { key: 'searchdomain', value: 'x', pending: undefined, delete: true },
    { key: 'memory', value: '512', pending: undefined, delete: false },
  ];
  assert.deepEqual((await host.pass()).observation.pending.get(9000 as Vmid), ['timezone', 'searchdomain']);
  host.changes = [];
  Object.assign(host.rows[0] ?? {}, { uptimeSeconds: 1 });
  assert.deepEqual((await host.pass()).observation.pending.get(9000 as Vmid), []);
});

test('strangers in our ranges are read too, in flight and elsewhere they are not', async () => {
  const host = new Host(1);
  host.add(9010 as Vmid, false);
  host.add(9011 as Vmid, false);
  host.add(100 as Vmid, false);
  const { reads } = await host.pass({ names: new Set(), vmids: new Set([9011 as Vmid]) });
  assert.deepEqual(reads, [9000, 9010]);
});

test('a takeover by others is kept until the guest is made anew; our own tasks are none', async () => {
  const host = await settled(2);
  host.task('vzrestore', 9000, 'root@pam', host.seconds - 5, host.seconds - 1);
  host.task('vzrestore', 9001, tokenId, host.seconds - 5, host.seconds - 1);
  const before = host.tasks[0]?.upid;
  assert.deepEqual((await host.pass()).observation.foreignTasks, new Map([[9000, [before]]]));
  host.tasks = [];
  assert.deepEqual((await host.pass()).observation.foreignTasks, new Map([[9000, [before]]]));
});

test('what happened at a VMID before our guest was made is no takeover', async () => {
  const host = new Host(1);
  host.task('vzdestroy', 9000, 'root@pam', 899_999, 900_000);
  assert.equal((await host.pass()).observation.foreignTasks.size, 0);
});

test('a person’s stop counts while it is the last power task', async () => {
  const host = await settled(3);
  const at = host.seconds - 60;
  host.task('vzstop', 9000, 'alice@pve', at, at + 1);
  host.task('vzshutdown', 9001, 'alice@pve', at, at + 1);
  host.task('vzstart', 9001, 'alice@pve', at + 5, at + 6);
  host.task('vzstop', 9002, tokenId, at, at + 1);
  assert.deepEqual((await host.pass()).observation.personStops, new Map([[9000, (at + 1) * 1000]]));
});

test('an unreadable list is no empty one', async () => {
  const host = await settled(3);
  host.listFails = true;
  const { observation } = await host.pass();
  assert.equal(observation.problem?.code, 'pve.unreachable');
  host.listFails = false;
  assert.equal((await host.pass()).reads.length, 2, 'and what was known is not forgotten');
});
