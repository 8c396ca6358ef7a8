/**
 * The recorded permission matrix against the fake: every operation with each privilege taken away, with what it needs
 * and nothing else, and with everything. The matrix is no part of the project; without it there is nothing to compare.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSimClock, type SimClock } from '../../simulation/sim-clock.ts';
import { createSimRandom } from '../../simulation/sim-random.ts';
import { textOf, type ApiResponse } from '../core.ts';
import { hostActions } from '../guests/index.ts';
import { createFakePve, type FakeNode } from '../node.ts';
import { goldenFiles, MemoryDisk, placeArchive, type Storage } from '../storage/index.ts';

const file = fileURLToPath(new URL('../../../../../../shared/pve/permission-matrix.json', import.meta.url));

interface Expectation {
  readonly with_all: string;
  readonly fails_without: Readonly<Record<string, string>>;
  readonly needed: readonly string[] | null;
  readonly needed_alone_suffices: boolean | null;
  readonly alone_error?: string;
}

type Verb = 'GET' | 'POST' | 'PUT' | 'DELETE';
type Operation = readonly [method: Verb, path: string, params?: Record<string, unknown>];

interface World {
  readonly clock: SimClock;
  readonly node: FakeNode<Storage>;
  /** Volume ids of a backup of 100 and of one of 101. */
  readonly golden: string;
  readonly backup: string;
  readonly own: string;
  readonly foreign: string;
}

const agent = 'felhom-agent@pve';
const token = `${agent}!agent`;

const privileges =
  'VM.Allocate VM.Audit VM.Backup VM.Config.CPU VM.Config.Disk VM.Config.Memory VM.Config.Network VM.Config.Options VM.PowerMgmt VM.Snapshot VM.Snapshot.Rollback Datastore.Allocate Datastore.AllocateSpace Datastore.Audit Sys.Audit SDN.Use'.split(
    ' ',
  );

const lxc = '/nodes/pve1/lxc';
const felhom = '/nodes/pve1/storage/felhom';

/** The matrix names its operations in words; these are the calls behind them. */
const operations: Record<string, (world: World) => Operation> = {
  'GET /version': () => ['GET', '/version'],
  'GET /nodes (nonempty)': () => ['GET', '/nodes'],
  'GET /nodes/{n}/status': () => ['GET', '/nodes/pve1/status'],
  'GET /cluster/resources?type=vm (nonempty)': () => ['GET', '/cluster/resources', { type: 'vm' }],
  'GET /cluster/resources?type=storage (nonempty)': () => ['GET', '/cluster/resources', { type: 'storage' }],
  'GET /cluster/status': () => ['GET', '/cluster/status'],
  'GET /cluster/nextid': () => ['GET', '/cluster/nextid'],
  'GET /cluster/options': () => ['GET', '/cluster/options'],
  'GET /nodes/{n}/lxc (nonempty)': () => ['GET', lxc],
  'GET lxc config': () => ['GET', `${lxc}/101/config`],
  'GET lxc status/current': () => ['GET', `${lxc}/101/status/current`],
  'GET lxc snapshot': () => ['GET', `${lxc}/110/snapshot`],
  'GET lxc interfaces': () => ['GET', `${lxc}/101/interfaces`],
  'GET lxc pending': () => ['GET', `${lxc}/101/pending`],
  'GET lxc feature': () => ['GET', `${lxc}/110/feature`, { feature: 'snapshot' }],
  'GET network': () => ['GET', '/nodes/pve1/network'],
  'GET network any_bridge (nonempty)': () => ['GET', '/nodes/pve1/network', { type: 'any_bridge' }],
  'POST start': () => ['POST', `${lxc}/110/status/start`],
  'POST stop': () => ['POST', `${lxc}/110/status/stop`],
  'PUT config cores': () => ['PUT', `${lxc}/101/config`, { cores: 2 }],
  'PUT config memory': () => ['PUT', `${lxc}/101/config`, { memory: 300 }],
  'PUT config hostname': () => ['PUT', `${lxc}/101/config`, { hostname: 'other' }],
  'PUT config net0': () => ['PUT', `${lxc}/101/config`, { net0: 'name=eth0,bridge=vmbr0,ip=10.98.0.101/24' }],
  'PUT config nameserver': () => ['PUT', `${lxc}/101/config`, { nameserver: '1.1.1.1' }],
  'PUT config description': () => ['PUT', `${lxc}/101/config`, { description: 'x' }],
  'PUT config tags': () => ['PUT', `${lxc}/101/config`, { tags: 'felhom' }],
  'PUT config onboot': () => ['PUT', `${lxc}/101/config`, { onboot: 1 }],
  'PUT config protection': () => ['PUT', `${lxc}/101/config`, { protection: 0 }],
  'PUT config mp1 add volume': () => ['PUT', `${lxc}/101/config`, { mp1: 'felhom:1,mp=/mnt/x' }],
  'PUT config delete=mp1': () => ['PUT', `${lxc}/101/config`, { delete: 'mp1' }],
  'PUT config delete=unused0 (destroys volume)': () => ['PUT', `${lxc}/101/config`, { delete: 'unused0' }],
  'POST snapshot': () => ['POST', `${lxc}/110/snapshot`, { snapname: 'more' }],
  'DELETE snapshot': () => ['DELETE', `${lxc}/110/snapshot/first`],
  'POST rollback': () => ['POST', `${lxc}/110/snapshot/first/rollback`],
  'POST vzdump': () => ['POST', '/nodes/pve1/vzdump', { vmid: 101, storage: 'felhom', mode: 'stop' }],
  'POST vzdump prune-backups': () => [
    'POST',
    '/nodes/pve1/vzdump',
    { vmid: 101, storage: 'felhom', mode: 'stop', 'prune-backups': 'keep-last=3' },
  ],
  'POST vzdump protected=1': () => [
    'POST',
    '/nodes/pve1/vzdump',
    { vmid: 101, storage: 'felhom', mode: 'stop', protected: 1 },
  ],
  'POST lxc restore new vmid': (world) => restore(world, {}),
  'POST lxc restore net0 override': (world) => restore(world, { net0: 'name=eth0,bridge=vmbr0,ip=dhcp' }),
  'POST lxc restore cores+memory override': (world) => restore(world, { cores: 1, memory: 256 }),
  'POST lxc restore rootfs+mp0': (world) => restore(world, { rootfs: 'felhom:1', mp0: 'felhom:1,mp=/srv/data' }),
  'POST lxc restore onboot/description': (world) => restore(world, { onboot: 0, description: 'x' }),
  'DELETE lxc': () => ['DELETE', `${lxc}/141`],
  'GET storage list (nonempty)': () => ['GET', '/nodes/pve1/storage'],
  'GET storage status': () => ['GET', `${felhom}/status`],
  'GET storage content backup (nonempty)': () => ['GET', `${felhom}/content`, { content: 'backup' }],
  'GET storage content rootdir (nonempty)': () => ['GET', `${felhom}/content`, { content: 'rootdir' }],
  'GET backup attributes': ({ backup }) => ['GET', `${felhom}/content/${encodeURIComponent(backup)}`],
  'PUT backup notes': ({ backup }) => ['PUT', `${felhom}/content/${encodeURIComponent(backup)}`, { notes: 'x' }],
  'PUT backup protected': ({ backup }) => ['PUT', `${felhom}/content/${encodeURIComponent(backup)}`, { protected: 0 }],
  'DELETE backup': ({ backup }) => ['DELETE', `${felhom}/content/${encodeURIComponent(backup)}`],
  'GET vzdump/extractconfig': ({ golden }) => ['GET', '/nodes/pve1/vzdump/extractconfig', { volume: golden }],
  'GET /storage (nonempty)': () => ['GET', '/storage'],
  'GET /storage/{s}': () => ['GET', '/storage/felhom'],
  'POST /storage': () => ['POST', '/storage', { storage: 'other', type: 'dir', path: '/srv/other' }],
  'DELETE /storage/{s}': () => ['DELETE', '/storage/spare'],
  'GET prunebackups': () => ['GET', `${felhom}/prunebackups`, { 'prune-backups': 'keep-last=1' }],
  'GET tasks (nonempty)': () => ['GET', '/nodes/pve1/tasks'],
  'GET own task status': ({ own }) => ['GET', `/nodes/pve1/tasks/${own}/status`],
  'GET own task log': ({ own }) => ['GET', `/nodes/pve1/tasks/${own}/log`],
  'GET foreign task status': ({ foreign }) => ['GET', `/nodes/pve1/tasks/${foreign}/status`],
  'GET /access/permissions': () => ['GET', '/access/permissions'],
  'GET /access/acl (nonempty)': () => ['GET', '/access/acl'],
  'GET node time': () => ['GET', '/nodes/pve1/time'],
  'GET disks/list': () => ['GET', '/nodes/pve1/disks/list'],
};

function restore({ golden }: World, more: Record<string, unknown>): Operation {
  return ['POST', lxc, { vmid: 140, ostemplate: golden, restore: 1, storage: 'felhom', hostname: 'restored', ...more }];
}

/** The fake serves what the agent uses; the rest of the matrix is about calls it does not have. */
const notFaked = ['GET lxc rrddata', 'GET /cluster/backup', 'GET services', 'GET syslog'];
/** The state that this operation was recorded in is not told. */
const untold = ['PUT config features nesting toggle'];

const config = (vmid: number, storage: string, more = ''): string => {
  const name = storage === 'thin' ? `vm-${vmid}-disk-0` : `${vmid}/vm-${vmid}-disk-0.raw`;
  return [
    'arch: amd64',
    'cores: 1',
    'hostname: golden',
    'memory: 256',
    'net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:86:11:FE,ip=10.98.0.100/24,type=veth',
    'ostype: alpine',
    `rootfs: ${storage}:${name},size=1G`,
    'swap: 0',
    'unprivileged: 1',
    more,
  ].join('\n');
};

async function createWorld(held: readonly string[], name: string): Promise<World> {
  const clock = createSimClock(Date.UTC(2026, 10, 23, 23, 0, 0));
  const disk = new MemoryDisk(() => Math.floor(clock.now() / 1000));
  const node = createFakePve({ clock, random: createSimRandom(1), disk });
  const host = hostActions(node, node.tasks);
  const { access, storage } = node;
  const setUp = async (method: Verb, path: string, params: Record<string, unknown>): Promise<void> => {
    const answer = await clock.runUntil(node.handle({ method, path, params, as: 'root@pam' }));
    assert.equal(answer.status, 200, `${path}: ${answer.reason}`);
  };
  const content = 'rootdir,images,vztmpl,backup';
  await setUp('POST', '/storage', { storage: 'felhom', type: 'dir', path: '/srv/felhom', content });
  await setUp('POST', '/storage', { storage: 'spare', type: 'dir', path: '/srv/spare', content });
  storage.hardware.add({ id: 'lvm:pve/data', capacityBytes: 1024 ** 4 });
  await setUp('POST', '/storage', { storage: 'thin', type: 'lvmthin', vgname: 'pve', thinpool: 'data' });

  for (const vmid of [100, 101, 141]) {
    storage.createVolume('felhom', `${vmid}/vm-${vmid}-disk-0.raw`, 1024 ** 3);
    host.setRawConfig(vmid, config(vmid, 'felhom'));
  }
  storage.createVolume('thin', 'vm-110-disk-0', 1024 ** 3);
  const bootable = storage.volumeDiskPath('thin:vm-110-disk-0');
  await storage.disk.writeTree(bootable, goldenFiles(), { skipExisting: false });
  host.setRawConfig(110, config(110, 'thin'));
  await setUp('POST', `${lxc}/110/snapshot`, { snapname: 'first' });
  await clock.advance(60_000);
  if (name === 'POST stop') await setUp('POST', `${lxc}/110/status/start`, {});
  if (/delete=mp1|delete=unused0/.test(name)) {
    storage.createVolume('felhom', '101/vm-101-disk-1.raw', 1024 ** 3);
    const key = name.includes('mp1')
      ? 'mp1: felhom:101/vm-101-disk-1.raw,mp=/mnt/x,size=1G'
      : 'unused0: felhom:101/vm-101-disk-1.raw';
    host.setRawConfig(101, config(101, 'felhom', `${key}\n`));
  }
  await clock.advance(60_000);

  const place = (vmid: number): Promise<string> =>
    placeArchive(storage, 'felhom', vmid, clock.now() - 3_600_000, { config: config(vmid, 'felhom') });
  const golden = await place(100);
  const backup = await place(101);

  access.config.roles.set('Held', new Set(held));
  access.addUser(agent);
  access.addToken(agent, 'agent');
  access.grant({ path: '/', type: 'user', ugid: agent, roleid: 'Held' });
  access.grant({ path: '/', type: 'token', ugid: token, roleid: 'Held' });
  const nothing = (): Promise<void> => Promise.resolve();
  const own = node.tasks.fork({ user: agent, token: 'agent', full: token }, 'vzstart', '101', nothing);
  const foreign = node.tasks.fork({ user: 'root@pam', full: 'root@pam' }, 'vzstart', '101', nothing);
  await clock.advance(60_000);
  return { clock, node, golden, backup, own, foreign };
}

/** What the matrix would have written down. */
async function perform(name: string, held: readonly string[]): Promise<string> {
  const world = await createWorld(held, name);
  const [method, path, params = {}] =
    operations[name]?.(world) ?? assert.fail(`the matrix has a new operation: ${name}`);
  const answer = await world.clock.runUntil(world.node.handle({ method, path, params, as: token }));
  if (answer.status !== 200)
    return `${answer.status} ${textOf(Reflect.get(Object(answer.body), 'message')).trim() || answer.reason}`;
  const data = dataOf(answer);
  if (typeof data === 'string' && data.startsWith('UPID:')) {
    await world.clock.runUntil(world.node.tasks.settled(data));
    const status = world.node.tasks.find(data)?.exitStatus ?? '';
    return status === 'OK' ? 'ok' : `task: ${status}`;
  }
  return name.endsWith('(nonempty)') && Array.isArray(data) && data.length === 0 ? '200 but empty list' : 'ok';
}

function dataOf(answer: ApiResponse): unknown {
  return Reflect.get(Object(answer.body), 'data');
}

function isExpectation(value: unknown): value is Expectation {
  return typeof value === 'object' && value !== null && 'fails_without' in value;
}

const skip = existsSync(file) ? false : 'there is no recorded permission matrix beside the checkout';

test('every operation needs the privileges that it needed on a real node', { skip }, async (t) => {
  const matrix: unknown = JSON.parse(readFileSync(file, 'utf8'));
  for (const [name, expected] of Object.entries(Object(matrix))) {
    if (!isExpectation(expected) || notFaked.includes(name) || untold.includes(name)) continue;
    await t.test(name, async () => {
      const { fails_without: fails, needed, alone_error: alone } = expected;
      assert.equal(await perform(name, privileges), expected.with_all, 'with all privileges');
      const found: Record<string, string> = {};
      for (const taken of privileges) {
        const outcome = await perform(
          name,
          privileges.filter((one) => one !== taken),
        );
        if (outcome !== 'ok') found[taken] = outcome;
      }
      assert.deepEqual(found, fails, 'with one taken away');
      if (needed === null) return;
      const outcome = await perform(name, needed);
      assert.equal(outcome, expected.needed_alone_suffices === true ? 'ok' : alone, 'with nothing else');
    });
  }
});
