/** Restore-tests on a node with real semantics and a scripted witness: every fault is caught for its own reason, and nothing stays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crashPointsOf, restoreTest, sweepScratch } from '@felhom/agent';
import type { BackupRecord, CrashPoint } from '@felhom/agent';
import { digestOfManifest } from '@felhom/protocol';
import type { Digest } from '@felhom/protocol';
import { fileMember } from '../fake-pve/storage/index.ts';
import type { Member, PlacedArchive } from '../fake-pve/storage/index.ts';
import {
  beat,
  booted,
  config,
  createBench,
  data,
  emptyMount,
  hourMs,
  id,
  manifest,
  photo,
  root,
  runTest,
  said,
  startsOf,
  well,
  whole,
} from './restore-test-bench.ts';
import type { Bench, BenchOptions } from './restore-test-bench.ts';
import { startAt } from './sim-world.ts';

test('a good backup is proven, with its timings, in evidence that the host signed', async () => {
  const bench = await createBench();
  const record = await bench.backUp({ config: config(), files: whole });
  const evidence = await runTest(bench, record);
  assert.equal(said(evidence), 'passed proven', evidence.text);
  assert.deepEqual(evidence.content, { volumes: 2, files: 2, mismatches: 0 });
  const { checkMs, restoreMs, bootMs, healthyMs, contentMs } = evidence.timings;
  for (const ms of [checkMs, restoreMs, bootMs, healthyMs, contentMs]) assert.ok(ms !== undefined && ms >= 0);
  const after = bench.boot();
  const proven = after.catalogue.byId(id)?.proven;
  assert.equal(proven?.rtoMs, (restoreMs ?? 0) + (bootMs ?? 0));
  const [entry] = after.needs.evidence.newest();
  assert.equal(proven?.evidence, entry?.digest);
});

const fromMembers = (members: readonly Member[]): readonly Member[] => [
  fileMember('./etc/vzdump/pct.conf', config()),
  ...members,
];
const planted = (line: string): PlacedArchive => ({
  config: '',
  // GNU tar unpacks both, the first one stays; reading the config finds only the second [R7].
  rawMembers: [fileMember('etc/vzdump/pct.conf', config(line)), ...fromMembers(whole)],
});
const manifestOnly = { digest: digestOfManifest(manifest), files: 5, bytes: 1000, at: startAt };

interface Fault {
  readonly name: string;
  readonly archive?: PlacedArchive;
  readonly record?: Partial<BackupRecord>;
  readonly bench?: BenchOptions;
  readonly after?: (bench: Bench, record: BackupRecord) => void | Promise<void>;
  readonly want: string;
  readonly text: RegExp;
  readonly neverStarted?: true;
}

const good: PlacedArchive = { config: config(), files: whole };
const noManifest: Partial<BackupRecord> = { manifest: undefined };
const pathOf = (bench: Bench, { archive }: BackupRecord): string =>
  bench.node.storage.archives.volidPath(archive) ?? '';

const faults: readonly Fault[] = [
  {
    name: 'an archive whose bytes rotted',
    after: (bench, record) => bench.disk.damageArchive(pathOf(bench, record)),
    want: 'failed corrupt guest.backup-changed',
    text: /bytes are not those/,
    neverStarted: true,
  },
  {
    name: 'a truncated archive',
    after: async (bench, record) => {
      const members = [...fromMembers(whole)];
      await bench.clock.runUntil(
        bench.disk.writeArchive(pathOf(bench, record), members, 'zstd', Math.floor(record.sizeBytes / 2)),
      );
    },
    want: 'failed corrupt guest.archive-corrupt',
    text: /truncated/,
    neverStarted: true,
  },
  {
    name: 'an archive that was damaged already when it was taken',
    archive: { config: '', rawMembers: [...fromMembers(whole)] },
    record: { sha256: 'x' as Digest },
    after: (bench, record) => bench.disk.damageArchive(pathOf(bench, record)),
    want: 'failed corrupt guest.archive-corrupt',
    text: /cannot be unpacked/,
    neverStarted: true,
  },
  {
    name: 'an archive that is gone',
    after: (bench, record) => void bench.disk.removeFile(pathOf(bench, record)),
    want: 'failed corrupt guest.backup-absent',
    text: /is gone/,
    neverStarted: true,
  },
  {
    name: 'an archive without the mount point',
    archive: { config: config(), files: root },
    want: 'failed damaged restore-test.damaged',
    text: /^1 volume is empty or not there$/,
  },
  {
    name: 'an empty mount',
    archive: { config: config(), files: [...root, emptyMount] },
    want: 'failed damaged restore-test.damaged',
    text: /^1 volume is empty or not there$/,
  },
  {
    name: 'a truncated data file',
    archive: { config: config(), files: [...root, ...data(photo.slice(0, 100))] },
    want: 'failed damaged restore-test.damaged',
    text: /^1 file is not the same$/,
  },
  {
    name: 'a mount that is left out on purpose and said so',
    archive: { config: config(), files: root },
    record: { risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: ['/data'], devices: false } },
    want: 'passed proven',
    text: /^$/,
  },
  {
    name: 'a unit in a crash loop, faster than any look',
    bench: { loops: 'photos.service' },
    want: 'failed booted restore-test.unwell',
    text: /in a crash loop: photos\.service/,
  },
  {
    name: 'a check inside that fails',
    bench: { script: (ms, at) => ({ ...well(ms, at), ...(ms < 20_000 ? {} : { facts: [beat(at), 'no.web'] }) }) },
    want: 'failed booted restore-test.unwell',
    text: /checks that fail: web/,
  },
  {
    name: 'a witness that says nothing',
    bench: { script: (ms) => (ms < 20_000 ? {} : { units: booted }) },
    want: 'unproven booted restore-test.unproven',
    text: /the witness inside says nothing/,
  },
  {
    name: 'a guest that never becomes ready',
    bench: { script: () => ({}) },
    want: 'failed restored restore-test.not-booted',
    text: /ready marker/,
  },
  {
    name: 'a guest that Proxmox cannot start',
    bench: { startsFail: true },
    want: 'failed restored restore-test.not-booted',
    text: /cannot start guest/,
  },
  {
    name: 'a guest that goes down again',
    bench: { script: (ms, at) => (ms < 40_000 ? well(ms, at) : undefined) },
    want: 'failed restored restore-test.not-booted',
    text: /does not run/,
  },
  {
    name: 'no manifest',
    record: noManifest,
    want: 'unproven healthy restore-test.unproven',
    text: /no content manifest/,
  },
  {
    name: 'data that is as declared and nothing like the backup before',
    record: { massChange: true },
    want: 'unproven healthy restore-test.unproven',
    text: /differs so much/,
  },
  {
    name: 'a hookscript in the archive',
    archive: { config: config('hookscript: local:snippets/x.sh'), files: whole },
    want: 'failed refused guest.archive-refused',
    text: /hookscript/,
    neverStarted: true,
  },
  {
    name: 'a device in the archive of a guest that had none',
    archive: { config: config('dev0: /dev/sda'), files: whole },
    want: 'failed refused guest.archive-refused',
    text: /dev0/,
    neverStarted: true,
  },
  {
    name: 'a device hidden in an archive of two members',
    archive: planted('dev0: /dev/sda'),
    want: 'failed refused guest.archive-refused',
    text: /never started: dev0/,
    neverStarted: true,
  },
  {
    name: 'a hookscript hidden in an archive of two members',
    archive: planted('hookscript: local:snippets/x.sh'),
    want: 'failed refused guest.archive-refused',
    text: /never started: hookscript/,
    neverStarted: true,
  },
  {
    name: 'a guest that has hardware by right',
    archive: { config: config('dev0: /dev/ttyUSB0'), files: whole },
    record: { risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: true } },
    want: 'unproven restored restore-test.unproven',
    text: /not started/,
    neverStarted: true,
  },
];

for (const fault of faults)
  test(`caught: ${fault.name}`, async () => {
    const bench = await createBench(fault.bench);
    const taken = await bench.backUp(fault.archive ?? good, { manifest: manifestOnly });
    let record: BackupRecord = { ...taken, ...fault.record };
    if (fault.record !== undefined && 'manifest' in fault.record) {
      const { manifest: _none, ...rest } = record;
      record = rest;
    }
    await fault.after?.(bench, record);
    if (fault.record?.sha256 !== undefined) {
      const read = await bench.clock.runUntil(
        bench.helper.answer({ v: 1, verb: 'archive-digest', archive: record.archive }),
      );
      if (read.is === 'done' && read.archive !== undefined) record = { ...record, sha256: read.archive.sha256 };
    }
    const evidence = await runTest(bench, record);
    assert.equal(said(evidence), fault.want, evidence.text);
    assert.match(evidence.text, fault.text);
    if (fault.neverStarted === true) assert.deepEqual(startsOf(bench), [], 'it was started');
    const kept = bench.boot().catalogue.byId(id);
    assert.equal(kept?.failedTest !== undefined, evidence.verdict === 'failed');
    assert.equal(kept?.proven !== undefined, evidence.verdict === 'passed');
  });

test('the scratch guest is cut off, capped and not started at boot, in the one call that makes it', async () => {
  const bench = await createBench();
  const record = await bench.backUp({ config: config(), files: whole });
  const life = bench.boot((point) => point === 'restore-test/audit/run/before-intent');
  life.catalogue.put(record);
  const end = await bench.clock.runUntil(
    life.runner.start(restoreTest, bench.paramsOf(record), life.needs).ended,
    hourMs,
  );
  assert.equal(end.is, 'left-open');
  const text = bench.host.rawConfig(bench.policy.vmids.scratch.from) ?? '';
  for (const line of [
    /^cores: 1$/m,
    /^memory: 1024$/m,
    /^swap: 0$/m,
    /^onboot: 0$/m,
    /^hostname: restore-test$/m,
    /^rootfs: guests:\S+,size=3G$/m,
  ])
    assert.match(text, line);
  assert.match(text, /^net0: .*link_down=1/m);
  assert.match(text, /FELHOM_IDENTITY=test/);
  assert.doesNotMatch(text, /BC:24:11:00:00:09|^mp\d|ip=dhcp/m);
});

const crashes: readonly CrashPoint[] = crashPointsOf(restoreTest).filter((point) =>
  /\/(?:restore|register|start|content|teardown|record)\/run\/(?:after-intent|effect-done|handle-written|before-outcome)$/.test(
    point,
  ),
);
test('crashes are taken at places that exist', () => {
  assert.ok(crashes.length >= 20, `${crashes.length}`);
});

for (const point of [
  ...crashes,
  'restore-test/check/run/before-outcome',
  'restore-test/watch/run/before-outcome',
] as const)
  test(`the power goes at ${point}: it is finished and nothing is left`, async () => {
    const bench = await createBench();
    const record = await bench.backUp({ config: config(), files: whole });
    const first = bench.boot((at, nth) => at === point && nth === 1);
    first.catalogue.put(record);
    await bench.clock.runUntil(first.runner.start(restoreTest, bench.paramsOf(record), first.needs).ended, hourMs);
    const second = bench.boot();
    for (const saga of second.recovered) {
      const end = await bench.clock.runUntil(saga.ended, hourMs);
      assert.equal(end.is, 'completed', JSON.stringify(end));
    }
    bench.nothingLeft(second);
    const tests = second.evidence.all();
    assert.deepEqual(
      tests.map(({ evidence }) => said(evidence)),
      ['passed proven'],
    );
    assert.equal(second.journal.facts('audit-chain', 100).length, 1, 'it is on the audit log once');
  });

const deaths = [
  { type: 'vzrestore', atLine: /merging/, want: 'unwound' },
  { type: 'vzstart', want: 'completed' },
  { type: 'vzstop', want: 'completed' },
  { type: 'vzdestroy', want: 'completed' },
] as const;
for (const { type, want, ...trap } of deaths)
  test(`the worker of a ${type} is killed: nothing is left`, async () => {
    const bench = await createBench();
    const record = await bench.backUp({ config: config(), files: whole });
    const life = bench.boot();
    life.catalogue.put(record);
    bench.node.tasks.trap({ type, action: 'kill', ...trap });
    const { ended } = life.runner.start(restoreTest, bench.paramsOf(record), life.needs);
    const end = await bench.clock.runUntil(ended, 3 * hourMs);
    assert.equal(end.is, want, JSON.stringify(end));
    bench.nothingLeft(life);
    const tests = life.evidence.all().map(({ evidence }) => evidence.verdict);
    // A worker that dies says nothing about the backup.
    assert.deepEqual(tests, want === 'unwound' ? [] : ['passed']);
    assert.equal(life.catalogue.byId(id)?.failedTest, undefined);
  });

test('a scratch storage that runs full is no failure of the backup', async () => {
  const bench = await createBench();
  const record = await bench.backUp({ config: config().replace('size=2G', 'size=2000G'), files: whole });
  const evidence = await runTest(bench, record);
  assert.equal(said(evidence), 'skipped failed restore-test.no-room', evidence.text);
  const kept = bench.boot().catalogue.byId(id);
  assert.equal(kept?.failedTest ?? kept?.proven, undefined);
});

test('a backup that is not on record is not tested', async () => {
  const bench = await createBench();
  const record = await bench.backUp(good);
  const life = bench.boot();
  const { ended } = life.runner.start(restoreTest, bench.paramsOf(record), life.needs);
  const end = await bench.clock.runUntil(ended, hourMs);
  assert.equal(end.is, 'unwound');
  bench.nothingLeft(life);
});

/** A test that somebody abandoned while its guest ran. */
async function leftover() {
  const bench = await createBench();
  const record = await bench.backUp({ config: config(), files: whole });
  const life = bench.boot();
  life.catalogue.put(record);
  const { id: saga } = life.runner.start(restoreTest, bench.paramsOf(record), life.needs);
  const [left] = await bench.clock.runUntil(untilThere(bench, life), hourMs);
  await bench.clock.runUntil(life.runner.park(saga, 'test'), hourMs);
  life.runner.abandon(saga, 'test');
  assert.ok(left);
  const params = { guest: { uid: left.uid, incarnation: left.incarnation, name: left.name } };
  const sweep = () => bench.clock.runUntil(life.runner.start(sweepScratch, params, life.needs).ended, hourMs);
  return { bench, life, left, sweep };
}

async function untilThere(bench: Bench, life: ReturnType<Bench['boot']>) {
  for (;;) {
    const [record] = life.registry.all();
    if (record !== undefined && bench.node.guests.isRunning(record.vmid)) return [record];
    await bench.clock.sleep(500);
  }
}

test('a leftover on record is swept, running or not', async () => {
  const { bench, life, sweep } = await leftover();
  const end = await sweep();
  assert.equal(end.is, 'completed', JSON.stringify(end));
  bench.nothingLeft(life);
});

test('what stands in the place of a leftover and does not show its marker is not touched', async () => {
  const { bench, life, left, sweep } = await leftover();
  const text = bench.host.rawConfig(left.vmid) ?? '';
  bench.host.setRawConfig(left.vmid, text.replace(/felhom%3A\S+|felhom:\S+/, 'somebody else'));
  const before = bench.node.storage.volumesOf(left.vmid).length;
  await sweep();
  assert.equal(bench.node.guests.isRunning(left.vmid), true);
  assert.equal(bench.node.storage.volumesOf(left.vmid).length, before);
  assert.deepEqual(life.journal.openSagas(), []);
});

test('a guest that is not on record as scratch is never swept', async () => {
  const { bench, life, left, sweep } = await leftover();
  life.registry.put({ ...left, scratch: false });
  const end = await sweep();
  assert.equal(end.is, 'unwound');
  assert.equal(bench.node.guests.isRunning(left.vmid), true);
});

/** Another storage of this name: a PBS with a key. */
async function pbsBench(): Promise<Bench> {
  const bench = await createBench({ storage: 'offsite' });
  const asRoot = async (method: 'POST' | 'PUT' | 'DELETE', path: string, params: Record<string, unknown>) => {
    const answer = await bench.clock.runUntil(bench.node.handle({ method, path, params, as: 'root@pam' }));
    assert.equal(answer.status, 200, answer.reason);
  };
  bench.node.storage.hardware.add({ id: 'pbs:vault/ds', capacityBytes: 2 ** 40 });
  await asRoot('DELETE', '/storage/offsite', {});
  const pbs = { storage: 'offsite', type: 'pbs', server: 'vault', datastore: 'ds', content: 'backup' };
  await asRoot('POST', '/storage', { ...pbs, username: 'a@pbs', password: 'x', 'encryption-key': keyFile('aa') });
  // What was granted on the storage of before went with it.
  const [users] = bench.tokenId.split('!');
  await asRoot('PUT', '/access/acl', { path: '/storage/offsite', roles: 'PVEDatastoreUser', users });
  return bench;
}

const keyFile = (pair: string): string =>
  JSON.stringify({ kdf: null, data: '', fingerprint: Array.from({ length: 32 }, () => pair).join(':') });

for (const [name, key, want] of [
  ['the key that it was made with', 'aa', 'passed proven'],
  ['another key', 'bb', 'failed corrupt restore-test.wrong-key'],
] as const)
  test(`an encrypted backup and ${name}`, async () => {
    const bench = await pbsBench();
    const taken = await bench.backUp(good);
    const { encrypted } = bench.node.storage.archives.list('offsite')[0] ?? {};
    assert.ok(encrypted?.startsWith('aa:'));
    const changed = bench.node.handle({
      method: 'PUT',
      path: '/storage/offsite',
      params: { 'encryption-key': keyFile(key) },
      as: 'root@pam',
    });
    assert.equal((await bench.clock.runUntil(changed)).status, 200);
    const evidence = await runTest(bench, { ...taken, encrypted });
    assert.equal(said(evidence), want, evidence.text);
    if (key === 'bb') assert.match(evidence.text, /the key of the storage does not open it: it was made with key aa:/);
  });
