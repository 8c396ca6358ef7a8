import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ControllerStatus } from '@felhom/protocol';
import { crashPointsOf } from '../kernel/index.ts';
import { Bench, images, photosRef, releaseOf, says } from './test/bench.ts';
import { updateController } from './update-controller.saga.ts';

const params = { guest: photosRef, role: 'apps', version: '1.1.0', digest: images['1.1.0'] ?? assert.fail() };
const uid = photosRef.uid;

type Health = ControllerStatus['health'] | 'silent';

/** A supervisor that does as it is told; `healths` says how each image gets on. */
function supervised(healths: Readonly<Record<string, Health>>, restarts: () => number = () => 0): Bench {
  const bench = new Bench().withGuest();
  const versions = new Map(Object.entries(images).map(([version, image]) => [image, version]));
  let copyOf: number | undefined;
  const supervise = (): void => {
    const desired = bench.controllers.desiredController(uid);
    if (desired?.image === undefined || desired.image === null) return;
    const health = healths[versions.get(desired.image.digest) ?? ''] ?? 'healthy';
    if (health === 'silent') return;
    if (desired.directive === 'run') copyOf = desired.stateOf;
    // Without a copy it never ran the new one, and its state is as it was.
    else if (copyOf !== undefined) assert.equal(desired.stateOf, copyOf, 'what it is to revert to is there');
    const status = { generation: desired.generation, digest: desired.image.digest, health, restarts: restarts() };
    bench.controllers.report(uid, says({ ...status, ...(copyOf === undefined ? {} : { stateCopyOf: copyOf }) }));
  };
  const { sleep } = bench.clock;
  bench.clock.sleep = async (ms, signal) => {
    await sleep(ms, signal);
    supervise();
  };
  bench.controllers.refresh(uid);
  supervise();
  bench.release = releaseOf('1.1.0');
  return bench;
}

const offered = (bench: Bench) => {
  const { image, directive, stateOf, generation } = bench.controllers.desiredController(uid) ?? assert.fail();
  return { version: image?.version, directive, generation, ...(stateOf === undefined ? {} : { stateOf }) };
};

test('a newer image that gets well is kept; its state was copied before it first ran', async () => {
  const bench = supervised({});
  assert.deepEqual(offered(bench), { version: '1.0.0', directive: 'run', generation: 1 });
  assert.deepEqual(bench.controllers.newerImage(uid), { role: 'apps', version: '1.1.0', digest: params.digest });
  assert.equal((await bench.carryOut(updateController, params)).is, 'completed');
  assert.deepEqual(offered(bench), { version: '1.1.0', directive: 'run', generation: 2, stateOf: 2 });
  assert.equal(bench.controllers.newerImage(uid), undefined);
  assert.deepEqual(
    bench.noted,
    bench.snapshots.map(({ name }) => name),
  );
  assert.equal(bench.noted.length, 1);
});

for (const health of ['unhealthy', 'starting', 'silent'] as const)
  test(`an image that is ${health} goes back to the one before with its state, and is not offered again`, async () => {
    const bench = supervised({ '1.1.0': health });
    const end = await bench.carryOut(updateController, params);
    assert.equal(end.is === 'unwound' && end.why.code, 'controller.unhealthy');
    assert.deepEqual(offered(bench), { version: '1.0.0', directive: 'revert', generation: 3, stateOf: 2 });
    assert.equal(bench.controllers.heard(uid)?.status.digest, images['1.0.0']);
    assert.equal(bench.controllers.newerImage(uid), undefined);
    assert.deepEqual(
      bench.controllers.findings(bench.registry.all()).map(({ key }) => key),
      ['controller.update-failed'],
    );
    assert.ok(bench.node.guests.get(9000)?.running);
    assert.ok(!bench.node.calls.some((call) => call.startsWith('configure')), 'the guest itself is left alone');
    bench.release = releaseOf('1.2.0');
    assert.equal(bench.controllers.newerImage(uid)?.version, '1.2.0');
  });

test('an image that says healthy between its restarts is not', async () => {
  let restarts = 0;
  const bench = supervised({}, () => restarts++);
  assert.equal((await bench.carryOut(updateController, params)).is, 'unwound');
  assert.equal(offered(bench).version, '1.0.0');
});

test('where the previous one does not get well either, the guest is closed no longer than that', async () => {
  const bench = supervised({ '1.1.0': 'unhealthy', '1.0.0': 'unhealthy' });
  assert.equal((await bench.carryOut(updateController, params)).is, 'unwound');
  assert.deepEqual(bench.journal.openSagas(), []);
});

const refusals: readonly (readonly [string, (bench: Bench) => void, string])[] = [
  ['nobody was heard of for long', (bench) => void (bench.now += 600_000), 'controller.none'],
  [
    'the release in force names another one',
    (bench) => void (bench.release = releaseOf('1.2.0')),
    'release.not-for-this',
  ],
  ['no release is in force', (bench) => void (bench.release = undefined), 'release.not-for-this'],
  ['the guest is another one', (bench) => bench.registry.remove(uid), 'guest.unknown-uid'],
];
for (const [name, given, code] of refusals)
  test(`nothing is offered where ${name}`, async () => {
    const bench = supervised({});
    given(bench);
    const end = await bench.carryOut(updateController, params);
    assert.equal(end.is === 'unwound' && end.why.code, code);
    assert.notEqual(bench.controllers.desiredController(uid)?.image?.version, '1.1.0');
  });

test('an older one is never offered', async () => {
  const bench = supervised({});
  await bench.carryOut(updateController, params);
  bench.release = releaseOf('1.0.0');
  const end = await bench.carryOut(updateController, { ...params, version: '1.0.0', digest: images['1.0.0'] });
  assert.equal(end.is === 'unwound' && end.why.code, 'release.older');
});

for (const [name, given] of [
  ['its storage takes none', (bench: Bench) => void (bench.snapshotsPossible = false)],
  [
    'it has a bulk volume',
    (bench: Bench) => {
      const guest = bench.node.guests.get(9000) ?? assert.fail();
      guest.values['mp0'] = 'local:9000/vm-9000-disk-1.raw,mp=/srv/bulk,size=9G';
    },
  ],
  ['its storage is nearly full', (bench: Bench) => void (bench.node.availableBytes = 1)],
] as const)
  test(`an update goes on without a checkpoint where ${name}`, async () => {
    const bench = supervised({});
    given(bench);
    const end = await bench.carryOut(updateController, params);
    assert.ok(end.is === 'completed' && typeof end.state['noCheckpoint'] === 'string');
    assert.deepEqual(bench.snapshots, []);
  });

for (const crashAt of [undefined, 'update-controller/checkpoint/run/handle-written'] as const)
  test(`a snapshot whose worker was killed is cleared up${crashAt === undefined ? '' : ', by the next life too'}`, async () => {
    const bench = supervised({});
    bench.tornSnapshots = 1;
    bench.crashAt = crashAt;
    await bench.carryOut(updateController, params);
    assert.equal(bench.crashed, crashAt !== undefined);
    if (bench.crashed) await bench.goOn();
    assert.equal(bench.node.guests.get(9000)?.lock, undefined);
    assert.deepEqual(
      bench.snapshots.map(({ name }) => name),
      bench.noted,
    );
    // The next life takes it anew; otherwise an update goes on without.
    assert.equal(bench.noted.length, crashAt === undefined ? 0 : 1);
    assert.equal(offered(bench).version, '1.1.0');
  });

test('what an earlier life left is cleared up also where there is to be no snapshot any more', async () => {
  const bench = supervised({});
  bench.tornSnapshots = 1;
  bench.crashAt = 'update-controller/checkpoint/run/handle-written';
  await bench.carryOut(updateController, params);
  bench.snapshotsPossible = false;
  assert.equal(bench.snapshots.length, 1);
  await bench.goOn();
  assert.deepEqual([bench.snapshots, bench.noted, bench.node.guests.get(9000)?.lock], [[], [], undefined]);
  assert.equal(offered(bench).version, '1.1.0');
});

test('nothing is offered to a guest that went down meanwhile, and the image is not held to be ill', async () => {
  const bench = supervised({});
  const needs = bench.claimNeeds.bind(bench);
  bench.claimNeeds = () => ({
    ...needs(),
    noteCheckpoint: () => {
      const guest = bench.node.guests.get(9000) ?? assert.fail();
      guest.running = false;
    },
  });
  const end = await bench.carryOut(updateController, params);
  assert.equal(end.is === 'unwound' && end.why.code, 'pve.not-running');
  assert.deepEqual(offered(bench), { version: '1.0.0', directive: 'run', generation: 1 });
  assert.equal(bench.controllers.newerImage(uid)?.version, '1.1.0');
});

for (const health of ['healthy', 'unhealthy'] as const)
  for (const point of crashPointsOf(updateController))
    test(`an update to an ${health} image over a crash at ${point} ends wholly new or wholly old`, async () => {
      const bench = supervised({ '1.1.0': health });
      bench.crashAt = point;
      await bench.carryOut(updateController, params);
      if (!bench.crashed) return;
      await bench.goOn();
      assert.deepEqual(bench.journal.openSagas(), []);
      const { version, directive } = offered(bench);
      const begun = bench.journal.recentSagas(1).length === 1;
      if (health === 'healthy' && begun) assert.equal(version, '1.1.0');
      if (health === 'unhealthy') assert.equal(version, '1.0.0');
      assert.equal(bench.controllers.heard(uid)?.status.digest, images[version ?? ''], directive);
      assert.ok(bench.snapshots.length <= 1);
    });
