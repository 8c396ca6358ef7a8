/**
 * Checkpoints on a whole node: snapshots and quick backups that are really taken, rollbacks that really put the files
 * back, and what a killed worker, a lost answer or a power cut leaves of either.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkpointGuest,
  createCatalogue,
  createCheckpoints,
  createFence,
  createGuestRegistry,
  createLanes,
  createPveClient,
  createRegistry,
  createRunner,
  createVmidClaims,
  dropCheckpoint,
  installPowerSwitch,
  noCrashPoints,
  rollBack,
} from '@felhom/agent';
import type {
  AnySaga,
  CheckpointNeeds,
  CrashPoint,
  GuestRecord,
  Journal,
  PowerSwitch,
  RollBackNeeds,
  SagaEnd,
} from '@felhom/agent';
import type { StorageId, VolumeId } from '@felhom/protocol';
import { fileMember } from '../fake-pve/storage/index.ts';
import { undeclared } from './backup-bench.ts';
import { labGuest } from './desired.ts';
import type { LabGuest } from './desired.ts';
import { createSimWorld, helperPort, sendTo } from './sim-world.ts';

type Needs = CheckpointNeeds & RollBackNeeds;

const dayMs = 86_400_000;

/** A world in which `web` serves, and every volume can be in a snapshot. */
async function bench(seed: number, extra: Partial<LabGuest> = {}) {
  const world = await createSimWorld({ seed });
  const volumes = [{ name: 'data', path: '/srv/data', storage: 'guests', sizeGiB: 1, backup: true }];
  world.hub.publish([labGuest('web', { volumes, tags: ['felhom', 'shop'], ...extra })]);
  const { agent } = world.boot();
  assert.equal(await world.until(() => agent.report().converged, 300_000), true);
  await world.clock.runUntil(agent.stop());
  world.cut();
  const journal = world.disk();
  const minted: string[] = [];
  const needsOn = (on: Journal): Needs => {
    const pve = createPveClient({
      transport: { send: (request, signal) => sendTo(world, request, signal), close: () => Promise.resolve() },
      node: world.node.name,
      token: world.token,
      clock: world.clock,
    });
    return {
      ...pve,
      node: pve.facts,
      helper: helperPort(world, new AbortController().signal),
      registry: createGuestRegistry(on),
      claims: createVmidClaims([], () => false),
      policy: () => world.policy,
      tokenId: world.tokenId,
      witness: { sample: () => Promise.resolve({ is: 'stopped' }), watch: () => undefined },
      catalogue: createCatalogue(on),
      manifests: { latest: () => undefined },
      leases: { isHeld: () => false, captured: () => undefined },
      targets: undeclared,
      tierOf: (name) => (name === 'local' ? { storage: 'backup' as StorageId } : undefined),
      quickTierOf: () => 'local',
      isMassChange: () => false,
      mayPrune: () => false,
      checkpoints: createCheckpoints(on),
      issuing: {
        claims: {
          mint: (guest) => {
            minted.push(`${guest.uid}.${guest.incarnation}`);
            return String(minted.length).padStart(43, 's');
          },
          forget: () => undefined,
          lookedAtEnv: () => undefined,
        },
        supportsEnv: () => true,
        contact: () => ({ address: '192.168.1.2:8470', spkiSha256: 'c'.repeat(64) }),
      },
    };
  };
  // As a process that starts now reads it: what the last one wrote is in no memory.
  const fresh = (): Needs => needsOn(journal);
  let lives = 0;
  const runner = (power: Pick<PowerSwitch, 'journal' | 'crashPoints'>) =>
    createRunner({
      journal: power.journal,
      clock: world.clock,
      random: world.random.fork(`life ${(lives += 1)}`),
      fence: createFence(power.journal, world.clock),
      lanes: createLanes(world.clock),
      registry: createRegistry([checkpointGuest, dropCheckpoint, rollBack]),
      crashPoints: power.crashPoints,
    });
  const record = (): GuestRecord => fresh().registry.all()[0] ?? assert.fail('no guest is on record');
  const path = (volume: string): string =>
    world.node.storage.volumeDiskPath(record().volumes.find(({ name }) => name === volume)?.volid ?? '');
  const { vmid } = record();
  const active = (): ReadonlyMap<string, string> => world.node.guests.config(vmid).active;
  return {
    world,
    fresh,
    minted,
    vmid,
    record,
    active,
    ref: () => {
      const { uid, incarnation, name } = record();
      return { uid, incarnation, name };
    },
    /** Runs a saga to its end. `crashAt`: the process dies there once, and the next one takes up what it left. */
    async run(definition: AnySaga, params: unknown, crashAt?: CrashPoint) {
      const power = installPowerSwitch(journal, (point) => point === crashAt);
      const { ended } = runner(power).start(definition, params, needsOn(power.journal));
      const end = await world.clock.runUntil(ended, dayMs);
      if (power.crashedAt === undefined) return codeOf(end);
      const [recovered] = runner({ journal, crashPoints: noCrashPoints }).resumeAll(fresh);
      return recovered === undefined ? 'nothing was left' : codeOf(await world.clock.runUntil(recovered.ended, dayMs));
    },
    /** The points that an undisturbed run comes by. */
    async pointsOf(definition: AnySaga, params: unknown) {
      const power = installPowerSwitch(journal);
      await world.clock.runUntil(runner(power).start(definition, params, needsOn(power.journal)).ended, dayMs);
      return [...new Set(power.reached)];
    },
    async asRoot(method: 'POST' | 'PUT' | 'DELETE', at: string, params: Record<string, unknown> = {}) {
      const full = `/nodes/${world.node.name}/lxc/${vmid}${at}`;
      const answer = await world.clock.runUntil(world.node.handle({ method, path: full, params, as: 'root@pam' }));
      assert.equal(answer.status, 200, `${method} ${full}: ${answer.reason}`);
      await world.until(() => world.node.tasks.running().length === 0, 60_000);
    },
    write: (volume: string, text: string) =>
      world.node.storage.disk.writeTree(path(volume), [fileMember('./srv-note', text)], { skipExisting: false }),
    async read(volume: string) {
      const tree = await world.node.storage.disk.readTree(path(volume));
      return new TextDecoder().decode(tree.find(({ name }) => name === './srv-note')?.content);
    },
    snapshots: () => [...world.node.guests.config(vmid).snapshots.keys()],
    kept: () => fresh().checkpoints.of(record().uid),
    markerIn: () => /felhom:\S+/.exec(decodeURIComponent(active().get('description') ?? ''))?.[0],
    isRunning: () => world.node.guests.isRunning(vmid),
  };
}
type Bench = Awaited<ReturnType<typeof bench>>;

const codeOf = (end: SagaEnd): string =>
  end.is === 'completed' ? 'completed' : `${end.is} ${end.why.code}: ${end.why.text}`;

/** A checkpoint of `then`, with `now` written over it. */
async function checkpointed(scene: Bench, purpose: 'deploy' | 'update' = 'deploy'): Promise<string> {
  for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} then`);
  assert.equal(await scene.run(checkpointGuest, { guest: scene.ref(), purpose }), 'completed');
  for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} now`);
  return scene.kept().at(-1)?.name ?? assert.fail('no checkpoint is on record');
}

/** The worker is killed half-way: when it is done with the first volume of the guest. */
function killHalfWay(scene: Bench, work: 'snapshot' | 'deleteSnapshot' | 'rollback', type: string): void {
  const { node } = scene.world;
  const { storage } = node;
  const real = storage[work].bind(storage);
  storage[work] = async (volid, name) => {
    storage[work] = real;
    await real(volid, name);
    assert.ok(node.killWorker(type) !== undefined, `no ${type} runs`);
  };
}

const files = (scene: Bench) => Promise.all(['rootfs', 'data'].map((volume) => scene.read(volume)));
const then = ['rootfs then', 'data then'];
const now = ['rootfs now', 'data now'];

/** Nothing of a rollback is left but the rollback, and the guest is provably ours. */
async function atRest(scene: Bench): Promise<void> {
  const { uid, incarnation, marker, configDigest, volumes } = scene.record();
  assert.equal(scene.markerIn(), `felhom:${uid}.${incarnation}.${marker}`);
  assert.equal(scene.active().get('lock'), undefined);
  assert.equal(scene.active().get('tags'), 'felhom;shop');
  const reading = scene.fresh().reader.config(scene.record().vmid, { current: false }, AbortSignal.timeout(9_999));
  const read = await scene.world.clock.runUntil(reading);
  assert.equal(read.is === 'done' && read.value.is === 'present' && read.value.config.digest, configDigest);
  const mounted = [...scene.active()].filter(([key]) => /^(?:rootfs|mp\d+)$/.test(key));
  assert.deepEqual(
    volumes.map(({ volid }) => volid).toSorted(),
    mounted.map(([, value]) => value.split(',')[0] as VolumeId).toSorted(),
  );
}

// -------------------------------------------------------------------------------------------------- taking one

test('a checkpoint is a snapshot of our own name, on record with the time that Proxmox gave it', async () => {
  const scene = await bench(1);
  const name = await checkpointed(scene);
  assert.match(name, /^felhom-deploy-[a-z2-7]{8}$/);
  assert.deepEqual(scene.snapshots(), [name]);
  const [kept] = scene.kept();
  assert.deepEqual([kept?.by, kept?.purpose, kept?.incarnation], ['snapshot', 'deploy', 1]);
  const taken = Number(scene.world.node.guests.config(scene.vmid).snapshots.get(name)?.get('snaptime'));
  assert.equal(kept?.takenAt, taken * 1000);
  assert.equal(scene.isRunning(), true);
});

test('a guest with bulk gets no snapshot but a quick backup, and no rollback to it of its own', async () => {
  const scene = await bench(2, {
    volumes: [
      { name: 'data', path: '/srv/data', storage: 'guests', sizeGiB: 1, backup: true },
      // It could be in a snapshot, and would go back with it.
      { name: 'photos', path: '/srv/photos', storage: 'guests', sizeGiB: 1, backup: false },
    ],
  });
  const name = await checkpointed(scene);
  assert.deepEqual(scene.snapshots(), []);
  const [backup] = scene.fresh().catalogue.all();
  assert.deepEqual([backup?.class, backup?.tier, name], ['checkpoint', 'local', `b${backup?.id}`]);
  assert.equal(scene.kept()[0]?.by, 'backup');
  const back = await scene.run(rollBack, { guest: scene.ref(), checkpoint: name });
  assert.match(back, new RegExp(`^unwound checkpoint.needs-restore: .*backup ${backup?.id} signed`));
  assert.deepEqual(await files(scene), now);
  // Only the record goes: the archive is retention's.
  assert.equal(await scene.run(dropCheckpoint, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual(scene.kept(), []);
  assert.ok(scene.world.node.storage.archives.list('backup').some(({ vmid }) => vmid === scene.vmid));
});

test('a full quota is refused, and nothing is dropped for it', async () => {
  const scene = await bench(3);
  const most = scene.world.policy.backups.snapshotsPerGuest;
  for (let n = 0; n < most; n++) await checkpointed(scene);
  const one = await scene.run(checkpointGuest, { guest: scene.ref(), purpose: 'deploy' });
  assert.match(one, /^unwound checkpoint.quota: /);
  assert.equal(scene.snapshots().length, most);
});

test('an answer that is lost is one snapshot all the same', async () => {
  for (const when of ['before', 'after'] as const) {
    const scene = await bench(4);
    scene.world.node.faults.add({ method: 'POST', path: /snapshot$/, fault: { is: 'drop', when } });
    const name = await checkpointed(scene);
    assert.deepEqual(scene.snapshots(), [name], when);
  }
});

test('a worker that is killed leaves neither lock nor snapshot, and the guest may ask again', async () => {
  const scene = await bench(5);
  killHalfWay(scene, 'snapshot', 'vzsnapshot');
  assert.match(
    await scene.run(checkpointGuest, { guest: scene.ref(), purpose: 'deploy' }),
    /^unwound checkpoint.failed: /,
  );
  assert.deepEqual([scene.snapshots(), scene.active().get('lock'), scene.kept()], [[], undefined, []]);
  await checkpointed(scene);
});

test('power lost at any moment of a checkpoint: it is there and on record, or nothing is', async () => {
  const model = await bench(6);
  const params = (scene: Bench) => ({ guest: scene.ref(), purpose: 'deploy' });
  const points = (await model.pointsOf(checkpointGuest, params(model))).filter(
    (point) => !/dump|capture|finish/.test(point),
  );
  assert.ok(points.length > 15);
  for (const point of points)
    for (const killed of [false, true]) {
      if (killed && !point.includes('/snapshot/')) continue;
      const scene = await bench(6);
      if (killed) killHalfWay(scene, 'snapshot', 'vzsnapshot');
      const end = await scene.run(checkpointGuest, params(scene), point);
      assert.match(
        end,
        killed ? /^completed$|^unwound checkpoint.failed/ : /^completed$|^nothing was left$/,
        `${point} ${killed}`,
      );
      assert.deepEqual(
        scene.snapshots(),
        scene.kept().map(({ name }) => name),
        point,
      );
      assert.equal(scene.active().get('lock'), undefined, point);
    }
});

// ----------------------------------------------------------------------------------------------------- dropping

test('a checkpoint is dropped for certain, whatever becomes of the answer or the worker', async () => {
  const scene = await bench(7);
  const trouble: readonly (() => void)[] = [
    () => undefined,
    () => scene.world.node.faults.add({ method: 'DELETE', path: /snapshot/, fault: { is: 'drop', when: 'after' } }),
    () => scene.world.node.faults.add({ method: 'DELETE', path: /snapshot/, fault: { is: 'drop', when: 'before' } }),
  ];
  for (const make of trouble) {
    const name = await checkpointed(scene);
    make();
    assert.equal(await scene.run(dropCheckpoint, { guest: scene.ref(), checkpoint: name }), 'completed');
    assert.deepEqual([scene.snapshots(), scene.kept()], [[], []]);
  }
  const name = await checkpointed(scene);
  killHalfWay(scene, 'deleteSnapshot', 'vzdelsnapshot');
  assert.equal(await scene.run(dropCheckpoint, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual([scene.snapshots(), scene.kept(), scene.active().get('lock')], [[], [], undefined]);
});

test('one that is gone is done, and a person’s is never dropped, not even under our name', async () => {
  const scene = await bench(8);
  await scene.asRoot('POST', '/snapshot', { snapname: 'theirs' });
  assert.equal(await scene.run(dropCheckpoint, { guest: scene.ref(), checkpoint: 'theirs' }), 'completed');
  const name = await checkpointed(scene);
  await scene.asRoot('DELETE', `/snapshot/${name}`);
  await scene.world.until(() => false, 5_000);
  await scene.asRoot('POST', '/snapshot', { snapname: name });
  assert.equal(await scene.run(dropCheckpoint, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual(scene.snapshots().toSorted(), [name, 'theirs'].toSorted());
  assert.deepEqual(scene.kept(), []);
});

// ------------------------------------------------------------------------------------------------- rolling back

test('rolled back: the files of then, the tags of now, a new incarnation with a claim, running, and once more if need be', async () => {
  const scene = await bench(10);
  await scene.asRoot('PUT', '/config', { tags: 'early' });
  const name = await checkpointed(scene);
  await scene.asRoot('PUT', '/config', { tags: 'felhom;shop' });
  for (const incarnation of [2, 3]) {
    const before = scene.record();
    assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed');
    assert.deepEqual(await files(scene), then);
    assert.equal(scene.record().incarnation, incarnation);
    assert.notEqual(scene.record().marker, before.marker);
    await atRest(scene);
    assert.equal(scene.isRunning(), true);
    assert.equal(scene.minted.at(-1), `${before.uid}.${incarnation}`);
    assert.match(scene.active().get('env') ?? '', /FELHOM_CLAIM=/);
    for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} now`);
  }
});

test('what stood still stands still afterwards, and gets no claim', async () => {
  const scene = await bench(11);
  const name = await checkpointed(scene);
  await scene.asRoot('POST', '/status/stop');
  assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual(await files(scene), then);
  assert.equal(scene.isRunning(), false);
  assert.deepEqual(scene.minted, []);
});

test('a volume that came after the snapshot is untouched and mounted again', async () => {
  const scene = await bench(12);
  const name = await checkpointed(scene);
  await scene.asRoot('PUT', '/config', { mp5: 'guests:1,mp=/srv/films,backup=0' });
  const line = scene.active().get('mp5') ?? assert.fail('no volume was added');
  const volid = line.split(',')[0] as VolumeId;
  const { disk } = scene.world.node.storage;
  const at = scene.world.node.storage.volumeDiskPath(volid);
  await disk.writeTree(at, [fileMember('./film', 'reel')], { skipExisting: false });
  assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.equal(scene.active().get('mp5'), line);
  assert.ok((await disk.readTree(at)).some((entry) => entry.name === './film'));
  assert.deepEqual(await files(scene), then);
  await atRest(scene);
});

test('a guest goes back to what it took itself, and to nothing else', async () => {
  const scene = await bench(13);
  const own = await checkpointed(scene);
  const agents = await checkpointed(scene, 'update');
  await scene.asRoot('POST', '/snapshot', { snapname: 'theirs' });
  const guest = scene.ref();
  const refusals: readonly (readonly [string, RegExp])[] = [
    [agents, /^unwound checkpoint.not-on-record: /],
    ['theirs', /^unwound checkpoint.not-on-record: /],
    ['nosuch', /^unwound checkpoint.not-on-record: /],
  ];
  for (const [checkpoint, expected] of refusals)
    assert.match(await scene.run(rollBack, { guest, checkpoint }), expected, checkpoint);
  // Backups of a volume were switched off since: nobody has a copy of what was written to it.
  const mp0 = scene.active().get('mp0') ?? '';
  await scene.asRoot('PUT', '/config', { mp0: mp0.replace('backup=1', 'backup=0') });
  await scene.asRoot('POST', '/status/stop');
  assert.match(await scene.run(rollBack, { guest, checkpoint: own }), /^unwound gate.holds-data: /);
  await scene.asRoot('DELETE', `/snapshot/${own}`);
  assert.match(await scene.run(rollBack, { guest, checkpoint: own }), /^unwound pve.snapshot-absent: /);
  assert.deepEqual(await files(scene), now);
  assert.equal(scene.active().get('tags'), 'felhom;shop');
});

test('a signed rollback: any snapshot, exactly as it was signed for, bulk too', async () => {
  const scene = await bench(14, {
    volumes: [{ name: 'data', path: '/srv/data', storage: 'guests', sizeGiB: 1, backup: false }],
  });
  for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} then`);
  await scene.asRoot('POST', '/snapshot', { snapname: 'theirs' });
  for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} now`);
  const takenAt = Number(scene.world.node.guests.config(scene.vmid).snapshots.get('theirs')?.get('snaptime'));
  const volumes = scene.record().volumes.map(({ volid }) => volid);
  const asked = (signed: object) => ({ guest: scene.ref(), checkpoint: 'theirs', signed });
  for (const wrong of [
    { takenAt: takenAt + 1, volumes },
    { takenAt, volumes: volumes.slice(1) },
    { takenAt, volumes: [...volumes, 'guests:vm-999-disk-0'] },
  ])
    assert.match(await scene.run(rollBack, asked(wrong)), /^unwound job.changed: /);
  assert.deepEqual(await files(scene), now);
  assert.equal(await scene.run(rollBack, asked({ takenAt, volumes })), 'completed');
  assert.deepEqual(await files(scene), then);
  await atRest(scene);
});

test('a rollback whose worker is killed half-way is repeated, and one whose answer is lost is not done twice', async () => {
  const scene = await bench(15);
  const name = await checkpointed(scene);
  killHalfWay(scene, 'rollback', 'vzrollback');
  assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual(await files(scene), then);
  await atRest(scene);

  for (const when of ['before', 'after'] as const) {
    for (const volume of ['rootfs', 'data']) await scene.write(volume, `${volume} now`);
    const count = (): number => scene.world.node.tasks.all().filter(({ upid }) => upid.includes(':vzrollback:')).length;
    const before = count();
    scene.world.node.faults.add({ method: 'POST', path: /rollback$/, fault: { is: 'drop', when } });
    assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed', when);
    assert.equal(count(), before + 1, when);
    assert.deepEqual(await files(scene), then);
    await atRest(scene);
  }
});

test('power lost at any moment of a rollback: the guest is back, or as it was, and never twice', async () => {
  const model = await bench(16);
  const name = await checkpointed(model);
  const points = await model.pointsOf(rollBack, { guest: model.ref(), checkpoint: name });
  assert.ok(points.length > 35);
  for (const point of points)
    for (const killed of [false, true]) {
      if (killed && !point.includes('/rollback/run/')) continue;
      const scene = await bench(16);
      const checkpoint = await checkpointed(scene);
      if (killed) killHalfWay(scene, 'rollback', 'vzrollback');
      const end = await scene.run(rollBack, { guest: scene.ref(), checkpoint }, point);
      assert.match(end, /^completed$|^nothing was left$/, `${point} ${killed}: ${end}`);
      const untouched = end !== 'completed' && /assess\/run\/before-intent/.test(point);
      assert.deepEqual(await files(scene), untouched ? now : then, point);
      assert.equal(scene.record().incarnation, untouched ? 1 : 2, point);
      assert.equal(scene.isRunning(), true, point);
      await atRest(scene);
    }
});

test('a node with a tag policy: the trace is a start order, and neither is left', async () => {
  const scene = await bench(17);
  const name = await checkpointed(scene);
  scene.world.node.faults.add({
    method: 'PUT',
    path: /config$/,
    fault: { is: 'status', status: 403, reason: 'Permission check failed (/, Sys.Modify)', when: 'before' },
  });
  assert.equal(await scene.run(rollBack, { guest: scene.ref(), checkpoint: name }), 'completed');
  assert.deepEqual(await files(scene), then);
  assert.equal(scene.active().get('startup'), undefined);
  await atRest(scene);
});
