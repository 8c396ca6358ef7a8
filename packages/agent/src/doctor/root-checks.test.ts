import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { HostFacts, UnitState } from '../ports/host-facts.ts';
import { checkRootsThings } from './root-checks.ts';
import type { DeclaredStorage, RootNeeds } from './root-checks.ts';

const never = new AbortController().signal;
const tokenId = 'felhom-agent@pve!agent';
const mount = String.raw`mnt-felhom-usb\x2d1.mount`;
const unit = (name: string, change: Partial<UnitState> = {}): UnitState => ({
  unit: name,
  load: 'loaded',
  active: 'active',
  file: 'enabled',
  restarts: 0,
  result: 'success',
  job: false,
  ...change,
});
const usb: DeclaredStorage = { is: 'declared', disks: [{ target: 'usb-1', unit: mount }], sealed: ['nas-1'] };
const tunnel = 'felhom-cloudflared.service';

interface World {
  readonly token?: string;
  readonly declared?: DeclaredStorage;
  readonly units?: readonly UnitState[];
  readonly credential?: Outcome<void>;
  readonly fence?: Outcome<boolean>;
  readonly root?: undefined;
}
async function told(world: World): Promise<readonly string[]> {
  const units = world.units ?? [unit(mount), unit(tunnel)];
  const needs: RootNeeds = {
    policy: { token: world.token ?? tokenId },
    tokenId,
    declared: () => world.declared ?? usb,
    rootChecks:
      'root' in world
        ? undefined
        : {
            credentialTest: async () => world.credential ?? done(undefined),
            tunnelFence: async () => world.fence ?? done(true),
          },
    host: {
      units: async (names: readonly string[]) => done(units.filter((one) => names.includes(one.unit))),
    } as unknown as HostFacts,
  };
  const checks = await checkRootsThings(needs, never);
  for (const { verdict, advice, text } of checks)
    if (verdict === 'failed' || verdict === 'warning') assert.ok(advice !== undefined, `what to do about: ${text}`);
  return checks.map(({ check, verdict }) => `${check}: ${verdict}`);
}
const well = [
  'token of the policy: ok',
  'mount unit of usb-1: ok',
  'credential of nas-1: ok',
  'fence of the tunnel by port: ok',
];
const but = (...other: readonly string[]): readonly string[] =>
  well.map((line) => other.find((one) => one.split(':')[0] === line.split(':')[0]) ?? line);

const no = reason('helper.refused', 'cannot: it does other things');
const rows: readonly [name: string, world: World, want: readonly string[]][] = [
  ['all is well', {}, well],
  ['the policy is for another token', { token: 'root@pam!x' }, but('token of the policy: failed')],
  ['nothing declared', { declared: { is: 'declared', disks: [], sealed: [] } }, [well[0] ?? '', well[3] ?? '']],
  [
    'declarations do not read',
    { declared: { is: 'unreadable', why: reason('storage.manifest-unreadable', 'cannot read it') } },
    [well[0] ?? '', 'declared targets: failed', well[3] ?? ''],
  ],
  [
    'a unit that is not enabled',
    { units: [unit(mount, { file: 'disabled' }), unit(tunnel)] },
    but('mount unit of usb-1: failed'),
  ],
  [
    'a unit that is not there',
    { units: [unit(mount, { load: 'not-found', file: '' }), unit(tunnel)] },
    but('mount unit of usb-1: failed'),
  ],
  [
    'what was sealed elsewhere',
    { credential: refused(reason('helper.busy', 'cannot open')) },
    but('credential of nas-1: failed'),
  ],
  [
    'root does other things',
    { credential: refused(no), fence: refused(no) },
    but('credential of nas-1: skipped', 'fence of the tunnel by port: skipped'),
  ],
  ['root is silent', { credential: unknown(reason('helper.died', 'cannot')) }, but('credential of nas-1: failed')],
  ['the fence was flushed', { fence: done(false) }, but('fence of the tunnel by port: failed')],
  [
    'no tunnel runs',
    { units: [unit(mount), unit(tunnel, { active: 'inactive' })], fence: done(false) },
    well.slice(0, 3),
  ],
  ['no program of root', { root: undefined }, well.slice(0, 2)],
];
for (const [name, world, want] of rows)
  test(`what root keeps for the agent: ${name}`, async () => {
    assert.deepEqual(await told(world), want);
  });
