import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLocalClient } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import { fakeHost, idOf, problem, roomyStorage } from '../test/fake-host.ts';
import { countingRandom, handClock } from '../test/hand-clock.ts';
import { memoryApps } from '../test/memory-apps.ts';
import { memoryFiles } from '../test/memory-files.ts';
import { objectionTo } from './bulk-duty.ts';
import { createController } from './controller.ts';
import { consentWords } from '@felhom/protocol';

function guest(config: Record<string, string> = {}) {
  const clock = handClock();
  const files = memoryFiles();
  const apps = memoryApps();
  const host = fakeHost(clock);
  const client = createLocalClient({ transport: host, clock, token: 'x' });
  const controller = createController({
    client,
    guest: idOf('g'),
    files,
    apps,
    clock,
    random: countingRandom(),
    config,
    say: () => undefined,
  });
  files.put(
    `${guestPaths.stacks}/shop/.felhom.yml`,
    'v: 1\napp: shop\nvolumes:\n  - path: /srv/data/db\n    kind: hot\n',
  );
  const never = new AbortController().signal;
  return { clock, files, apps, host, controller, never };
}

describe('the own backup of a bulk volume', () => {
  const bulkDue = (now: number) => ({
    id: idOf('e'),
    tier: 'own',
    scope: 'bulk' as const,
    volume: 'photos',
    since: now,
    graceUntil: now + 1e7,
  });
  it('is a checked copy beside the older ones, reported with its numbers', async () => {
    const { clock, files, host, controller, apps } = guest({ bulk_target: '/srv/copies' });
    files.put('/srv/photos/2026/a.jpg', 'aaaa');
    files.put('/srv/photos/b.jpg', 'bb');
    files.put('/srv/photos/latest', '-> b.jpg');
    files.put('/srv/copies/photos/20200101T000000Z.partial/data/x', 'left');
    for (const old of ['20200101T000000Z', '20200102T000000Z', '20200103T000000Z'])
      files.put(`/srv/copies/photos/${old}/manifest.json`, '{}');
    host.due = [bulkDue(clock.now())];
    const stop = new AbortController();
    controller.run(stop.signal).catch(() => undefined);
    await clock.advance(1_000);
    const [report] = host.bulk;
    assert.deepEqual([report?.files, report?.sizeBytes, report?.failed], [2, 6, undefined]);
    assert.ok(report?.checkedAt !== undefined);
    const copy = `/srv/copies/photos/${report?.snapshot}/data`;
    assert.equal(files.text(`${copy}/2026/a.jpg`), 'aaaa');
    assert.ok(files.paths().includes(`${copy}/latest`));
    const kept = (await files.list('/srv/copies/photos')).map(({ name }) => name).toSorted();
    assert.deepEqual(kept, ['20200102T000000Z', '20200103T000000Z', report?.snapshot]);
    assert.equal(apps.seen.includes('quiesce'), false);
    stop.abort();
  });
  const targets: readonly [string | undefined, string | undefined][] = [
    [undefined, 'no target is configured'],
    ['/srv/photos/copies', 'inside the volume itself'],
    ['/srv/photos', 'inside the volume itself'],
    ['/var/copies', 'not on a mount of its own'],
    ['/srv/copies', undefined],
  ];
  for (const [target, want] of targets)
    it(`to ${target ?? 'nowhere'}: ${want ?? 'fine'}`, () => {
      const objection = objectionTo('/srv/photos', target, roomyStorage.volumes);
      if (want === undefined) assert.equal(objection, undefined);
      else assert.ok(objection?.includes(want) === true, `it says: ${objection}`);
    });
  it('that cannot be taken is reported as failed', async () => {
    const { clock, host, controller } = guest();
    host.due = [bulkDue(clock.now())];
    const stop = new AbortController();
    controller.run(stop.signal).catch(() => undefined);
    await clock.advance(1_000);
    assert.match(host.bulk[0]?.failed ?? '', /no target is configured/);
    assert.match((await controller.health()).text, /no target/);
    stop.abort();
  });
});

describe('a deployment', () => {
  const going = async (make: (one: ReturnType<typeof guest>) => void = () => undefined) => {
    const one = guest();
    make(one);
    const seen: { over?: true } = {};
    const result = one.controller.deploy('shop', one.never).finally(() => (seen.over = true));
    for (let minute = 0; minute < 30 && seen.over === undefined; minute += 1) await one.clock.advance(60_000);
    const routes = one.host.asked.map(({ method, path }) => `${method} ${path}`);
    return { ...one, result: await result, routes };
  };
  it('takes a checkpoint before it starts anything', async () => {
    const { result, apps, routes } = await going();
    assert.deepEqual(result, { is: 'healthy', checkpoint: 'felhom-1' });
    assert.ok(routes.includes('POST /v1/snapshot') && apps.seen.includes('start'));
  });
  const refusals: readonly [string, (one: ReturnType<typeof guest>) => void, RegExp][] = [
    [
      'no .felhom.yml',
      ({ files }) => files.put(`${guestPaths.stacks}/shop/.felhom.yml`, '-> /etc/passwd'),
      /has no .felhom.yml/,
    ],
    ['a volume that does not fit', ({ host }) => (host.storage = { ...roomyStorage, volumes: [] }), /cannot place/],
    [
      'a host without checkpoints',
      ({ host }) => (host.storage = { ...roomyStorage, checkpoint: { by: 'none', why: 'no room' } }),
      /no room/,
    ],
    [
      'a checkpoint that is refused',
      ({ host }) => (host.override = ({ path }) => (path === '/v1/snapshot' ? problem(409, 'busy') : undefined)),
      /busy/,
    ],
  ];
  for (const [name, make, want] of refusals)
    it(`changes nothing with ${name}`, async () => {
      const { result, apps } = await going(make);
      assert.ok(result.is === 'refused');
      assert.match(result.texts.join(), want);
      assert.equal(apps.seen.includes('start'), false);
    });
  it('goes back when the app does not become healthy', async () => {
    const { result, routes } = await going(({ apps }) => (apps.healthWord = 'unhealthy'));
    assert.equal(result.is, 'rolled-back');
    assert.ok(routes.includes('POST /v1/rollback'));
  });
  it('says why it could not go back', async () => {
    const { result } = await going(({ apps, host }) => {
      apps.healthWord = 'unhealthy';
      host.override = ({ path }) => (path === '/v1/rollback' ? problem(403, 'a signed job is needed') : undefined);
    });
    assert.equal(result.is === 'left' && result.why, 'a signed job is needed');
  });
});

describe('consent', () => {
  it('takes the exact words and nothing else', async () => {
    const { controller, host, never } = guest();
    host.override = ({ path, method }) =>
      path === '/v1/consent/break-glass' ? { status: 200, body: { given: method === 'POST' } } : undefined;
    assert.equal((await controller.consent('yes', never)).is, 'refused');
    assert.equal(host.asked.length, 0);
    const given = await controller.consent(` ${consentWords} `, never);
    assert.deepEqual(given, { is: 'ok', value: { given: true } });
    assert.deepEqual(await controller.consent(undefined, never), { is: 'ok', value: { given: false } });
  });
});
