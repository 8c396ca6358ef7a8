import { test } from 'node:test';
import assert from 'node:assert/strict';
import { identityEnv, identityPolicy, supportsEnv } from './identity-policy.ts';
import type { IdentityRow, Scenario } from './identity-policy.ts';

/** Written out a second time on purpose: a change of the table must be meant twice. */
const fields = [
  'mac',
  'hostname',
  'machineId',
  'sshHostKeys',
  'controllerIdentity',
  'resticRepoId',
  'tunnel',
  'hubBinding',
  'link',
  'onboot',
  'directive',
] as const satisfies readonly (keyof IdentityRow)[];

const expected: Readonly<Record<Scenario, readonly string[]>> = {
  provision: [
    'fresh',
    'desired',
    'fresh',
    'fresh',
    'fresh',
    'fresh',
    'fresh',
    'fresh',
    'up-when-audited',
    'after-healthy',
    'fresh',
  ],
  'guest-loss': [
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'up-when-audited',
    'after-healthy',
    'continue',
  ],
  'host-loss': [
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'up-when-audited',
    'after-healthy',
    'continue',
  ],
  'restore-aside': [
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'keep',
    'up-at-swap',
    'after-pivot',
    'continue',
  ],
  copy: [
    'fresh',
    'desired',
    'fresh',
    'fresh',
    'fresh',
    'fresh',
    'none',
    'fresh',
    'up-when-audited',
    'after-healthy',
    'fresh',
  ],
  'restore-test': ['fresh', 'scratch', 'fresh', 'fresh', 'none', 'none', 'none', 'none', 'down', 'off', 'test'],
};

for (const [scenario, row] of Object.entries(expected) as [Scenario, readonly string[]][])
  for (const [at, field] of fields.entries())
    test(`${scenario}: ${field} is ${row[at]}`, () => assert.equal(identityPolicy[scenario][field], row[at]));

test('every field of every scenario is in the table', () => {
  for (const row of Object.values(identityPolicy)) assert.deepEqual(Object.keys(row), [...fields]);
  assert.deepEqual(Object.keys(identityPolicy), Object.keys(expected));
});

const versions: readonly [string, boolean][] = [
  ['9.2.11', true],
  ['9.1', true],
  ['9.0.3', false],
  ['8.4.1', false],
  ['10.0', true],
  ['unknown', false],
];
for (const [version, expect] of versions)
  test(`PVE ${version} takes env: ${expect}`, () => {
    assert.equal(supportsEnv(version), expect);
    assert.equal(identityEnv('restore-test', version), expect ? 'FELHOM_IDENTITY=test' : undefined);
  });

for (const scenario of Object.keys(expected) as Scenario[])
  test(`${scenario}: the guest reads its directive`, () => {
    assert.equal(identityEnv(scenario, '9.2.0'), `FELHOM_IDENTITY=${expected[scenario].at(-1)}`);
  });

test('only a guest that takes the place of its source keeps anything of it', () => {
  for (const [scenario, row] of Object.entries(identityPolicy)) {
    const replaces = ['guest-loss', 'host-loss', 'restore-aside'].includes(scenario);
    for (const field of ['mac', 'machineId', 'sshHostKeys', 'controllerIdentity', 'resticRepoId', 'tunnel'] as const)
      assert.equal(row[field] === 'keep', replaces, `${scenario} ${field}`);
  }
});
