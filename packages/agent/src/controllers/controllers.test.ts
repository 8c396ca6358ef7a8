import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { Bench, images, photosRecord, photosRef, releaseOf, says, wanted } from './test/bench.ts';

const { uid } = photosRef;
const generation = (bench: Bench): number | undefined => bench.controllers.desiredController(uid)?.generation;

test('what is offered comes with the signed release that names it', () => {
  const bench = new Bench().withGuest();
  const { image, outward } = bench.controllers.desiredController(uid) ?? assert.fail();
  assert.deepEqual(image?.release, { payload: 'e30=', signatures: ['signed'] });
  assert.deepEqual([image?.digest, outward], [images['1.0.0'], true]);
});

test('without a release, or without a controller in desired state, nothing is offered', () => {
  const bench = new Bench().withGuest();
  bench.release = undefined;
  assert.equal(bench.controllers.desiredController(uid)?.image, null);
  assert.deepEqual(
    bench.controllers.findings([photosRecord]).map(({ key }) => key),
    ['controller.no-release'],
  );
  bench.release = releaseOf('1.0.0');
  bench.desired = undefined;
  assert.equal(bench.controllers.desiredController(uid)?.image, null);
  assert.deepEqual(bench.controllers.findings([photosRecord]), []);
});

test('the generation is raised by what the supervisor has to do anew, and by nothing else', () => {
  const bench = new Bench().withGuest();
  const first = generation(bench) ?? assert.fail();
  assert.equal(generation(bench), first);
  bench.release = { ...releaseOf('1.0.0'), signatures: ['signed', 'by one more'] };
  assert.equal(generation(bench), first);
  bench.release = undefined;
  assert.equal(generation(bench), first, 'an expired release stops nothing that runs');
  bench.registry.put({ ...photosRecord, scratch: true });
  assert.equal(generation(bench), first + 1);
  assert.equal(bench.controllers.desiredController(uid)?.outward, false);
});

test('an unsigned wish changes neither the configuration nor the role of what runs, and is told', () => {
  const bench = new Bench().withGuest();
  bench.desired = wanted({ repository: 'ours' });
  assert.deepEqual(bench.controllers.desiredController(uid)?.config, { repository: 'ours' });
  bench.desired = wanted({ repository: 'somebody else' });
  assert.deepEqual(bench.controllers.desiredController(uid)?.config, { repository: 'ours' });
  assert.deepEqual(
    bench.controllers.findings([photosRecord]).map(({ key }) => key),
    ['controller.config-differs'],
  );
});

test('whoever waits is woken by a change, and answered with what is there when nothing changes', async () => {
  const bench = new Bench().withGuest();
  const known = generation(bench) ?? assert.fail();
  bench.release = releaseOf('1.1.0');
  const { signal } = new AbortController();
  // The clock stands still until it is told: only the change can end this.
  bench.clock.sleep = (_, asleep) =>
    new Promise((_resolve, reject) => asleep.addEventListener('abort', () => reject(asleep.reason as Error)));
  const waiting = bench.controllers.changed(uid, known, 50_000, signal);
  const image = bench.controllers.newerImage(uid) ?? assert.fail();
  assert.equal(bench.controllers.offer(photosRef, image).is, 'done');
  assert.equal((await waiting)?.generation, known + 1);
  assert.equal((await bench.controllers.changed(uid, known, 50_000, signal))?.generation, known + 1, 'at once');
  const hungUp = new AbortController();
  const abandoned = bench.controllers.changed(uid, known + 1, 50_000, hungUp.signal);
  hungUp.abort();
  assert.equal((await abandoned)?.generation, known + 1);
});

test('a supervisor that says the same again writes nothing; what it said last survives a restart', () => {
  const bench = new Bench().withGuest();
  bench.controllers.report(uid, says({}));
  let writes = 0;
  const journal = { ...bench.journal };
  bench.journal.put = (document) => (writes++, journal.put(document));
  bench.now += 60_000;
  bench.controllers.report(uid, says({ text: 'other words' }));
  assert.deepEqual([writes, bench.controllers.heard(uid)?.at], [0, bench.now]);
  bench.controllers.report(uid, says({ health: 'unhealthy' }));
  assert.equal(writes, 1);
  bench.journal = bench.journal.reopen();
  const again = new Bench();
  again.journal = bench.journal;
  assert.equal(again.controllers.heard(uid)?.status.health, 'unhealthy');
});

test('nothing is kept of a guest that is not on record', () => {
  const bench = new Bench();
  bench.controllers.report(uid, says({}));
  assert.deepEqual([bench.controllers.heard(uid), bench.journal.list('controller/')], [undefined, []]);
});

test('a release that cannot be reached from here is not tried', () => {
  const bench = new Bench().withGuest();
  generation(bench);
  bench.release = { ...releaseOf('1.2.0'), manifest: { ...releaseOf('1.2.0').manifest, minFrom: '1.1.0' } };
  assert.equal(bench.controllers.newerImage(uid), undefined);
  bench.release = { ...releaseOf('1.2.0'), manifest: { ...releaseOf('1.2.0').manifest, minFrom: '1.0.0' } };
  assert.equal(bench.controllers.newerImage(uid)?.version, '1.2.0');
});

test('an order to revert keeps its generation, whatever else changes', () => {
  const bench = new Bench().withGuest();
  generation(bench);
  bench.release = releaseOf('1.1.0');
  const image = bench.controllers.newerImage(uid) ?? assert.fail();
  bench.controllers.offer(photosRef, image);
  const why = reason('controller.unhealthy', 'it was not');
  const reverted = bench.controllers.revert(uid, { digest: image.digest, why });
  bench.registry.put({ ...photosRecord, scratch: true });
  assert.equal(generation(bench), reverted);
  assert.equal(bench.controllers.revert(uid, { digest: image.digest, why }), reverted, 'twice is once');
});
