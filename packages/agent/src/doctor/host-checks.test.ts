import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, unknown } from '../kernel/saga.ts';
import type { HostFacts, TokenLife, UnitState } from '../ports/host-facts.ts';
import { checkHostItself, judgeFence } from './host-checks.ts';

const never = new AbortController().signal;
const edge = ['127.0.0.1/32', '198.41.192.0/24', '2606:4700:a0::/48'];
const own = ['192.168.1.2', 'fe80::1', '2001:db8::2'];

test('whether the tunnel could get to the host itself', () => {
  for (const [name, allowed, verdict, says] of [
    ['guests by address', [...edge, '192.168.1.50/32', '192.168.1.51/32'], 'ok', /not this host/],
    ['no fence at all', [], 'failed', /every address/],
    ['the LAN that the host is in', [...edge, '192.168.1.0/24'], 'failed', /192\.168\.1\.2 \(in 192\.168\.1\.0\/24\)/],
    ['everything', ['0.0.0.0/0'], 'failed', /192\.168\.1\.2/],
    ['everything of IPv6', ['::/0'], 'failed', /2001:db8::2/],
    ['the host by address', [...edge, '192.168.1.2'], 'failed', /cannot be told apart/],
    ['a network of guests alone', [...edge, '10.98.0.0/24'], 'warning', /10\.98\.0\.0\/24/],
    ['a neighbour of the host', [...edge, '192.168.1.3'], 'ok', /not this host/],
  ] as const) {
    const check = judgeFence({ allowed, own });
    assert.equal(check.verdict, verdict, name);
    assert.match(check.text, says, name);
  }
});

const unit = (name: string, active: string): UnitState => ({
  unit: name,
  load: 'loaded',
  active,
  file: 'enabled',
  restarts: 0,
  result: 'success',
  job: false,
});
const silent = () => Promise.resolve(unknown(reason('host.not-told', 'cannot tell')));

async function examine(host: Partial<HostFacts>, life: TokenLife = { told: true, endsAtSeconds: undefined }) {
  const facts: HostFacts = {
    sample: () => assert.fail('the doctor needs no numbers'),
    units: silent,
    clockSynchronised: silent,
    rebootPending: silent,
    fence: silent,
    ...host,
  };
  const login = { tokenLife: async () => done(life) };
  const checks = await checkHostItself({ clock: { now: () => 0 }, login, host: facts }, never);
  return Object.fromEntries(checks.map(({ check, verdict }) => [check, verdict]));
}

test('a host that is well, one that is not, and one that tells nothing', async () => {
  const units = (active: string) => (names: readonly string[]) =>
    Promise.resolve(done(names.map((name) => unit(name, active))));
  assert.deepEqual(
    await examine({
      units: units('active'),
      clockSynchronised: async () => done(true),
      rebootPending: async () => done(undefined),
      fence: async () => done({ allowed: edge, own }),
    }),
    {
      'life of the token': 'ok',
      'time synchronisation': 'ok',
      'services of Proxmox': 'ok',
      restart: 'ok',
      'fence of the tunnel': 'ok',
    },
  );
  assert.deepEqual(
    await examine(
      {
        units: units('failed'),
        clockSynchronised: async () => done(false),
        rebootPending: async () => done('kernel 7'),
        fence: async () => done({ allowed: ['0.0.0.0/0'], own }),
      },
      { told: true, endsAtSeconds: 5 * 86_400 },
    ),
    {
      'life of the token': 'warning',
      'time synchronisation': 'warning',
      'services of Proxmox': 'failed',
      restart: 'warning',
      'fence of the tunnel': 'failed',
    },
  );
  assert.deepEqual(await examine({}, { told: false, endsAtSeconds: undefined }), {
    'life of the token': 'skipped',
    'time synchronisation': 'skipped',
    'services of Proxmox': 'skipped',
    restart: 'skipped',
  });
});

test('where the agent does not run on its node, only the token is looked at', async () => {
  const login = { tokenLife: async () => done({ told: true, endsAtSeconds: undefined }) };
  const checks = await checkHostItself({ clock: { now: () => 0 }, login, host: undefined }, never);
  assert.deepEqual(
    checks.map(({ check }) => check),
    ['life of the token'],
  );
});
