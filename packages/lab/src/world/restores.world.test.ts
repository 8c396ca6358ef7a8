/**
 * Restores that people sign, saga by saga, on a whole node: real archives, real volumes, real hand-overs. What a guest
 * holds is looked up on the disk under its volumes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createCatalogue,
  createFence,
  createGuestRegistry,
  createLanes,
  createPveClient,
  createRegistry,
  createRestoreStore,
  createRunner,
  createVmidClaims,
  finishRestore,
  installPowerSwitch,
  noCrashPoints,
  restoreCopy,
  restoreInPlace,
  restoreOverwrite,
  undoLossOf,
  undoRestore,
} from '@felhom/agent';
import type { AnySaga, CrashPoint, GuestRecord, Journal, PowerSwitch, RestoreNeeds, Transport } from '@felhom/agent';
import { desiredGuest } from '@felhom/protocol';
import type { Digest, VolumeId } from '@felhom/protocol';
import { fileMember } from '../fake-pve/storage/index.ts';
import { labGuest, livingGuest } from './desired.ts';
import type { LabGuest } from './desired.ts';
import { createSimWorld, helperPort, sendTo } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const sagas: readonly AnySaga[] = [restoreOverwrite, undoRestore, finishRestore, restoreCopy, restoreInPlace];

/** A world in which `photos` serves with a rootfs, a volume that is backed up and a bulk volume that is not. */
interface Bench {
  readonly world: SimWorld;
  readonly needs: RestoreNeeds;
  readonly record: () => GuestRecord;
  /** Runs a saga to its end; with `crashAt` the process dies there once, and a second one takes up what it left. */
  run(
    definition: AnySaga,
    params: unknown,
    crashAt?: CrashPoint,
    meanwhile?: () => Promise<void>,
  ): Promise<{ readonly is: string }>;
  asRoot(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params?: Record<string, unknown>): Promise<unknown>;
  write(volume: string, file: string, text: string): Promise<void>;
  read(volume: string, file: string): Promise<string | undefined>;
  config(vmid: number): Readonly<Record<string, string>> | undefined;
  isRunning(vmid: number): boolean;
}

async function bench(seed: number, extra: Partial<LabGuest> = {}): Promise<Bench> {
  const world = await createSimWorld({ seed });
  world.hub.publish([labGuest('photos', extra)]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  await world.clock.runUntil(agent.stop());
  world.cut();
  const journal = world.disk();
  const transport: Transport = {
    send: (request, signal) => sendTo(world, request, signal),
    close: () => Promise.resolve(),
  };
  const pve = createPveClient({ transport, node: world.node.name, token: world.token, clock: world.clock });
  const needsOn = (on: Journal): RestoreNeeds => ({
    reader: pve.reader,
    writer: pve.writer,
    destroyer: pve.destroyer,
    tasks: pve.tasks,
    stores: pve.stores,
    node: pve.facts,
    helper: helperPort(world, new AbortController().signal),
    registry: createGuestRegistry(on),
    claims: createVmidClaims([], (id) => on.openSagas().includes(id)),
    policy: () => world.policy,
    tokenId: world.tokenId,
    backups: pve.backups,
    remover: pve.remover,
    snapshots: pve.snapshots,
    mover: pve.mover,
    witness: { sample: () => Promise.resolve({ is: 'stopped' }), watch: () => undefined },
    catalogue: createCatalogue(on),
    restores: createRestoreStore(on),
    desiredOf: () => desiredGuest.parse(livingGuest('photos')),
    issuing: {
      claims: { mint: () => 's'.repeat(43), forget: () => undefined, lookedAtEnv: () => undefined },
      supportsEnv: () => true,
      contact: () => ({ address: '192.168.1.2:8470', spkiSha256: 'c'.repeat(64) }),
    },
  });
  let lives = 0;
  const boot = (power: Pick<PowerSwitch, 'journal' | 'crashPoints'>) =>
    createRunner({
      journal: power.journal,
      clock: world.clock,
      random: world.random.fork(`life ${(lives += 1)}`),
      fence: createFence(power.journal, world.clock),
      lanes: createLanes(world.clock),
      registry: createRegistry(sagas),
      crashPoints: power.crashPoints,
    });
  const diskOf = (volume: string): string => world.node.storage.volumeDiskPath(volume);
  return {
    world,
    // Read anew: a registry remembers, and every life has its own.
    get needs() {
      return needsOn(journal);
    },
    record: () =>
      needsOn(journal)
        .registry.all()
        .find(({ name }) => name === 'photos') ?? assert.fail('photos is not on record'),
    async run(definition, params, crashAt, meanwhile) {
      const power = installPowerSwitch(journal, (point) => point === crashAt);
      const { ended } = boot(power).start(definition, params, needsOn(power.journal));
      const end = await world.clock.runUntil(ended, 86_400_000);
      if (power.crashedAt === undefined) return end;
      await meanwhile?.();
      const needs = needsOn(journal);
      const [recovered] = boot({ journal, crashPoints: noCrashPoints }).resumeAll(() => needs);
      // It died before anything was on record, or after everything was.
      return recovered === undefined ? { is: 'died' } : world.clock.runUntil(recovered.ended, 86_400_000);
    },
    async asRoot(method, path, params = {}) {
      const answer = await world.clock.runUntil(world.node.handle({ method, path, params, as: 'root@pam' }));
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.reason}`);
      return (answer.body as { readonly data: unknown }).data;
    },
    write: (volume, file, text) =>
      world.node.storage.disk.writeTree(diskOf(volume), [fileMember(`./${file}`, text)], { skipExisting: false }),
    async read(volume, file) {
      const tree = await world.node.storage.disk.readTree(diskOf(volume));
      const found = tree.find(({ name }) => name === `./${file}`);
      return found === undefined ? undefined : new TextDecoder().decode(found.content);
    },
    config(vmid) {
      const text = world.host.rawConfig(vmid);
      if (text === undefined) return undefined;
      return Object.fromEntries(
        text
          .split('\n')
          .filter((line) => /^\w+: /.test(line))
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
    },
    isRunning: (vmid) => world.node.guests.isRunning(vmid),
  };
}

const volumeOf = (record: GuestRecord, name: string): VolumeId =>
  record.volumes.find((volume) => volume.name === name)?.volid ?? assert.fail(`no volume ${name}`);

/** The guest as it is to come back, and its backup: `then` in each volume; afterwards `now` is written over it. */
interface Bytes {
  readonly archive: VolumeId;
  readonly sha256: Digest;
}

async function backedUp(scene: Bench): Promise<Bytes> {
  const record = scene.record();
  const names = record.volumes.map(({ name }) => name);
  for (const name of names) await scene.write(volumeOf(record, name), 'srv-note', `${name} then`);
  await scene.asRoot('POST', `/nodes/${scene.world.node.name}/vzdump`, {
    vmid: record.vmid,
    storage: 'backup',
    mode: 'stop',
    compress: 'zstd',
    remove: 0,
  });
  await scene.world.until(() => scene.world.node.tasks.running().length === 0, 600_000);
  for (const name of names) await scene.write(volumeOf(record, name), 'srv-note', `${name} now`);
  const listed = (await scene.asRoot('GET', `/nodes/${scene.world.node.name}/storage/backup/content`, {
    content: 'backup',
    vmid: record.vmid,
  })) as { readonly volid: VolumeId; readonly size: number }[];
  const [item] = listed;
  assert.ok(item !== undefined, 'the backup is not listed');
  const digest = await scene.needs.helper.archiveDigest(item.volid, new AbortController().signal);
  assert.ok(digest.is === 'done');
  return { archive: item.volid, sha256: digest.value.sha256 };
}

function overwriteParams(scene: Bench, backup: Bytes) {
  const record = scene.record();
  const bulk = record.volumes.filter(({ name }) => name === 'photos').map(({ volid }) => volid);
  return {
    guest: { uid: record.uid, incarnation: record.incarnation, name: record.name },
    backup,
    bulk,
    loss: record.volumes.map(({ volid }) => volid).filter((volid) => !bulk.includes(volid)),
    undoHours: 72,
    jobId: 'job-1',
  };
}

const volumesOf = (scene: Bench, vmid: number): readonly string[] =>
  scene.world.node.storage
    .volumesOf(vmid)
    .map(({ volid }) => volid)
    .toSorted();

const noteOf = (scene: Bench, record: GuestRecord, name: string): Promise<string | undefined> =>
  scene.read(volumeOf(record, name), 'srv-note');

test('over a guest: what was backed up comes back, bulk stays, and the old guest waits, stopped and cut off', async () => {
  const scene = await bench(1);
  const old = scene.record();
  const mac = /hwaddr=([^,]+)/.exec(scene.config(old.vmid)?.['net0'] ?? '')?.[1];
  const backup = await backedUp(scene);
  // A spent claim is dropped while the guest runs, so that its env waits for a restart.
  await scene.asRoot('PUT', `/nodes/${scene.world.node.name}/lxc/${old.vmid}/config`, {
    env: 'FELHOM_IDENTITY=continue',
  });
  const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const now = scene.record();
  assert.notEqual(now.vmid, old.vmid);
  assert.equal(now.incarnation, old.incarnation + 1);
  assert.deepEqual(await Promise.all(['rootfs', 'data', 'photos'].map((name) => noteOf(scene, now, name))), [
    'rootfs then',
    'data then',
    'photos now',
  ]);
  const [mine, kept] = [scene.config(now.vmid) ?? {}, scene.config(old.vmid) ?? {}];
  assert.equal(scene.isRunning(now.vmid), true);
  assert.equal(scene.isRunning(old.vmid), false);
  assert.equal(mine['onboot'], '1');
  assert.match(mine['env'] ?? '', /FELHOM_CLAIM=v1,/, 'its old token is dead, so it gets a claim');
  assert.match(mine['net0'] ?? '', new RegExp(`hwaddr=${mac}`));
  assert.doesNotMatch(mine['net0'] ?? '', /link_down/);
  assert.equal(kept['onboot'], '0');
  assert.equal(kept['protection'], '1');
  assert.match(kept['net0'] ?? '', /link_down=1/);
  assert.equal(kept['mp1'], undefined);
  const [restore] = scene.needs.restores.all();
  assert.equal(restore?.state, 'undoable');
  assert.ok((restore?.outageMs ?? 0) > 0);
});

/** Where the guest stands, in one of the words that an ending may have. */
async function standing(scene: Bench, old: GuestRecord): Promise<string> {
  const now = scene.record();
  const { from, to } = scene.world.policy.vmids.guests;
  const others = Array.from({ length: to - from + 1 }, (_, at) => from + at).filter(
    (vmid) => vmid !== now.vmid && (scene.config(vmid) !== undefined || volumesOf(scene, vmid).length > 0),
  );
  const notes = await Promise.all(['rootfs', 'data', 'photos'].map((name) => noteOf(scene, now, name)));
  const config = scene.config(now.vmid) ?? {};
  const serves =
    scene.isRunning(now.vmid) && config['onboot'] === '1' && !(config['net0'] ?? 'link_down').includes('link_down');
  return JSON.stringify({ here: now.vmid === old.vmid, notes, serves, others });
}

const beforeIt = JSON.stringify({
  here: true,
  notes: ['rootfs now', 'data now', 'photos now'],
  serves: true,
  others: [],
});

async function overwritten(seed: number) {
  const scene = await bench(seed);
  const old = scene.record();
  const backup = await backedUp(scene);
  const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const restore = scene.needs.restores.all()[0] ?? assert.fail('there is no record of the restore');
  const now = scene.record();
  const guest = { uid: now.uid, incarnation: now.incarnation, name: now.name };
  return { scene, old, now, restore, guest };
}

test('undone: the old guest is back with bulk as it is by now, under a number that nobody had', async () => {
  const { scene, old, now, restore, guest } = await overwritten(2);
  await scene.write(volumeOf(now, 'photos'), 'srv-note', 'photos later');
  await scene.write(volumeOf(now, 'rootfs'), 'srv-note', 'rootfs later');
  const loss = [...undoLossOf(restore, now)];
  const end = await scene.run(undoRestore, { guest, sagaId: restore.id, loss, jobId: 'job-2' });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const back = scene.record();
  assert.equal(back.vmid, old.vmid);
  assert.equal(back.incarnation, now.incarnation + 1);
  assert.deepEqual(await Promise.all(['rootfs', 'data', 'photos'].map((name) => noteOf(scene, back, name))), [
    'rootfs now',
    'data now',
    'photos later',
  ]);
  assert.equal(scene.isRunning(back.vmid), true);
  const config = scene.config(back.vmid) ?? {};
  assert.equal(config['onboot'], '1');
  assert.doesNotMatch(config['net0'] ?? '', /link_down/);
  assert.equal(config['protection'] ?? '0', '0');
  assert.equal(scene.config(now.vmid), undefined);
  assert.deepEqual(volumesOf(scene, now.vmid), []);
  assert.deepEqual(volumesOf(scene, back.vmid), back.volumes.map(({ volid }) => volid).toSorted());
  assert.equal(scene.needs.restores.byId(restore.id)?.state, 'undone');
});

test('finished: exactly the old volumes are freed, and what was carried over is in service', async () => {
  const { scene, old, now, restore, guest } = await overwritten(3);
  const loss = restore.old?.volumes.map(({ volid }) => volid) ?? [];
  const before = [...volumesOf(scene, old.vmid), ...volumesOf(scene, now.vmid)];
  const end = await scene.run(finishRestore, { guest, sagaId: restore.id, loss, jobId: 'job-1' });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const after = [...volumesOf(scene, old.vmid), ...volumesOf(scene, now.vmid)];
  assert.deepEqual(before.filter((volid) => !after.includes(volid)).toSorted(), loss.toSorted());
  assert.equal(await noteOf(scene, now, 'photos'), 'photos now');
  assert.equal(scene.isRunning(now.vmid), true);
  assert.equal(scene.config(old.vmid), undefined);
  const again = await scene.run(undoRestore, { guest, sagaId: restore.id, loss, jobId: 'job-3' });
  assert.equal(again.is, 'unwound');
});

test('a guest that somebody attached a volume of the old one to keeps it from being freed', async () => {
  const { scene, old, now, restore, guest } = await overwritten(4);
  const loss = restore.old?.volumes.map(({ volid }) => volid) ?? [];
  const volid = loss.find((one) => !one.endsWith('disk-0')) ?? assert.fail();
  await scene.asRoot('PUT', `/nodes/${scene.world.node.name}/lxc/${now.vmid}/config`, { mp7: `${volid},mp=/srv/old` });
  const before = volumesOf(scene, old.vmid);
  const end = await scene.run(finishRestore, { guest, sagaId: restore.id, loss, jobId: 'job-1' });
  assert.equal(end.is, 'unwound', JSON.stringify(end));
  assert.deepEqual(volumesOf(scene, old.vmid), before);
  assert.equal(scene.config(old.vmid)?.['protection'], '1');
});

test('the old guest is kept as long as the restored one is not to be found', async () => {
  const { scene, old, now, restore, guest } = await overwritten(4);
  const loss = restore.old?.volumes.map(({ volid }) => volid) ?? [];
  const before = volumesOf(scene, old.vmid);
  await scene.world.clock.runUntil(scene.world.node.guests.stop(now.vmid));
  scene.world.host.removeConfig(now.vmid);
  const end = await scene.run(finishRestore, { guest, sagaId: restore.id, loss, jobId: 'job-1' });
  assert.equal(end.is, 'unwound', JSON.stringify(end));
  assert.deepEqual(volumesOf(scene, old.vmid), before);
});

test('a restored guest that does not come up unwinds to the old one, serving with its bulk', async () => {
  for (const nth of [1, 2]) {
    const scene = await bench(5);
    const old = scene.record();
    const backup = await backedUp(scene);
    scene.world.node.faults.add({
      method: 'POST',
      path: /lxc\/9001\/status\/start$/,
      nth,
      fault: { is: 'meanwhile', act: () => Promise.resolve(scene.world.host.setInit(9001, 'cannot-be-executed')) },
    });
    const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.equal(await standing(scene, old), beforeIt);
    assert.deepEqual(scene.needs.restores.all(), []);
  }
});

test('a backup whose bytes are others is not restored, and a volume more than signed for is not lost', async () => {
  const scene = await bench(6);
  const old = scene.record();
  const backup = await backedUp(scene);
  const params = overwriteParams(scene, backup);
  for (const wrong of [
    { ...params, backup: { ...backup, sha256: 'ab'.repeat(32) } },
    { ...params, loss: params.loss.slice(1) },
    { ...params, bulk: [] },
    { ...params, guest: { ...params.guest, incarnation: 7 } },
  ]) {
    const end = await scene.run(restoreOverwrite, wrong);
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.equal(await standing(scene, old), beforeIt);
  }
});

/** Lines of a hand-over's log after which its worker is killed: nothing moved; renamed; out of the source's config. */
const killings = [/moving volume/, /removing volume/, /updated with/] as const;

test('bulk that lies under the VMID of an earlier guest is handed over, and back', async () => {
  const scene = await bench(21);
  const { world } = scene;
  const lxc = `/nodes/${world.node.name}/lxc`;
  const first = scene.record();
  // As after a recovery: the guest has another VMID by now, its bulk the name of before.
  await scene.asRoot('POST', lxc, {
    vmid: 9150,
    ostemplate: world.policy.goldens['debian-13']?.archive,
    restore: 1,
    storage: 'guests',
  });
  await world.until(() => world.node.tasks.running().length === 0, 600_000);
  await scene.asRoot('POST', `${lxc}/${first.vmid}/status/stop`);
  await world.until(() => world.node.tasks.running().length === 0, 600_000);
  await scene.asRoot('POST', `${lxc}/${first.vmid}/move_volume`, {
    volume: 'mp1',
    'target-vmid': 9150,
    'target-volume': 'mp1',
  });
  await world.until(() => world.node.tasks.running().length === 0, 600_000);
  const strange = /^mp1: ([^,]+)/m.exec(world.host.rawConfig(9150) ?? '')?.[1] as VolumeId;
  world.host.removeConfig(9150);
  await scene.asRoot('PUT', `${lxc}/${first.vmid}/config`, { mp1: `${strange},mp=/srv/photos,backup=0` });
  await scene.asRoot('POST', `${lxc}/${first.vmid}/status/start`);
  await world.until(() => world.node.tasks.running().length === 0, 600_000);
  const { registry } = scene.needs;
  const volumes = first.volumes.map((volume) => (volume.key === 'mp1' ? { ...volume, volid: strange } : volume));
  registry.put({ ...first, volumes });
  const backup = await backedUp(scene);
  const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.equal(await noteOf(scene, scene.record(), 'photos'), 'photos now');
  const { uid, incarnation, name } = scene.record();
  const [restore] = scene.needs.restores.all();
  assert.ok(restore !== undefined);
  const loss = undoLossOf(restore, scene.record());
  const undone = await scene.run(undoRestore, {
    guest: { uid, incarnation, name },
    sagaId: restore.id,
    loss,
    jobId: 'job-2',
  });
  assert.equal(undone.is, 'completed', JSON.stringify(undone));
  assert.equal(await noteOf(scene, scene.record(), 'photos'), 'photos now');
});

test('a hand-over whose worker is killed anywhere is finished forward', async () => {
  for (const atLine of killings) {
    const scene = await bench(7);
    const backup = await backedUp(scene);
    scene.world.node.tasks.trap({ type: 'move_volume', atLine, action: 'kill' });
    const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    const now = scene.record();
    assert.equal(await noteOf(scene, now, 'photos'), 'photos now', String(atLine));
    assert.equal(scene.config(now.vmid)?.['mp1']?.split(',')[0], volumeOf(now, 'photos'));
  }
});

test('a worker killed in the hand-over back does not lose bulk when a restore unwinds', async () => {
  for (const atLine of killings) {
    const scene = await bench(8);
    const old = scene.record();
    const backup = await backedUp(scene);
    scene.world.node.faults.add({
      method: 'POST',
      path: /lxc\/9001\/status\/start$/,
      nth: 2,
      fault: { is: 'meanwhile', act: () => Promise.resolve(scene.world.host.setInit(9001, 'cannot-be-executed')) },
    });
    scene.world.node.tasks.trap({ type: 'move_volume', id: '9001-mp1>9000-mp1', atLine, action: 'kill' });
    const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup));
    assert.equal(end.is, 'unwound', JSON.stringify(end));
    assert.equal(await standing(scene, old), beforeIt, String(atLine));
  }
});

test('a copy: a guest of its own with fresh MACs beside its source, which serves on', async () => {
  const scene = await bench(9);
  const old = scene.record();
  const mac = /hwaddr=([^,]+)/.exec(scene.config(old.vmid)?.['net0'] ?? '')?.[1] ?? assert.fail();
  const backup = await backedUp(scene);
  const guest = { uid: old.uid, incarnation: old.incarnation, name: old.name };
  const end = await scene.run(restoreCopy, { guest, backup, name: 'photos-copy', jobId: 'job-1' });
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const copy = scene.needs.registry.all().find(({ name }) => name === 'photos-copy') ?? assert.fail('no copy');
  assert.notEqual(copy.uid, old.uid);
  const config = scene.config(copy.vmid) ?? {};
  assert.ok(config['net0'] !== undefined && !config['net0'].includes(mac) && !config['net0'].includes('link_down'));
  assert.match(config['env'] ?? '', /FELHOM_IDENTITY=fresh/);
  assert.equal(config['mp1'], undefined);
  assert.equal(await noteOf(scene, copy, 'rootfs'), 'rootfs then');
  assert.deepEqual([scene.isRunning(old.vmid), scene.isRunning(copy.vmid)], [true, true]);
});

async function proven(scene: Bench, backup: Bytes, isProven: boolean): Promise<void> {
  const bytes = await scene.needs.helper.archiveDigest(backup.archive, new AbortController().signal);
  assert.ok(bytes.is === 'done');
  const record = scene.record();
  scene.needs.catalogue.put({
    id: 'a'.repeat(16),
    guest: record.uid,
    incarnation: record.incarnation,
    vmid: record.vmid,
    tier: 'local',
    storage: 'backup' as never,
    archive: backup.archive,
    class: 'scheduled',
    consistency: 'crash',
    mode: 'stop',
    startedAt: 1,
    takenAt: 1,
    sizeBytes: bytes.value.sizeBytes,
    sha256: backup.sha256,
    protected: false,
    warnings: [],
    risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
    massChange: false,
    ...(isProven ? { proven: { at: 2, evidence: backup.sha256, rtoMs: 1 } } : {}),
  });
}

test('in place: only without bulk and from a proven backup; then the guest is back under the same name', async () => {
  const withBulk = await bench(10);
  const first = await backedUp(withBulk);
  await proven(withBulk, first, true);
  const { undoHours: _, ...inPlace } = overwriteParams(withBulk, first);
  assert.equal((await withBulk.run(restoreInPlace, inPlace)).is, 'unwound');
  assert.equal(await noteOf(withBulk, withBulk.record(), 'rootfs'), 'rootfs now');

  const data = labGuest('photos').volumes.filter(({ name }) => name === 'data');
  const scene = await bench(11, { volumes: data });
  const old = scene.record();
  const backup = await backedUp(scene);
  const { undoHours: __, ...params } = overwriteParams(scene, backup);
  await proven(scene, backup, false);
  assert.equal((await scene.run(restoreInPlace, params)).is, 'unwound');
  assert.equal(scene.isRunning(old.vmid), true);
  await proven(scene, backup, true);
  scene.world.node.tasks.trap({ type: 'vzrestore', atLine: /./, action: 'kill' });
  const end = await scene.run(restoreInPlace, params);
  assert.equal(end.is, 'completed', JSON.stringify(end));
  const now = scene.record();
  assert.equal(now.incarnation, old.incarnation + 1);
  assert.equal(await noteOf(scene, now, 'rootfs'), 'rootfs then');
  assert.equal(await noteOf(scene, now, 'data'), 'data then');
  assert.equal(scene.isRunning(now.vmid), true);
  const { from, to } = scene.world.policy.vmids.guests;
  const left = Array.from({ length: to - from + 1 }, (_one, at) => from + at).filter(
    (vmid) => vmid !== now.vmid && (scene.config(vmid) !== undefined || volumesOf(scene, vmid).length > 0),
  );
  assert.deepEqual(left, []);
});

const afterIt = (standings: string): boolean =>
  standings.includes('"here":false,"notes":["rootfs then","data then","photos now"],"serves":true,"others":[9000]');

/** The moments around the hand-over and the pivot; every other one is the crash matrix's. */
const moments: readonly CrashPoint[] = [
  'restore-overwrite/carry/run/effect-done',
  'restore-overwrite/carry/run/handle-written',
  'restore-overwrite/connect/run/after-intent',
  'restore-overwrite/up/run/before-outcome',
  'restore-overwrite/register/run/before-outcome',
];

test('power gone around the hand-over, its worker killed: wholly before or wholly after, bulk never lost', async () => {
  for (const moment of moments) {
    const scene = await bench(12);
    const old = scene.record();
    const backup = await backedUp(scene);
    const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup), moment, async () => {
      for (const { upid } of scene.world.node.tasks.running()) scene.world.node.tasks.kill(upid);
    });
    const now = await standing(scene, old);
    assert.ok(end.is === 'completed' ? afterIt(now) : now === beforeIt, `${moment}: ${JSON.stringify(end)} ${now}`);
  }
});

test('a restore that cannot be through in ten minutes puts the old guest back', async () => {
  const scene = await bench(13);
  const old = scene.record();
  const backup = await backedUp(scene);
  const late = 'restore-overwrite/cut-old/run/before-intent';
  const end = await scene.run(restoreOverwrite, overwriteParams(scene, backup), late, () =>
    scene.world.clock.advance(11 * 60_000),
  );
  assert.equal(end.is, 'unwound', JSON.stringify(end));
  assert.equal(await standing(scene, old), beforeIt);
});
