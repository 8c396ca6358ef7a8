import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { StorageId } from '@felhom/protocol';
import { World } from '../guests/test/world.ts';
import { goldenArchive } from '../guests/test/stand-in-node.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import { formatDescription } from '../guests/pve-config.ts';
import { createFence, createLanes, createRegistry, createRunner, done, noCrashPoints } from '../kernel/index.ts';
import type { SagaDefinition, SagaEnd } from '../kernel/index.ts';
import { restoreFront } from './restore-front.ts';
import type { RestoreFront } from './restore-front.ts';
import type { RestoreFrontState, RestorePlan } from './restore-state.ts';
import { clearRestored } from './restore-undo.ts';

type Trial = SagaDefinition<object, RestoreFrontState, GuestNeeds>;

const plan: RestorePlan = {
  words: { goal: 'test a backup of guest photos', guest: 'the test of guest photos', source: 'backup' },
  archive: goldenArchive,
  storage: 'local' as StorageId,
  range: 'scratch',
  incarnation: 1,
  scenario: 'restore-test',
  pveVersion: '9.2.0',
  values: (marker) => ({
    hostname: 'scratch',
    description: formatDescription(marker, ''),
    cores: '1',
    memory: '256',
    swap: '0',
    onboot: '0',
    protection: '0',
    rootfs: 'local:8',
    net0: 'name=eth0,bridge=vmbr0,link_down=1',
    net1: 'name=eth1,bridge=vmbr0,link_down=1',
  }),
};

/** Restores, and takes it away again going forward. */
const trial = (
  onFailure: RestoreFront<object, RestoreFrontState, GuestNeeds>['onFailure'],
  over: Partial<RestorePlan> = {},
): Trial => ({
  name: 'trial',
  version: 1,
  parseParams: () => ({}),
  lanes: () => [],
  attemptCap: 5,
  steps: [
    ...restoreFront<object, RestoreFrontState, GuestNeeds>({
      planOf: async () => done({ ...plan, ...over }),
      ...(onFailure === undefined ? {} : { onFailure }),
    }),
    {
      name: 'teardown',
      run: async (ctx, signal) => {
        const cleared = await clearRestored(ctx, signal);
        return cleared.is === 'done' ? done({}) : cleared;
      },
      probe: async () => ({ is: 'never-happened' }),
    },
  ],
});

function run(world: World, saga: Trial): Promise<SagaEnd> {
  const { journal, clock, random } = world;
  const runner = createRunner({
    journal,
    clock,
    random,
    fence: createFence(journal, clock),
    lanes: createLanes(clock),
    registry: createRegistry([saga]),
    crashPoints: noCrashPoints,
  });
  return runner.start(saga, {}, world.needs()).ended;
}

test('a guest of another range comes with its env and is taken away by a step forward', async () => {
  const world = new World();
  const restored: Readonly<Record<string, string>>[] = [];
  const restore = world.node.writer.restore.bind(world.node.writer);
  world.node.writer.restore = (call, signal) => {
    restored.push(call.values);
    return restore(call, signal);
  };
  const end = await run(world, trial('value'));
  assert.equal(end.is, 'completed', JSON.stringify(end));
  assert.ok(end.is === 'completed' && end.state['vmid'] === 9020 && end.state['restoreFailure'] === undefined);
  assert.equal(restored[0]?.['env'], 'FELHOM_IDENTITY=test', 'though the values did not say so');
  assert.equal(world.node.guests.size, 0);
  assert.equal(world.node.volumes.size, 0);
});

test('an env of the plan is passed as it is', async () => {
  const world = new World();
  const values: RestorePlan['values'] = (marker) => ({ ...plan.values(marker), env: 'FELHOM_CLAIM=x' });
  const end = await run(world, trial('value', { values }));
  assert.ok(end.is === 'completed' && (end.state['sent'] as { env: string }).env === 'FELHOM_CLAIM=x');
});

const failures: readonly [string, (world: World) => void, string][] = [
  [
    'the archive is corrupt',
    (world) =>
      world.node.mishaps.restore.push({
        fails: 'unable to restore CT 9020 - command tar failed: exit code 2',
        log: ['zstd: unexpected end of file'],
      }),
    'guest.archive-corrupt',
  ],
  [
    'the restored config has a device',
    (world) => (world.node.smuggled = { dev0: '/dev/sda' }),
    'guest.archive-refused',
  ],
];
for (const [name, given, code] of failures) {
  test(`${name}: a value for those who want it as one, and nothing is left`, async () => {
    const world = new World();
    given(world);
    const end = await run(world, trial('value'));
    assert.equal(end.is, 'completed', JSON.stringify(end));
    assert.equal(end.is === 'completed' && (end.state['restoreFailure'] as { code: string }).code, code);
    assert.equal(world.node.guests.size + world.node.volumes.size, 0);
  });
  test(`${name}: unwinds unless told`, async () => {
    const world = new World();
    given(world);
    const end = await run(world, trial(undefined));
    assert.ok(end.is === 'unwound' && end.why.code === code, JSON.stringify(end));
    assert.equal(world.node.guests.size + world.node.volumes.size, 0);
  });
}

test('a worker that was killed says nothing about the archive, so it is no value', async () => {
  const world = new World();
  world.node.mishaps.restore.push('killed-at-stub');
  const end = await run(world, trial('value'));
  assert.ok(end.is === 'unwound' && end.why.code === 'guest.restore-died', JSON.stringify(end));
});
