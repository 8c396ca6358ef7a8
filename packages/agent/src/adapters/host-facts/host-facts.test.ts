import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Systemctl } from '../../ports/systemctl.ts';
import { systemClock } from '../system-clock/index.ts';
import { createHostFacts, readZfsStates } from './index.ts';
import { cpuOf, degreesOf, memoryOf, newestKernel, pressureOf } from './kernel-files.ts';

const never = new AbortController().signal;
const says =
  (stdout: string, code = 0): Systemctl =>
  () =>
    Promise.resolve({ code, stdout, stderr: code === 0 ? '' : 'no bus' });

function host(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  systemctl = says(''),
  timedatectl = says(''),
  patienceMs = 2_000,
) {
  const root = mkdtempSync(join(tmpdir(), 'felhom-host-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries({ 'boot/.keep': '', 'run/.keep': '', ...files })) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const at = (name: string): string => join(root, name);
  const roots = { proc: at('proc'), sys: at('sys'), boot: at('boot'), run: at('run') };
  const facts = createHostFacts({
    roots,
    rootDirectory: root,
    systemctl,
    timedatectl,
    clock: systemClock(),
    patienceMs,
  });
  return { facts, at };
}

/** Of a Debian 13 machine with two processors. */
const stat = `cpu  1000 50 300 8000 150 0 20 30 400 0
cpu0 500 25 150 4000 75 0 10 15 200 0
cpu1 500 25 150 4000 75 0 10 15 200 0
intr 1 2 3
`;
const meminfo = 'MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n';
const psi = 'some avg10=9.00 avg60=1.50 avg300=0.40 total=99\nfull avg10=0.00 avg60=0.70 avg300=0.00 total=1\n';

test('a sample from the files of the kernel', async (t) => {
  const { facts } = host(t, {
    'proc/stat': stat,
    'proc/loadavg': '0.52 0.58 0.59 1/467 12345\n',
    'proc/uptime': '351735.47 234388.90\n',
    'proc/meminfo': meminfo,
    'proc/pressure/cpu': psi,
    'proc/pressure/memory': psi.replaceAll('1.50', '0.00'),
    'proc/pressure/io': psi.replaceAll('1.50', '77.25'),
    'sys/class/hwmon/hwmon0/temp1_input': '41000\n',
    'sys/class/hwmon/hwmon1/temp2_input': '63500\n',
    'sys/class/hwmon/hwmon1/temp2_crit': '99000\n',
    'sys/class/thermal/thermal_zone0/temp': '-274000\n',
  });
  const { rootDisk, ...sample } = await facts.sample(never);
  assert.deepEqual(sample, {
    uptimeSeconds: 351735.47,
    cpu: { busy: 1400, total: 9550, processors: 2 },
    load1: 0.52,
    memory: { usedBytes: 600 * 1024, totalBytes: 1000 * 1024 },
    pressure: { cpu: 1.5, memory: 0, io: 77.25 },
    hottestC: 63.5,
  });
  assert.ok(rootDisk !== undefined && rootDisk.usedBytes > 0 && rootDisk.usedBytes < rootDisk.totalBytes);
});

test('what the host does not tell is absent, never zero', async (t) => {
  const { facts } = host(t, { 'proc/stat': 'nonsense', 'proc/pressure/cpu': psi });
  const { rootDisk: _, ...sample } = await facts.sample(never);
  assert.deepEqual(
    Object.values(sample),
    Array.from({ length: 6 }, () => undefined),
  );
});

test('numbers of the kernel, one by one', () => {
  assert.equal(cpuOf('cpu 1 2 3'), undefined);
  // An old kernel counts less; guest time is not added a second time.
  assert.deepEqual(cpuOf('cpu 1 2 3 4 5\n'), { busy: 6, total: 15, processors: 1 });
  assert.equal(pressureOf('some avg10=1.00'), undefined);
  assert.equal(pressureOf('some avg10=1.00 avg60=100.31 avg300=0.00'), 100);
  for (const [text, want] of [
    ['45000\n', 45],
    ['0\n', undefined],
    ['255000\n', undefined],
    ['', undefined],
  ] as const)
    assert.equal(degreesOf(text), want);
  // 300 KiB of the cache can go; never more free than there is.
  const arc = (size: number): string => `13 1 0x01 123\nname type data\nc_min 4 ${100 * 1024}\nsize 4 ${size}\n`;
  assert.equal(memoryOf(meminfo, arc(400 * 1024))?.usedBytes, 300 * 1024);
  assert.equal(memoryOf(meminfo, arc(9e9))?.usedBytes, 0);
  assert.equal(memoryOf(meminfo, arc(50 * 1024))?.usedBytes, 600 * 1024);
  assert.equal(
    newestKernel(['vmlinuz-6.8.12-9-pve', 'vmlinuz-6.8.12-10-pve', 'vmlinuz', 'initrd.img-6.9.1-1-pve']),
    '6.8.12-10-pve',
  );
});

test('units: one call, a block for each', async (t) => {
  let asked: readonly string[] = [];
  const text = `Id=pveproxy.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NRestarts=3
Result=success
Job=0

Id=shutdown.target
LoadState=loaded
ActiveState=inactive
UnitFileState=static
Job=4711 /org/freedesktop/systemd1/job/4711
`;
  const { facts } = host(t, {}, (args) => {
    asked = args;
    return says(text)(args);
  });
  const units = await facts.units(['pveproxy.service', 'shutdown.target'], never);
  assert.deepEqual(units, {
    is: 'done',
    value: [
      {
        unit: 'pveproxy.service',
        load: 'loaded',
        active: 'active',
        file: 'enabled',
        restarts: 3,
        result: 'success',
        job: false,
      },
      {
        unit: 'shutdown.target',
        load: 'loaded',
        active: 'inactive',
        file: 'static',
        restarts: 0,
        result: '',
        job: true,
      },
    ],
  });
  assert.deepEqual(asked.slice(-3), ['--', 'pveproxy.service', 'shutdown.target']);
  await assert.rejects(facts.units(['--all'], never), /no name of a unit/);
});

test('systemd that does not answer is not one that says no', async (t) => {
  const broken = host(t, {}, says('', 1), says('NTP=yes\n')).facts;
  for (const answer of [await broken.units(['a.service'], never), await broken.clockSynchronised(never)]) {
    assert.equal(answer.is, 'unknown');
    assert.equal(answer.why.code, 'host.not-told');
  }
  const rejecting = host(t, {}, () => Promise.reject(new Error('did not end'))).facts;
  assert.equal((await rejecting.units(['a.service'], never)).is, 'unknown');
  for (const [said, want] of [
    ['yes', true],
    ['no', false],
  ] as const)
    assert.deepEqual(await host(t, {}, says(''), says(`NTPSynchronized=${said}\n`)).facts.clockSynchronised(never), {
      is: 'done',
      value: want,
    });
});

test('a restart is due for what came since the host is up, and for nothing else', async (t) => {
  const due = async (files: Record<string, string>): Promise<string | undefined> => {
    const { facts } = host(t, { 'proc/sys/kernel/osrelease': '6.8.12-9-pve\n', ...files });
    const answer = await facts.rebootPending(never);
    return answer.is === 'done' ? answer.value : answer.why.text;
  };
  const long = { 'proc/uptime': '1000000 1\n' };
  assert.equal(await due({}), undefined);
  assert.equal(await due({ ...long, 'boot/vmlinuz-6.8.12-9-pve': '' }), undefined);
  assert.match((await due({ ...long, 'boot/vmlinuz-6.8.12-10-pve': '' })) ?? '', /6\.8\.12-10-pve is installed/);
  // ctime cannot be set, so the machine comes up in a while instead: the kernel was there and was not chosen.
  assert.equal(await due({ 'proc/uptime': '-3600 1\n', 'boot/vmlinuz-6.8.12-10-pve': '' }), undefined);
  assert.equal(await due({ 'run/reboot-required': '' }), 'a package asked for it');
});

test('a sensor that hangs costs one thread, however often the host is looked at', async (t) => {
  const { facts, at } = host(
    t,
    { 'proc/loadavg': '1.00 1 1\n', 'sys/class/hwmon/hwmon0/.keep': '' },
    undefined,
    undefined,
    20,
  );
  const pipe = at('sys/class/hwmon/hwmon0/temp1_input');
  execFileSync('mkfifo', [pipe]);
  // Nothing can be opened for reading before there is a writer: so does a read that waits for a dead disk.
  for (let look = 0; look < 6; look += 1) {
    const sample = await facts.sample(never);
    assert.deepEqual([sample.load1, sample.hottestC], [1, undefined]);
  }
  writeFileSync(pipe, '50000\n');
  rmSync(pipe);
  writeFileSync(pipe, '51000\n');
  // The answer that came late is taken by nobody; the next look is a new one.
  for (let look = 0; look < 100; look += 1) if ((await facts.sample(never)).hottestC !== undefined) return;
  assert.fail('the sensor is not asked again');
});

test('what a unit may reach, as systemd prints it', async (t) => {
  const text = 'IPAddressAllow=127.0.0.1/32 198.41.192.0/24 2606:4700:a0::/48\n';
  const fence = await host(t, {}, says(text)).facts.fence('felhom-cloudflared.service', never);
  assert.deepEqual(fence.is === 'done' && fence.value.allowed, [
    '127.0.0.1/32',
    '198.41.192.0/24',
    '2606:4700:a0::/48',
  ]);
  assert.ok(fence.is === 'done' && !fence.value.own.includes('127.0.0.1'));
  const none = await host(t, {}, says('IPAddressAllow=\n')).facts.fence('felhom-cloudflared.service', never);
  assert.deepEqual(none.is === 'done' && none.value.allowed, []);
});

test('pools of ZFS and their state, from the kernel alone; no noise where there are none', async (t) => {
  const proc = mkdtempSync(join(tmpdir(), 'felhom-zfs-'));
  t.after(() => rmSync(proc, { recursive: true }));
  assert.deepEqual([...(await readZfsStates(proc))], []);
  const base = join(proc, 'spl/kstat/zfs');
  for (const [name, state] of [
    ['rpool', 'ONLINE\n'],
    ['tank', 'DEGRADED\n'],
    ['odd', 'what?\n'],
  ] as const) {
    mkdirSync(join(base, name), { recursive: true });
    writeFileSync(join(base, name, 'state'), state);
  }
  mkdirSync(join(base, 'empty'));
  writeFileSync(join(base, 'arcstats'), 'c 4 1\n');
  assert.deepEqual(
    [...(await readZfsStates(proc))],
    [
      ['rpool', 'ONLINE'],
      ['tank', 'DEGRADED'],
    ],
  );
});
