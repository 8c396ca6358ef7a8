import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reason } from '@felhom/protocol';
import { done, refused, unknown } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { StoredDocument } from '../kernel/journal.ts';
import type { UnitState } from '../ports/host-facts.ts';
import { decideRestart, mostTries, restartHelps, wordsOfTries } from './decide-restart.ts';
import type { RestartLook } from './decide-restart.ts';
import { tunnelUnit } from './judge-tunnel.ts';
import type { TunnelLook } from './judge-tunnel.ts';
import { unit } from './test/looks.ts';
import { createTunnelRestarts } from './tunnel-restarts.ts';

const minute = 60_000;
const never = new AbortController().signal;
const of = (change: Partial<UnitState>): UnitState => unit(tunnelUnit, change);
const hanging: TunnelLook = {
  unit: of({}),
  declared: true,
  connections: 0,
  hubReached: true,
  namesResolve: undefined,
};

const helps: readonly [name: string, change: Partial<TunnelLook>, want: boolean][] = [
  ['no connection, and the hub is heard of', {}, true],
  ['no connection, and a name is answered', { hubReached: false, namesResolve: true }, true],
  ['it does not answer on its own port', { connections: undefined }, true],
  ['systemd gave it up', { unit: of({ active: 'failed', result: 'start-limit-hit' }), connections: undefined }, true],
  ['connected', { connections: 1 }, false],
  ['no internet', { hubReached: false, namesResolve: false }, false],
  ['whether the internet is there is not known', { hubReached: undefined }, false],
  ['failed, and no internet', { unit: of({ active: 'failed' }), hubReached: undefined, namesResolve: false }, false],
  ['stopped by somebody', { unit: of({ active: 'inactive' }) }, false],
  ['being stopped', { unit: of({ active: 'deactivating' }) }, false],
  ['disabled', { unit: of({ file: 'disabled' }) }, false],
  ['masked', { unit: of({ load: 'masked' }) }, false],
  ['nothing declared', { declared: false }, false],
  ['what is declared cannot be read', { declared: undefined }, false],
  ['systemd starts it by itself', { unit: of({ active: 'activating' }), connections: undefined }, false],
  ['something waits to be done with it', { unit: of({ job: true }) }, false],
  ['systemd does not tell', { unit: undefined }, false],
];
for (const [name, change, want] of helps)
  test(`whether a restart helps: ${name}: ${want}`, () => {
    assert.equal(restartHelps({ ...hanging, ...change }), want);
  });

const hours = 1000 * minute;
const rows: readonly [name: string, look: Partial<RestartLook>, want: string][] = [
  ['down for a moment', { helpsSince: hours - 2 * minute }, 'wait'],
  ['down for three minutes', { helpsSince: hours - 3 * minute }, 'restart'],
  ['it cannot help', {}, 'wait'],
  ['again too soon', { helpsSince: 0, tries: [hours - 9 * minute] }, 'wait'],
  ['again', { helpsSince: 0, tries: [hours - 10 * minute] }, 'restart'],
  ['the third pause is longer', { helpsSince: 0, tries: [hours - 40 * minute, hours - 15 * minute] }, 'wait'],
  ['the third', { helpsSince: 0, tries: [hours - 40 * minute, hours - 20 * minute] }, 'restart'],
  ['down again after a restart that helped for a moment', { helpsSince: hours - 2 * minute, tries: [0] }, 'wait'],
  [
    'three in this hour',
    { helpsSince: 0, tries: [hours - 59 * minute, hours - 58 * minute, hours - 57.5 * minute] },
    'wait',
  ],
  ['after the last one never again', { helpsSince: 0, tries: Array.from({ length: mostTries }, () => 0) }, 'wait'],
  ['up, nothing to forget', { upSince: 0 }, 'wait'],
  ['up for a while', { upSince: hours - 29 * minute, tries: [0] }, 'wait'],
  ['up for good', { upSince: hours - 30 * minute, tries: [0] }, 'forget'],
];
for (const [name, look, want] of rows)
  test(`restart or not: ${name}: ${want}`, () => {
    assert.equal(decideRestart({ helpsSince: undefined, upSince: undefined, tries: [], ...look }, hours), want);
  });

test('never more than three within any hour, and six in all, for one that nothing helps', () => {
  const tries: number[] = [];
  for (let now = 0; now < 3 * 24 * 60 * minute; now += 30_000)
    if (decideRestart({ helpsSince: 0, upSince: undefined, tries }, now) === 'restart') tries.push(now);
  assert.deepEqual(
    tries.map((at) => at / minute),
    [3, 13, 33, 93, 213, 453],
  );
});

test('the finding tells how often, and when it is over', () => {
  assert.equal(wordsOfTries(0), '');
  assert.match(wordsOfTries(1), /restarted it once .*tried again/);
  assert.match(wordsOfTries(mostTries), /6 times .*not tried any more/);
});

/** An agent with a journal; root never answers unless `answer` says what. */
function bench(documents = new Map<string, StoredDocument>(), wall = 1_800_000_000_000) {
  const world = {
    now: 0,
    wall,
    asked: [] as string[],
    unit: of({}),
    keptBefore: [] as boolean[],
    answer: undefined as Outcome<void> | undefined,
    hold: false,
    said: [] as string[],
  };
  const say = (text: string): void => void world.said.push(text);
  const restarts = createTunnelRestarts({
    documents: {
      get: (key) => documents.get(key),
      put: (document) => void documents.set(document.key, document),
      remove: (key) => void documents.delete(key),
    },
    host: { units: async () => done([world.unit]) },
    restart: async (operation) => {
      world.asked.push(operation);
      world.keptBefore.push(documents.size === 1);
      if (world.answer === undefined) throw new Error('the power went out');
      return world.answer;
    },
    mayMend: () => !world.hold,
    log: { info: say, warn: say, error: say },
    clock: { now: () => world.wall + world.now, monotonicMs: () => world.now },
  });
  const minutes = async (many: number): Promise<void> => {
    for (let round = 0; round < many * 2; round += 1) {
      await restarts.saw(hanging, never).catch(() => undefined);
      world.now += 30_000;
    }
  };
  return { world, documents, restarts, minutes };
}

test('a crash while root is asked: the try is counted already', async () => {
  const first = bench();
  await first.minutes(4);
  assert.deepEqual(first.world.keptBefore, [true]);
  const second = bench(first.documents, first.world.wall + first.world.now);
  assert.equal(second.restarts.count(), 1);
  await second.minutes(9);
  assert.deepEqual(second.world.asked, []);
  await second.minutes(2);
  assert.equal(second.world.asked.length, 1);
});

test('a clock that was put back makes no pause longer', async () => {
  const first = bench();
  await first.minutes(4);
  const second = bench(first.documents, first.world.wall - 365 * 24 * 60 * minute);
  await second.minutes(11);
  assert.equal(second.world.asked.length, 1);
});

test('a record that does not read counts as none', () => {
  const key = 'monitoring/tunnel-restarts';
  const { restarts } = bench(new Map([[key, { key, v: 1, body: { at: 'x' } }]]));
  assert.equal(restarts.count(), 0);
});

const no = reason('helper.refused', 'cannot restart the tunnel: somebody turned it off');
const lost = reason('helper.refused', 'cannot tell what became of the restart');
const answers: readonly [name: string, answer: Outcome<void>, count: number, said: RegExp][] = [
  [
    'what root refuses was no restart, and is asked again after a pause',
    refused(no),
    0,
    /^(?:root refused[^\n]*\n?){3}$/,
  ],
  ['what root took on is counted and said', done(undefined), 2, /^the tunnel is restarted\nthe tunnel is restarted$/],
  ['of what was lost nobody knows: it counts', unknown(lost), 2, /not known/],
];
for (const [name, answer, count, said] of answers)
  test(`a restart that was asked for: ${name}`, async () => {
    const { world, restarts, minutes, documents } = bench();
    world.answer = answer;
    await minutes(25);
    assert.equal(restarts.count(), count);
    assert.equal(documents.size, Math.min(count, 1));
    assert.match(world.said.join('\n'), said);
    assert.ok(world.asked.length <= 3, world.asked.join());
  });

test('on hold the host restarts nothing; afterwards it does', async () => {
  const { world, minutes } = bench();
  world.answer = done(undefined);
  world.hold = true;
  await minutes(30);
  assert.deepEqual(world.asked, []);
  world.hold = false;
  await minutes(1);
  assert.equal(world.asked.length, 1);
});
