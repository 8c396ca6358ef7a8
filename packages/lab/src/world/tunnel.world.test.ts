/** What the tunnel lets in, signed by operators and carried out by root, over a hub that would like something else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTunnel, tunnelDeclaration } from '@felhom/protocol';
import { createSimRandom } from '../simulation/sim-random.ts';
import { createOperator } from './operators.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const minute = 60_000;
const leading = (address: string) =>
  tunnelDeclaration.parse({
    tunnel: '00000000-0000-4000-8000-000000000000',
    ingress: [{ hostname: 'photos.example.org', service: `http://${address}:80` }, { service: 'http_status:404' }],
  });
const photos = leading('192.168.1.50');
const wiki = leading('192.168.1.51');

async function booted(): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 7 });
  world.hub.publish([]);
  world.boot();
  const up = await world.until(() => world.life()?.agent.report().converged === true, 10 * minute);
  assert.ok(up);
  return world;
}

async function ends(
  world: SimWorld,
  { envelope, jobId }: Pick<ReturnType<SimWorld['sign']>, 'envelope' | 'jobId'>,
): Promise<string> {
  world.hub.mail(envelope);
  const found = () =>
    world
      .life()
      ?.agent.report()
      .jobs.find((one) => one.jobId === jobId);
  await world.until(() => ['done', 'failed', 'refused'].includes(found()?.state ?? ''), 10 * minute);
  return `${found()?.state}: ${found()?.text}`;
}

test('signed, it comes into force by root’s hand, once, over a helper that dies', async () => {
  const world = await booted();
  world.root.trip('dies without a receipt');
  const job = world.sign('tunnel-change', { declaration: photos }, [world.people.alice]);
  assert.match(await ends(world, job), /^done/);
  assert.deepEqual(world.root.tunnel(), photos);
  const next = world.sign('tunnel-change', { before: digestOfTunnel(photos), declaration: wiki }, [world.people.alice]);
  assert.match(await ends(world, next), /^done/);
  assert.deepEqual(world.root.tunnel(), wiki);
});

test('what was signed against other rules, or by a stranger, changes nothing', async () => {
  const world = await booted();
  const first = world.sign('tunnel-change', { declaration: photos }, [world.people.alice]);
  assert.match(await ends(world, first), /^done/);
  const stale = world.sign('tunnel-change', { declaration: wiki }, [world.people.alice]);
  assert.match(await ends(world, stale), /^failed.*other rules are in force/);
  const outsider = createOperator('mallory', createSimRandom(9));
  const stranger = world.sign('tunnel-change', { before: digestOfTunnel(photos), declaration: wiki }, [outsider]);
  assert.doesNotMatch(await ends(world, stranger), /^done/);
  assert.deepEqual(world.root.tunnel(), photos);
});
