import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLocalClient } from '../client/client.ts';
import { createSupervisor } from '../supervisor/supervisor.ts';
import { fakeHost, idOf, problem } from '../test/fake-host.ts';
import type { FakeHost } from '../test/fake-host.ts';
import { countingRandom, handClock } from '../test/hand-clock.ts';
import { memoryApps } from '../test/memory-apps.ts';
import { memoryFiles } from '../test/memory-files.ts';
import { mortal } from '../test/mortal.ts';
import type { Mortal } from '../test/mortal.ts';
import { readStandstill } from '../standstill.ts';
import { createController } from './controller.ts';

const token = `felhom1_${'A'.repeat(43)}`;
/** The host grants two minutes; whatever happens, apps run again by then. */
const leaseMs = 120_000;

function guest() {
  const clock = handClock();
  const files = memoryFiles();
  const apps = memoryApps();
  const host = fakeHost(clock);
  files.put('/srv/data/orders', 'one');
  files.put('/etc/motd', 'hello');
  const dueAt = (): FakeHost['due'][number] => ({
    id: idOf('d'),
    tier: 'local',
    scope: 'guest',
    since: clock.now(),
    graceUntil: clock.now() + 3_600_000,
  });
  host.due = [dueAt()];
  const immortal = mortal(-1, 'before');
  /** A controller's process: `life` may end it at any await. */
  const startController = (life: Mortal, signal: AbortSignal): void => {
    const own = { clock: life.wrap(clock), files: life.wrap(files), apps: life.wrap(apps) };
    const client = createLocalClient({ transport: life.wrap(host), clock: own.clock, token });
    const controller = createController({
      ...own,
      client,
      guest: idOf('g'),
      random: countingRandom(),
      config: {},
      say: () => undefined,
    });
    controller.run(signal).catch(() => undefined);
  };
  const startSupervisor = (signal: AbortSignal): void => {
    const client = createLocalClient({ transport: host, clock, token });
    const images = { run: () => Promise.resolve({ is: 'failed' as const, text: 'none' }) };
    createSupervisor({ client, files, apps, images, clock, say: () => undefined })
      .run(signal)
      .catch(() => undefined);
  };
  return { clock, files, apps, host, immortal, startController, startSupervisor };
}

describe('a due backup', () => {
  it('stands the apps still for no longer than the capture takes', async () => {
    const { clock, apps, host, immortal, startController, files } = guest();
    const stop = new AbortController();
    startController(immortal, stop.signal);
    await clock.advance(1_000);
    assert.equal(apps.state, 'standing');
    assert.notEqual(host.quiescedUntil, undefined);
    await clock.advance(4_000);
    assert.equal(apps.state, 'running');
    assert.equal(host.quiescedUntil, undefined);
    assert.equal(await readStandstill(files), 'none');
    const order = host.asked.map(({ method, path }) => `${method} ${path.split('?')[0]}`);
    const at = (what: string): number => order.indexOf(what);
    assert.ok(at('POST /v1/quiesce') < at('POST /v1/manifest'), order.join('\n'));
    assert.ok(at('POST /v1/manifest') < at('POST /v1/backup'), order.join('\n'));
    assert.ok(at('POST /v1/backup') < at('DELETE /v1/quiesce'), order.join('\n'));
    assert.deepEqual(host.manifests[0]?.volumes.map(({ path, files: count }) => [path, count]).slice(0, 2), [
      // motd, the record of the standstill and the manifest itself.
      ['/', 3],
      ['/srv/data', 1],
    ]);
    stop.abort();
  });

  for (const silent of [false, true])
    it(`that is never captured ends before the host has to end it${silent ? ', also when the host has gone silent' : ''}`, async () => {
      const { clock, apps, host, immortal, startController } = guest();
      const stop = new AbortController();
      host.captureMs = Infinity;
      if (silent) host.override = ({ path }) => (path === '/v1/backup/status' ? 'silent' : undefined);
      startController(immortal, stop.signal);
      await clock.advance(1_000);
      assert.equal(apps.state, 'standing');
      await clock.advance(leaseMs - 2_000);
      assert.equal(apps.state, 'running');
      await clock.advance(60_000);
      assert.equal(apps.state, 'running', 'they went from one standstill into the next');
      stop.abort();
    });

  const refusals: readonly { name: string; route: string; answer: ReturnType<FakeHost['override']>; stood: boolean }[] =
    [
      { name: 'the lease is refused', route: 'POST /v1/quiesce', answer: problem(409, 'busy'), stood: false },
      { name: 'the lease is lost', route: 'POST /v1/quiesce', answer: 'lost', stood: false },
      { name: 'the backup is refused', route: 'POST /v1/backup', answer: problem(429, 'quota'), stood: true },
      { name: 'the manifest is refused', route: 'POST /v1/manifest', answer: problem(413, 'too long'), stood: true },
    ];
  for (const { name, route, answer, stood } of refusals)
    it(`${name}: the apps run`, async () => {
      const { clock, apps, host, immortal, startController } = guest();
      const stop = new AbortController();
      host.override = ({ method, path }) => (`${method} ${path}` === route ? answer : undefined);
      startController(immortal, stop.signal);
      await clock.advance(10_000);
      assert.equal(apps.state, 'running');
      assert.equal(apps.seen.includes('quiesce'), stood);
      stop.abort();
    });
});

describe('a controller that is killed', () => {
  const countCalls = async (captureMs: number): Promise<number> => {
    const { clock, host, immortal, startController } = guest();
    const stop = new AbortController();
    host.captureMs = captureMs;
    startController(immortal, stop.signal);
    await clock.advance(captureMs + 1_500);
    stop.abort();
    return immortal.calls();
  };

  for (const when of ['before', 'after'] as const)
    for (const healer of ['its next start', 'the supervisor'] as const)
      it(`at any await, ${when} its effect: ${healer} lets the apps go on in time`, async () => {
        const calls = await countCalls(3_000);
        assert.ok(calls > 30, `only ${calls} awaits were seen`);
        let standing = 0;
        for (let fatal = 1; fatal <= calls; fatal += 1) {
          const { clock, apps, host, immortal, startController, startSupervisor, files } = guest();
          const life = mortal(fatal, when);
          const stop = new AbortController();
          const startedAt = clock.now();
          if (healer === 'the supervisor') startSupervisor(stop.signal);
          startController(life, stop.signal);
          await clock.advance(6_000);
          assert.equal(life.dead(), true, `await ${fatal} was never reached`);
          if (apps.state === 'standing') standing += 1;
          host.due = [];
          if (healer === 'its next start') startController(immortal, stop.signal);
          await clock.advance(healer === 'its next start' ? 1_000 : startedAt + leaseMs - clock.now());
          assert.equal(apps.state, 'running', `killed ${when} await ${fatal}`);
          assert.equal(await readStandstill(files), 'none');
          stop.abort();
        }
        // Else this proved nothing.
        assert.ok(standing > 10, `apps stood still in ${standing} cases only`);
      });
});
