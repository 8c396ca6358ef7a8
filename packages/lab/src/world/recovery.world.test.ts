/**
 * A guest is destroyed behind the agent's back, on a whole node: real archives, real volumes. What came back is read from
 * the node: its config, and the bytes under its volumes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  crashPointsOf,
  createCatalogue,
  createFence,
  createGuestRegistry,
  createLanes,
  createPveClient,
  createRecoveryStore,
  createRegistry,
  createRunner,
  createVmidClaims,
  lookForUnseen,
  noCrashPoints,
  noLooks,
  planRecovery,
  recoverGuest,
} from '@felhom/agent';
import type {
  AnySaga,
  BackupRecord,
  CrashPoint,
  GuestRecord,
  LossMemory,
  RecoverNeeds,
  RecoverParams,
  SagaEnd,
} from '@felhom/agent';
import { desiredGuest, digest } from '@felhom/protocol';
import type { DesiredGuest, VolumeId } from '@felhom/protocol';
import { fileMember } from '../fake-pve/storage/index.ts';
import { labGuest } from './desired.ts';
import { createSimWorld, helperPort, sendTo } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const never = new AbortController().signal;
const saga: AnySaga = recoverGuest;
const wanted: DesiredGuest = desiredGuest.parse(labGuest('photos', { tags: ['family'] }));
const names = ['rootfs', 'data', 'photos'] as const;
type VolumeName = (typeof names)[number];

interface Scene {
  readonly world: SimWorld;
  readonly needs: RecoverNeeds;
  readonly record: () => GuestRecord;
  readonly catalogue: ReturnType<typeof createCatalogue>;
  readonly recoveries: ReturnType<typeof createRecoveryStore>;
  asRoot(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params?: Record<string, unknown>): Promise<unknown>;
  write(volid: VolumeId, text: string): Promise<void>;
  read(volid: VolumeId): Promise<string | undefined>;
  config(vmid: number): Readonly<Record<string, string>>;
  /** Runs the saga to its end; with `crashAt` the process dies there once, and a second one takes up what it left. */
  run(params: RecoverParams, crashAt?: CrashPoint): Promise<{ readonly end: SagaEnd; readonly died: boolean }>;
}

async function scene(seed: number): Promise<Scene> {
  const world = await createSimWorld({ seed });
  world.hub.publish([labGuest('photos', { tags: ['family'] })]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  await world.clock.runUntil(agent.stop());
  world.cut();
  const journal = world.disk();
  const registry = createGuestRegistry(journal);
  const pve = createPveClient({
    transport: { send: (request, signal) => sendTo(world, request, signal), close: () => Promise.resolve() },
    node: world.node.name,
    token: world.token,
    clock: world.clock,
  });
  const catalogue = createCatalogue(journal);
  const recoveries = createRecoveryStore(journal);
  const needs: RecoverNeeds = {
    reader: pve.reader,
    writer: pve.writer,
    destroyer: pve.destroyer,
    tasks: pve.tasks,
    stores: pve.stores,
    node: pve.facts,
    helper: helperPort(world, new AbortController().signal),
    registry,
    claims: createVmidClaims([], () => false),
    policy: () => world.policy,
    tokenId: world.tokenId,
    catalogue,
    recoveries,
    desiredOf: (name) => (name === 'photos' ? wanted : undefined),
    issuing: {
      claims: { mint: () => '', forget: () => {}, lookedAtEnv: () => {} },
      supportsEnv: () => false,
      contact: () => undefined,
    },
  };
  const runner = (crashAt: CrashPoint | undefined, died: () => void) => {
    let armed = true;
    return createRunner({
      journal,
      clock: world.clock,
      random: world.random.fork(`runner ${world.clock.now()}`),
      fence: createFence(journal, world.clock),
      lanes: createLanes(world.clock),
      registry: createRegistry([recoverGuest]),
      crashPoints:
        crashAt === undefined
          ? noCrashPoints
          : {
              reached: (point) => {
                if (!armed || point !== crashAt) return;
                armed = false;
                died();
                throw new Error('power is off');
              },
            },
    });
  };
  const diskOf = (volid: string): string => world.node.storage.volumeDiskPath(volid);
  return {
    world,
    needs,
    catalogue,
    recoveries,
    record: () => registry.all().find(({ name }) => name === 'photos') ?? assert.fail('photos is not on record'),
    async asRoot(method, path, params = {}) {
      const answer = await world.clock.runUntil(world.node.handle({ method, path, params, as: 'root@pam' }));
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.reason}`);
      return (answer.body as { readonly data: unknown }).data;
    },
    write: (volid, text) =>
      world.node.storage.disk.writeTree(diskOf(volid), [fileMember('./note', text)], { skipExisting: false }),
    async read(volid) {
      const tree = await world.node.storage.disk.readTree(diskOf(volid));
      const found = tree.find(({ name }) => name === './note');
      return found === undefined ? undefined : new TextDecoder().decode(found.content);
    },
    config(vmid) {
      const lines = (world.host.rawConfig(vmid) ?? '').split('\n').filter((line) => /^\w+: /.test(line));
      return Object.fromEntries(
        lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
    },
    async run(params, crashAt) {
      let died = false;
      const { ended } = runner(crashAt, () => (died = true)).start(saga, params, needs);
      const first = await world.clock.runUntil(ended, 7_200_000);
      if (!died) return { end: first, died };
      const [recovered] = runner(undefined, () => undefined).resumeAll(() => needs);
      const end = recovered === undefined ? first : await world.clock.runUntil(recovered.ended, 7_200_000);
      return { end, died };
    },
  };
}

const volidOf = (record: GuestRecord, name: VolumeName): VolumeId =>
  record.volumes.find((volume) => volume.name === name)?.volid ?? assert.fail(`no volume ${name}`);

/** As the catalogue has a backup that a restore-test has proven. */
async function backUp(scene: Scene, storage: 'backup' | 'offsite', id: string): Promise<BackupRecord> {
  const { world, needs, catalogue } = scene;
  const guest = scene.record();
  const before = new Set(await archivesOn(scene, storage, guest.vmid));
  await scene.asRoot('POST', `/nodes/${world.node.name}/vzdump`, {
    vmid: guest.vmid,
    storage,
    mode: 'stop',
    compress: 'zstd',
    remove: 0,
  });
  await world.until(() => world.node.tasks.running().length === 0, 600_000);
  const archive = (await archivesOn(scene, storage, guest.vmid)).find((volid) => !before.has(volid));
  assert.ok(archive !== undefined, 'the backup is not listed');
  const read = await needs.helper.archiveDigest(archive, never);
  assert.ok(read.is === 'done');
  const now = world.clock.now();
  const record: BackupRecord = {
    id: id.padEnd(16, 'a'),
    guest: guest.uid,
    incarnation: guest.incarnation,
    vmid: guest.vmid,
    tier: storage === 'backup' ? 'local' : 'offsite',
    storage: storage as BackupRecord['storage'],
    archive,
    class: 'scheduled',
    consistency: 'crash',
    mode: 'stop',
    startedAt: now,
    takenAt: now,
    sizeBytes: read.value.sizeBytes,
    sha256: read.value.sha256,
    protected: false,
    warnings: [],
    risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: ['/srv/photos'], devices: false },
    massChange: false,
    proven: { at: now, evidence: digest.parse('0'.repeat(64)), rtoMs: 60_000 },
  };
  catalogue.put(record);
  return record;
}

async function archivesOn(scene: Scene, storage: string, vmid: number): Promise<readonly VolumeId[]> {
  const path = `/nodes/${scene.world.node.name}/storage/${storage}/content`;
  const listed = (await scene.asRoot('GET', path, { content: 'backup', vmid })) as readonly {
    readonly volid: VolumeId;
  }[];
  return listed.map(({ volid }) => volid);
}

/** Each volume holds `<name> then` in the backup, and `<name> now` afterwards. */
async function served(seed: number): Promise<{ readonly on: Scene; readonly backup: BackupRecord }> {
  const on = await scene(seed);
  for (const name of names) await on.write(volidOf(on.record(), name), `${name} then`);
  const backup = await backUp(on, 'backup', 'fast');
  for (const name of names) await on.write(volidOf(on.record(), name), `${name} now`);
  return { on, backup };
}

/** Config and volumes go without a task, as if the disk under them had died. */
async function lose(on: Scene, lost: readonly VolumeName[] = ['rootfs', 'data']): Promise<GuestRecord> {
  const record = on.record();
  await on.world.clock.runUntil(on.world.node.guests.stop(record.vmid));
  on.world.host.removeConfig(record.vmid);
  for (const name of lost) await on.world.host.freeVolume(volidOf(record, name));
  return record;
}

const paramsOf = (record: GuestRecord, { tier, archive, sha256 }: BackupRecord) => ({
  guest: { uid: record.uid, incarnation: record.incarnation, name: record.name },
  tier,
  backup: { archive, sha256 },
});

const factsOf = (on: Scene, memory: LossMemory) => ({
  now: on.world.clock.now(),
  policy: on.world.policy,
  registry: on.needs.registry.all(),
  desired: [wanted],
  memory,
  permissionsSound: true,
  catalogue: on.catalogue.all(),
  recoveries: on.recoveries.all(),
  inFlight: new Set<string>(),
  removing: new Set<string>(),
});

const volumesUnder = (on: Scene, vmid: number): readonly string[] =>
  on.world.node.storage.volumesOf(vmid).map(({ volid }) => volid);

test('a lost guest comes back as the same guest, with what was backed up, and with its bulk untouched', async () => {
  const { on, backup } = await served(1);
  const before = on.config(on.record().vmid);
  const old = await lose(on);
  const { end } = await on.run(paramsOf(old, backup));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const now = on.record();
  assert.notEqual(now.vmid, old.vmid);
  assert.deepEqual([now.uid, now.incarnation, now.servedAt], [old.uid, old.incarnation + 1, old.servedAt]);
  assert.deepEqual(await Promise.all(names.map((name) => on.read(volidOf(now, name)))), [
    'rootfs then',
    'data then',
    'photos now',
  ]);
  assert.equal(volidOf(now, 'photos'), volidOf(old, 'photos'), 'it lies where it lay');
  assert.deepEqual(
    now.volumes.map(({ name, carriedOver }) => [name, carriedOver]),
    [
      ['rootfs', false],
      ['data', false],
      ['photos', true],
    ],
  );
  const after = on.config(now.vmid);
  for (const key of ['hostname', 'memory', 'cores', 'net0', 'tags', 'onboot', 'features', 'unprivileged'])
    assert.equal(after[key], before[key], key);
  assert.equal(after['env'], 'FELHOM_IDENTITY=continue');
  assert.match(after['mp0'] ?? '', /^guests:vm-\d+-disk-\d+,.*mp=\/srv\/data/);
  assert.match(after['mp1'] ?? '', /mp=\/srv\/photos/);
  assert.equal(on.world.node.guests.isRunning(now.vmid), true);
  assert.deepEqual(
    on.catalogue.ofGuest(now.uid).map(({ id }) => id),
    [backup.id],
    'its backups stay its own',
  );
  const [told] = on.recoveries.all();
  assert.deepEqual([told?.from, told?.to, told?.emptied], [old.vmid, now.vmid, []]);
});

test('bulk that went too comes back empty, and that is said loudly', async () => {
  const { on, backup } = await served(2);
  const old = await lose(on, names);
  const { end } = await on.run(paramsOf(old, backup));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const now = on.record();
  assert.equal(await on.read(volidOf(now, 'photos')), undefined);
  assert.equal(now.volumes.find(({ name }) => name === 'photos')?.sizeGiB, 4);
  const { findings } = planRecovery(factsOf(on, noLooks));
  const loud = findings.find(({ key }) => key === 'recovery.bulk-lost');
  assert.match(loud?.text ?? '', /\/srv\/photos/);
  assert.equal(loud?.severity, 'critical');
});

test('a corrupt backup is not restored, people hear of it, and the next tier is chosen', async () => {
  const { on, backup } = await served(3);
  await on.world.clock.advance(60_000);
  for (const name of names) await on.write(volidOf(on.record(), name), `${name} then`);
  const second = await backUp(on, 'offsite', 'slow');
  const old = await lose(on);
  const { disk, archives } = on.world.node.storage;
  disk.damageArchive(archives.diskPath('backup', backup.archive.slice(backup.archive.indexOf('/') + 1)));
  const first = await on.run(paramsOf(old, backup));
  assert.ok(first.end.is === 'unwound' && first.end.why.code === 'guest.backup-changed', JSON.stringify(first.end));
  assert.equal(on.catalogue.byId(backup.id)?.integrity?.is, 'corrupt');
  assert.equal(volumesUnder(on, 9001).length, 0);
  let memory = await on.world.clock.runUntil(lookForUnseen(on.needs, on.world.clock, [old], noLooks, never));
  assert.deepEqual(planRecovery(factsOf(on, memory)).effects, [], 'one look is not enough');
  await on.world.clock.advance(61_000);
  memory = await on.world.clock.runUntil(lookForUnseen(on.needs, on.world.clock, [old], memory, never));
  const { effects, findings } = planRecovery(factsOf(on, memory));
  assert.deepEqual(
    effects.map((effect) => [effect.tier, effect.backup.archive]),
    [['offsite', second.archive]],
    JSON.stringify(findings),
  );
  assert.ok(findings.some(({ key }) => key.startsWith('recovery.skipped.')));
  const { end } = await on.run(paramsOf(old, second));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.equal(await on.read(volidOf(on.record(), 'data')), 'data then');
});

test('destroyed through the API by somebody else: an hour of grace, then it comes back though the pool forgot it', async () => {
  const { on, backup } = await served(4);
  const old = on.record();
  await on.asRoot('POST', `/nodes/${on.world.node.name}/lxc/${old.vmid}/status/stop`);
  await on.world.until(() => !on.world.node.guests.isRunning(old.vmid), 60_000);
  await on.asRoot('DELETE', `/nodes/${on.world.node.name}/lxc/${old.vmid}`);
  await on.world.until(() => on.world.node.tasks.running().length === 0, 60_000);
  const look = async (memory: LossMemory): Promise<LossMemory> => {
    await on.world.clock.advance(61_000);
    return on.world.clock.runUntil(lookForUnseen(on.needs, on.world.clock, [old], memory, never));
  };
  let memory = await look(await look(noLooks));
  const early = planRecovery(factsOf(on, memory));
  assert.deepEqual(early.effects, []);
  assert.deepEqual(
    early.findings.map(({ key }) => key),
    ['guest.destroyed-by-others'],
  );
  await on.world.clock.advance(3_600_000);
  memory = await look(await look(memory));
  const [effect] = planRecovery(factsOf(on, memory)).effects;
  assert.ok(effect !== undefined);
  assert.equal(effect.backup.archive, backup.archive);
  const { guest, tier } = effect;
  const { end } = await on.run({ guest, tier, backup: effect.backup });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.equal(await on.read(volidOf(on.record(), 'data')), 'data then');
});

test('what is only not visible, or has its volumes still, is not restored', async () => {
  const { on, backup } = await served(5);
  const old = on.record();
  const refusedBefore = await on.run(paramsOf(old, backup));
  assert.equal(refusedBefore.end.is, 'unwound', 'it is there');
  await lose(on, []);
  const { end } = await on.run(paramsOf(old, backup));
  assert.ok(end.is === 'unwound', JSON.stringify(end));
  assert.equal(on.record().vmid, old.vmid);
  for (const name of names) assert.equal(await on.read(volidOf(old, name)), `${name} now`);
});

test('a guest that does not start is taken back, and its bulk stays where it was', async () => {
  const { on, backup } = await served(6);
  const old = await lose(on);
  const bulk = volidOf(old, 'photos');
  on.world.host.setInit(9001, 'cannot-be-executed');
  const { end } = await on.run(paramsOf(old, backup));
  assert.ok(end.is === 'unwound', JSON.stringify(end));
  assert.deepEqual(volumesUnder(on, 9001), []);
  assert.deepEqual(volumesUnder(on, old.vmid), [bulk]);
  assert.equal(await on.read(bulk), 'photos now');
  assert.equal(on.record().incarnation, old.incarnation);
});

const points = crashPointsOf(recoverGuest);
for (const [at, spoilt] of [false, true].entries())
  test(`wherever the process dies${spoilt ? ' while it does not start' : ''}, it is wholly back or wholly not`, async () => {
    let deaths = 0;
    // Every sixth point, so that it stays short; the crash matrix takes all.
    for (const point of points.filter((_, n) => n % 6 === at * 3)) {
      const { on, backup } = await served(7);
      const old = await lose(on);
      const bulk = volidOf(old, 'photos');
      if (spoilt) on.world.host.setInit(9001, 'cannot-be-executed');
      const { end, died } = await on.run(paramsOf(old, backup), point);
      if (died) deaths++;
      assert.equal(await on.read(bulk), 'photos now', point);
      if (end.is === 'completed') {
        assert.deepEqual(await Promise.all(names.map((name) => on.read(volidOf(on.record(), name)))), [
          'rootfs then',
          'data then',
          'photos now',
        ]);
        continue;
      }
      assert.ok(end.is === 'unwound' || (died && end.is === 'left-open'), `${point}: ${JSON.stringify(end)}`);
      assert.deepEqual(volumesUnder(on, 9001), [], point);
      assert.equal(on.record().vmid, old.vmid);
    }
    assert.ok(deaths > 3, `only ${deaths} deaths`);
  });
