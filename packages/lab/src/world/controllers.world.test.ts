/** A guest that is to have a controller gets its claim from its host, reads it at a start, and gets its token for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClaim } from '@felhom/protocol';
import { labGuest, livingGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const minute = 60_000;

async function envOf(world: SimWorld, vmid: number, current: boolean): Promise<string> {
  const read = await world.clock.runUntil(
    world.node.handle({
      method: 'GET',
      path: `/nodes/${world.node.name}/lxc/${vmid}/config`,
      as: 'root@pam',
      params: current ? { current: '1' } : {},
    }),
  );
  const { data } = read.body as { readonly data: { readonly env?: string } };
  return data.env ?? '';
}

const claimIn = (env: string): string | undefined =>
  env
    .split('\0')
    .find((entry) => entry.startsWith('FELHOM_CLAIM='))
    ?.slice('FELHOM_CLAIM='.length);

test('a claim is given, redeemed once at the own port, and leaves config and disk without a trace', async () => {
  const world = await createSimWorld({ seed: 11 });
  const web = { ...labGuest('web'), controller: { role: 'apps', config: {} } };
  world.hub.publish([web]);
  const { agent } = world.boot();
  assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'it comes up');
  const { vmid, uid } = agent.guests()[0] ?? assert.fail('there is no guest');
  let env = '';
  for (let waited = 0; waited < 40 && claimIn(env) === undefined; waited++) {
    await world.until(() => false, minute);
    env = await envOf(world, vmid, true);
  }
  const claim = parseClaim(claimIn(env) ?? '') ?? assert.fail(`no claim in ${JSON.stringify(env)}`);
  assert.equal(claim.address, '192.168.1.2:8470');

  const api = agent.localApi() ?? assert.fail('there is no local API');
  const redeem = () =>
    world.clock.runUntil(
      api.handle(
        {
          method: 'POST',
          target: '/v1/bootstrap/redeem',
          headers: { 'content-type': 'application/json' },
          readBody: async () => new TextEncoder().encode(JSON.stringify({ claim: claim.secret })),
          port: { is: 'guest', vmid, net: 0, mac: 'BC:24:11:00:00:01', port: `veth${vmid}i0` },
        },
        new AbortController().signal,
      ),
    );
  const first = await redeem();
  const { token, guest } = JSON.parse(first.body) as { readonly token: string; readonly guest: string };
  assert.deepEqual([first.status, guest], [200, uid]);
  assert.equal((await redeem()).status, 422, 'once');

  let left = env;
  for (let waited = 0; waited < 90 && claimIn(left) !== undefined; waited++) {
    await world.until(() => false, minute);
    left = await envOf(world, vmid, false);
  }
  assert.equal(claimIn(left), undefined, 'it leaves the config');
  const disk = Buffer.from(world.copyDisk()).toString('latin1');
  assert.ok(disk.includes('claim/'), 'what was looked through is the journal');
  for (const secret of [claim.secret, token.slice('felhom1_'.length)]) assert.ok(!disk.includes(secret));
});

test('a machine that slept, or whose clock was set, does not take the silence of that time for one of its guests', async () => {
  for (const step of ['suspend', 'jumpWall'] as const) {
    const world = await createSimWorld({ seed: 12, programs: true });
    world.hub.publish([livingGuest('web')]);
    const { agent } = world.boot();
    assert.ok(await world.until(() => agent.report().converged, 10 * minute), 'it comes up');
    const { vmid } = agent.guests()[0] ?? assert.fail('there is no guest');
    await world.clock.advance(5 * minute);
    // Between the last word of the guest and the next round.
    world.clock[step](25 * 60 * minute);
    await world.clock.advance(12 * minute);
    const stops = world.node.tasks.all().filter(({ parts }) => /^vz(?:shutdown|stop|reboot)$/.test(parts.type));
    assert.deepEqual(
      stops.map(({ upid }) => upid),
      [],
      `${step}: guest ${vmid} is left alone`,
    );
  }
});
