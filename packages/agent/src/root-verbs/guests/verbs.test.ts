/** What root proves before it touches a guest, on a made-up node. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { madeUpNode, ourToken, taskTime } from '../../../test/made-up-node.ts';
import type { MadeUpNode } from '../../../test/made-up-node.ts';
import { hostPolicy } from '../../host-policy.ts';
import type { GuestAnswer } from './answer.ts';
import { firstProcessOf, isConfigHeld } from './node-guests.ts';
import { poolEnsure } from './pool-ensure.ts';
import { reapStub } from './reap-stub.ts';
import { unlock } from './unlock.ts';

const vmid = 9001 as Vmid;
const policy = hostPolicy.parse({
  v: 1,
  node: 'pve1',
  pool: 'felhom',
  vmids: { guests: { from: 9000, to: 9009 }, scratch: { from: 9800, to: 9809 } },
  bridges: ['vmbr0'],
  storages: ['local'],
  goldens: {},
});
const disk = (n: number): VolumeId => `local:9001/vm-9001-disk-${n}.raw` as VolumeId;

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-guests-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const node = madeUpNode(folder);
  return { folder, node, facts: { places: node.places, policy } };
}
type Set = ReturnType<typeof setUp>;

const stampOf = (file: string, after: number): void => utimesSync(file, taskTime + after, taskTime + after);
const textOf = (answer: GuestAnswer): string => (answer.is === 'done' ? 'done' : `${answer.is}: ${answer.text}`);

/** As Linux writes it: who holds the lock of this file. */
function hold(node: MadeUpNode, file: string): void {
  closeSync(openSync(file, 'w'));
  const { dev, ino } = statSync(file);
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  // Small numbers, as they are on the machines that run this.
  const major = Math.floor(dev / 256) % 4096;
  const minor = (dev % 256) + Math.floor(dev / 1_048_576) * 256;
  writeFileSync(
    join(node.places.proc, 'locks'),
    `1: POSIX  ADVISORY  WRITE 99 00:01:5 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 ${hex(major)}:${hex(minor)}:${ino} 0 EOF\n`,
  );
}

// ---------------------------------------------------------------------------------------------------------- unlock

interface Case {
  readonly name: string;
  readonly lock?: string;
  readonly vmid?: Vmid;
  readonly spoil?: (set: Set) => void;
  readonly says: RegExp;
}

const setter: Readonly<Record<string, string>> = {
  create: 'vzrestore',
  backup: 'vzdump',
  snapshot: 'vzsnapshot',
  'snapshot-delete': 'vzdelsnapshot',
  rollback: 'vzrollback',
  disk: 'move_volume',
};

const unlocking: readonly Case[] = [
  ...Object.keys(setter).map((lock): Case => ({ name: `lock ${lock} of ours that died`, lock, says: /^done$/ })),
  ...['mounted', 'migrate', 'fstrim', 'destroyed', 'suspended', 'constructor'].map((lock): Case => ({
    name: `lock ${lock}`,
    lock,
    says: /^refused: .*is not cleared without reaping/,
  })),
  { name: 'a guest of somebody else, by its number', vmid: 100 as Vmid, says: /^refused: .*in no range/ },
  { name: 'just above the range', vmid: 9010 as Vmid, says: /^refused: .*in no range/ },
  {
    name: 'a backup of somebody else',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', after: 5, user: 'root@pam' }),
    says: /^refused: .*newest task that sets lock backup is not the agent's.*root@pam/,
  },
  {
    name: 'a backup of many by somebody else, which names none',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', id: '', after: 5, user: 'root@pam' }),
    says: /^refused: .*is not the agent's/,
  },
  {
    name: 'another token of the same user',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', after: 5, user: 'felhom-agent@pve!other' }),
    says: /^refused: .*is not the agent's/,
  },
  {
    name: 'its worker still runs',
    spoil: ({ node }) => node.live(3947, 286_013),
    says: /^busy: .*still runs/,
  },
  {
    name: 'another process has the number of its worker',
    spoil: ({ node }) => node.live(3947, 5),
    says: /^done$/,
  },
  {
    name: 'somebody else works on it',
    spoil: ({ node }) => {
      node.writeTask({ type: 'vzstop', user: 'root@pam', pid: 5, ticks: 6 });
      node.live(5, 6);
    },
    says: /^busy: .*its worker still runs: UPID:pve1:00000005/,
  },
  {
    name: 'its newest backup ended well, so that the lock is somebody’s',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', after: 5, last: 'TASK OK' }),
    says: /^refused: .*ended well/,
  },
  {
    name: 'with warnings is well',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', after: 5, last: 'TASK WARNINGS: 2' }),
    says: /^refused: .*ended well/,
  },
  {
    name: 'an error is not',
    spoil: ({ node }) => void node.writeTask({ type: 'vzdump', after: 5, last: 'TASK ERROR: job errors' }),
    says: /^done$/,
  },
  {
    name: 'a process holds its config',
    spoil: ({ node }) => hold(node, join(node.places.locks, 'pve-config-9001.lock')),
    says: /^busy: .*holds the lock of its config/,
  },
  {
    name: 'a process holds another config',
    spoil: ({ node }) => hold(node, join(node.places.locks, 'pve-config-9002.lock')),
    says: /^done$/,
  },
  {
    name: 'the node forgot its tasks',
    spoil: ({ node }) => rmSync(node.places.tasks, { recursive: true }),
    says: /^busy: .*ENOENT/,
  },
  {
    name: 'a log that is a link',
    spoil: ({ folder, node }) => {
      const upid = node.writeTask({ type: 'vzdump', after: 6 });
      const log = join(node.places.tasks, '8', upid);
      renameSync(log, join(folder, 'elsewhere'));
      symlinkSync(join(folder, 'elsewhere'), log);
    },
    says: /^busy: .*ELOOP/,
  },
  {
    name: 'a config that is a link',
    spoil: ({ folder, node }) => {
      const file = node.writeConfig(9001, 'lock: backup\n');
      renameSync(file, join(folder, 'elsewhere'));
      symlinkSync(join(folder, 'elsewhere'), file);
    },
    says: /^busy: .*ELOOP/,
  },
  {
    name: 'a config that the create of ours wrote at its end',
    lock: 'create',
    spoil: ({ node }) => {
      node.writeTask({ took: 3600 });
      stampOf(join(node.places.etcPve, 'nodes/pve1/lxc/9001.conf'), 3601);
    },
    says: /^done$/,
  },
  {
    name: 'a stub that is newer than the create of ours',
    lock: 'create',
    spoil: ({ node }) => stampOf(join(node.places.etcPve, 'nodes/pve1/lxc/9001.conf'), 61),
    says: /^refused: .*written after the last word of/,
  },
  {
    name: 'no lock',
    spoil: ({ node }) => void node.writeConfig(9001, 'arch: amd64\n\n[before]\nlock: mounted\n'),
    says: /^done$/,
  },
  {
    name: 'no guest',
    spoil: ({ node }) => rmSync(join(node.places.etcPve, 'nodes/pve1/lxc/9001.conf')),
    says: /^done$/,
  },
];
for (const { name, lock = 'backup', spoil, says, ...over } of unlocking)
  test(`unlock: ${name}`, async (t) => {
    const set = setUp(t);
    const { node, facts } = set;
    const file = node.writeConfig(over.vmid ?? 9001, `arch: amd64\nlock: ${lock}\nrootfs: ${disk(0)},size=1G\n`);
    stampOf(file, 0);
    node.writeTask({ type: setter[lock] ?? 'vzdump', id: String(over.vmid ?? 9001) });
    spoil?.(set);
    const needed = /^(?:no lock|no guest)$/.test(name);
    const answer = await unlock(facts, node.tools, over.vmid ?? vmid);
    assert.match(textOf(answer), says);
    assert.deepEqual(node.ran(), answer.is === 'done' && !needed ? ['pct unlock 9001'] : []);
  });

// ------------------------------------------------------------------------------------------------------- reap-stub

/** A restore of ours that was killed. */
function stub(set: Set): void {
  const { node } = set;
  stampOf(node.writeConfig(9001, 'lock: create\n'), -1);
  node.writeTask({});
  node.setVolumes([disk(0), disk(1), 'local:9002/vm-9002-disk-0.raw']);
  node.mount('/var/lib/lxc/9001/rootfs/srv', '/var/lib/lxc/9001/rootfs', '/var/lib/lxc/90010/rootfs', '/srv');
  node.setLoops({ '/dev/loop0': '/srv/images/9001/vm-9001-disk-0.raw', '/dev/loop7': '/srv/other.raw' });
}

test('reap-stub takes away what a killed restore left, in this order, and nothing else', async (t) => {
  const set = setUp(t);
  stub(set);
  const { node, facts } = set;
  assert.deepEqual(await reapStub(facts, node.tools, vmid, [disk(1), disk(0)]), { is: 'done' });
  assert.deepEqual(node.ran(), [
    'perl -e use strict; use warnings; use JSON; use PVE::Storage; -- 9001',
    `pvesm path ${disk(0)}`,
    `pvesm path ${disk(1)}`,
    'umount -- /var/lib/lxc/9001/rootfs/srv',
    'umount -- /var/lib/lxc/9001/rootfs',
    'losetup --json --list --output NAME,BACK-FILE',
    'losetup --detach /dev/loop0',
    `pvesm free ${disk(0)}`,
    `pvesm free ${disk(1)}`,
    'pct unlock 9001',
    'pct destroy 9001',
    'pvesh set /pools --poolid felhom --vms 9001',
  ]);
  assert.deepEqual(node.volumes(), ['local:9002/vm-9002-disk-0.raw']);
  // Again, and nothing is left to do but to look.
  const before = node.ran().length;
  assert.deepEqual(await reapStub(facts, node.tools, vmid, [disk(0)]), { is: 'done' });
  assert.deepEqual(node.ran().slice(before), [
    'perl -e use strict; use warnings; use JSON; use PVE::Storage; -- 9001',
    'losetup --json --list --output NAME,BACK-FILE',
  ]);
});

test('reap-stub goes on where it was cut off', async (t) => {
  const set = setUp(t);
  stub(set);
  const { node, facts } = set;
  const cut = { ...node.tools, pct: () => Promise.reject(new Error('killed')) };
  await assert.rejects(reapStub(facts, cut, vmid, [disk(0), disk(1)]), /killed/);
  await node.tools.pct(['unlock', '9001']);
  assert.deepEqual(await reapStub(facts, node.tools, vmid, [disk(0), disk(1)]), { is: 'done' });
  assert.deepEqual(node.volumes(), ['local:9002/vm-9002-disk-0.raw']);
});

const reaping: readonly {
  name: string;
  volumes?: readonly string[];
  id?: Vmid;
  spoil?: (set: Set) => void;
  says: RegExp;
}[] = [
  { name: 'a VMID of somebody else', id: 100 as Vmid, volumes: [], says: /^refused: .*in no range/ },
  {
    name: 'a volume of another guest in the list',
    volumes: [disk(0), 'local:9002/vm-9002-disk-0.raw'],
    says: /^refused: .*local:9002\/vm-9002-disk-0\.raw is no volume of it/,
  },
  {
    name: 'a volume whose number only begins like it',
    volumes: [disk(0), 'local:90010/vm-90010-disk-0.raw'],
    says: /^refused: .*is no volume of it/,
  },
  {
    name: 'a backup of it in the list',
    volumes: [disk(0), 'local:backup/vzdump-lxc-9001-2026_11_24-00_46_17.tar.zst'],
    says: /^refused: .*is no volume of it/,
  },
  { name: 'a volume that nobody named', volumes: [disk(0)], says: /^refused: .*nobody named.*disk-1/ },
  {
    name: 'a guest that is whole',
    spoil: ({ node }) => stampOf(node.writeConfig(9001, `arch: amd64\nrootfs: ${disk(0)}\n`), -1),
    says: /^refused: .*more than a locked stub/,
  },
  {
    name: 'a guest that is whole and locked',
    spoil: ({ node }) => stampOf(node.writeConfig(9001, `lock: create\nrootfs: ${disk(0)}\n`), -1),
    says: /^refused: .*more than a locked stub/,
  },
  {
    name: 'a stub that was written since, by a clone perhaps',
    spoil: ({ node }) => stampOf(node.writeConfig(9001, 'lock: create\n'), 3600),
    says: /^refused: .*written after the last word of/,
  },
  {
    name: 'a create of somebody else since',
    spoil: ({ node }) => void node.writeTask({ type: 'vzcreate', user: 'root@pam', after: 9 }),
    says: /^refused: .*newest create task is not the agent's/,
  },
  {
    name: 'no create that the node remembers',
    spoil: ({ node }) => {
      rmSync(node.places.tasks, { recursive: true });
      node.writeTask({ id: '9002' });
      node.writeTask({ type: 'vzdump' });
    },
    says: /^refused: .*remembers no create task/,
  },
  {
    name: 'a create that ended well',
    spoil: ({ node }) => void node.writeTask({ after: 1, last: 'TASK OK' }),
    says: /^refused: .*ended well/,
  },
  { name: 'its worker lives', spoil: ({ node }) => node.live(3947, 286_013), says: /^busy: .*still runs/ },
  {
    name: 'a clone into it lives',
    spoil: ({ node }) => hold(node, join(node.places.locks, 'pve-config-9001.lock')),
    says: /^busy: .*holds the lock/,
  },
  {
    name: 'a volume of it moves to another guest',
    spoil: ({ node }) => {
      node.writeTask({ type: 'move_volume', id: '9002-mp1>9001-mp1', user: 'root@pam', pid: 7, ticks: 8 });
      node.live(7, 8);
    },
    says: /^busy: .*still runs/,
  },
  {
    name: 'another guest has the volume',
    spoil: ({ node }) => void node.writeConfig(9002, `mp0: ${disk(1)},mp=/srv,size=1G\n`),
    says: /^refused: .*another guest names local:9001\/vm-9001-disk-1\.raw/,
  },
  {
    name: 'a snapshot of a machine on another node has it',
    spoil: ({ node }) => void node.writeConfig(300, `[old]\nscsi0: ${disk(1)},size=1G\n`, 'qemu-server', 'pve2'),
    says: /^refused: .*another guest names/,
  },
  {
    name: 'a machine has the number',
    spoil: ({ node }) => void node.writeConfig(9001, 'cores: 1\n', 'qemu-server', 'pve2'),
    says: /^refused: .*another guest has its number/,
  },
  {
    name: 'what is mounted is in use',
    spoil: ({ node }) => {
      node.mount('/var/lib/lxc/9001/rootfs/srv/in-use');
      Object.assign(node.tools, { umount: () => Promise.resolve({ code: 32, stdout: '', stderr: 'target is busy.' }) });
    },
    says: /^busy: .*cannot be unmounted: target is busy/,
  },
  {
    name: 'a storage that does not answer',
    spoil: ({ node }) =>
      Object.assign(node.tools, {
        perl: () => Promise.resolve({ code: 2, stdout: '', stderr: 'storage usb is not online' }),
      }),
    says: /^busy: .*not online/,
  },
];
for (const { name, volumes = [disk(0), disk(1)], id = vmid, spoil, says } of reaping)
  test(`reap-stub: ${name}`, async (t) => {
    const set = setUp(t);
    stub(set);
    spoil?.(set);
    const { node, facts } = set;
    const before = node.volumes();
    assert.match(textOf(await reapStub(facts, node.tools, id, volumes as VolumeId[])), says);
    assert.deepEqual(node.volumes(), before);
    assert.deepEqual(
      node.ran().filter((line) => !/^(?:perl|pvesm path) /.test(line)),
      [],
    );
  });

// ----------------------------------------------------------------------------------------------------- pool-ensure

const pooling: readonly { name: string; id?: number; spoil?: (set: Set) => void; says: RegExp; ran?: boolean }[] = [
  { name: 'a free VMID', says: /^done$/, ran: true },
  { name: 'of a scratch guest', id: 9801, says: /^done$/, ran: true },
  { name: 'one that is in it', id: 9000, says: /^done$/ },
  { name: 'one of nobody', id: 100, says: /^refused: .*in no range/ },
  {
    name: 'a guest of ours',
    spoil: ({ node }) => void (node.writeConfig(9001, ''), node.writeTask({})),
    says: /^done$/,
    ran: true,
  },
  {
    name: 'a guest of somebody else',
    spoil: ({ node }) => void (node.writeConfig(9001, ''), node.writeTask({ type: 'vzcreate', user: 'root@pam' })),
    says: /^refused: .*created by somebody else/,
  },
  {
    name: 'a guest of nobody knows whom',
    spoil: ({ node }) => void node.writeConfig(9001, ''),
    says: /^refused: .*no task that created it/,
  },
  {
    name: 'a machine',
    spoil: ({ node }) => void node.writeConfig(9001, '', 'qemu-server'),
    says: /^refused: .*not the agent's is at it/,
  },
  {
    name: 'a guest of another node',
    spoil: ({ node }) => void node.writeConfig(9001, '', 'lxc', 'pve2'),
    says: /^refused: .*not the agent's is at it/,
  },
];
for (const { name, id = 9001, spoil, says, ran = false } of pooling)
  test(`pool-ensure: ${name}`, async (t) => {
    const set = setUp(t);
    spoil?.(set);
    const { node, facts } = set;
    assert.match(textOf(await poolEnsure(facts, node.tools, id as Vmid)), says);
    assert.deepEqual(node.ran(), ran ? [`pvesh set /pools --poolid felhom --vms ${id}`] : []);
  });

test('pool-ensure believes the file and not the program', async (t) => {
  const { node, facts } = setUp(t);
  const pvesh = () => Promise.resolve({ code: 0, stdout: '', stderr: '' });
  assert.match(textOf(await poolEnsure(facts, { pvesh }, vmid)), /^busy: .*pvesh ended with 0/);
  assert.equal(policy.token, ourToken);
  assert.deepEqual(node.ran(), []);
});

// ----------------------------------------------------------------------------------------------------------- locks

test('a lock that a real process holds is seen in the real list of locks', async (t) => {
  if (!existsSync('/dev/shm') || !existsSync('/usr/bin/flock')) return t.skip('needs flock, and a tmpfs at /dev/shm');
  // Where Proxmox has its locks is a tmpfs too.
  const locks = mkdtempSync('/dev/shm/felhom-locks-');
  t.after(() => rmSync(locks, { recursive: true }));
  const places = { ...setUp(t).node.places, locks, proc: '/proc' };
  const file = join(locks, `pve-config-${vmid}.lock`);
  assert.equal(isConfigHeld(places, vmid), false);
  writeFileSync(file, '');
  assert.equal(isConfigHeld(places, vmid), false);
  const holder = spawn('/usr/bin/flock', [file, '/bin/sh', '-c', 'echo held; read go'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise((done) => holder.once('close', done));
  await new Promise((held) => holder.stdout.once('data', held));
  assert.equal(isConfigHeld(places, vmid), true);
  holder.stdin.end();
  await ended;
  assert.equal(isConfigHeld(places, vmid), false);
});

// ---------------------------------------------------------------------------------------------------- first process

test('the first process of a container is told by its control group and its process namespace', (t) => {
  const { node } = setUp(t);
  const process = (pid: number, group: string, inner: string, map = '         0     100000      65536'): void => {
    node.live(pid, pid * 10);
    const place = (name: string, text: string): void => writeFileSync(join(node.places.proc, String(pid), name), text);
    place('cgroup', `0::${group}\n`);
    place('status', `Name:\tsystemd\nNSpid:\t${pid}${inner}\n`);
    place('uid_map', `${map}\n`);
  };
  process(500, '/lxc/9801/ns/init.scope', '\t1');
  process(501, '/lxc/9801/ns/system.slice/docker.service', '\t77');
  process(502, '/lxc/9801/ns/system.slice/docker-ab.scope', '\t90\t1');
  process(503, '/lxc/98011/ns/init.scope', '\t1');
  process(504, '/lxc.monitor/9801', '');
  assert.deepEqual(firstProcessOf(node.places, 9801 as Vmid), { pid: 500, startTicks: '5000', hostUid: 100_000 });
  process(600, '/lxc/9802/ns/init.scope', '\t1', '         0          0 4294967295');
  assert.equal(firstProcessOf(node.places, 9802 as Vmid)?.hostUid, 0);
  // Somebody in it who pretends: then nobody is.
  process(505, '/lxc/9801/ns/user.slice', '\t1');
  assert.equal(firstProcessOf(node.places, 9801 as Vmid), undefined);
  assert.equal(firstProcessOf(node.places, 9803 as Vmid), undefined);
});
