import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerWork, decideHeal, silentMs } from './heal.ts';
import type { ControllerSight } from './heal.ts';
import { images, photosRef } from './test/bench.ts';

const now = 1_800_000_000_000;
const ago = (minutes: number): number => now - minutes * 60_000;
const well: ControllerSight = {
  guest: photosRef,
  wanted: true,
  running: true,
  runningSince: ago(600),
  busy: false,
  heardAt: ago(1),
  token: { is: 'used' },
  claimOpen: false,
  claimLeft: false,
  restarts: [],
  newer: undefined,
};
const listeningSince = ago(600);

const rows: readonly (readonly [string, Partial<ControllerSight>, string, number?])[] = [
  ['heard of', {}, 'well'],
  ['silent for almost long enough', { heardAt: now - silentMs + 1 }, 'well'],
  ['silent', { heardAt: now - silentMs }, 'restart'],
  ['silent, and it was just started', { heardAt: ago(60), runningSince: ago(5) }, 'well'],
  ['silent, and it was just restarted', { heardAt: ago(60), restarts: [ago(5)] }, 'well'],
  ['silent, and so was the agent', { heardAt: ago(60) }, 'well', ago(5)],
  ['silent and stopped', { heardAt: ago(60), running: false }, 'well'],
  ['silent, and nobody wants a controller there', { heardAt: ago(60), wanted: false }, 'well'],
  ['silent while something is done to it', { heardAt: ago(60), busy: true }, 'wait'],
  ['silent while a claim is open', { heardAt: ago(60), claimOpen: true }, 'wait'],
  ['silent after two restarts', { heardAt: ago(90), restarts: [ago(60), ago(40)] }, 'restart'],
  ['silent after three restarts', { heardAt: ago(90), restarts: [ago(60), ago(40), ago(20)] }, 'give-up'],
  ['without a token', { token: { is: 'none' }, heardAt: undefined }, 'restart'],
  ['without a token, freshly restored', { token: { is: 'none' }, runningSince: ago(2), heardAt: ago(60) }, 'wait'],
  ['with a token that did not arrive', { token: { is: 'unused', since: ago(30) }, heardAt: undefined }, 'restart'],
  ['with a token on its way', { token: { is: 'unused', since: ago(1) }, heardAt: undefined }, 'wait'],
];
for (const [name, over, expect, since] of rows)
  test(`a guest ${name}: ${expect}`, () => {
    assert.equal(decideHeal({ ...well, ...over }, { now, listeningSince: since ?? listeningSince }).is, expect);
  });

test('a newer image only where the supervisor is there to take it; a spent claim goes when nothing else is to do', () => {
  const newer = { role: 'apps', version: '1.1.0', digest: images['1.1.0'] ?? assert.fail() };
  const kinds = (over: Partial<ControllerSight>): readonly string[] =>
    controllerWork([{ ...well, ...over }], { now, listeningSince }).effects.map(({ kind }) => kind);
  assert.deepEqual(kinds({ newer }), ['controller-update']);
  assert.deepEqual(kinds({ newer, heardAt: ago(60) }), ['claim-issue']);
  assert.deepEqual(kinds({ newer, busy: true }), []);
  assert.deepEqual(kinds({ newer, claimLeft: true }), ['controller-update']);
  assert.deepEqual(kinds({ claimLeft: true }), ['claim-drop']);
  assert.deepEqual(kinds({ claimLeft: true, token: { is: 'unused', since: ago(1) } }), ['claim-drop']);
  assert.deepEqual(kinds({ claimLeft: true, heardAt: ago(60) }), ['claim-issue'], 'another one takes its place');
  assert.deepEqual(kinds({}), []);
});

test('what restarts did not bring back is told', () => {
  const sight = { ...well, heardAt: ago(90), restarts: [ago(60), ago(40), ago(20)] };
  const { effects, findings } = controllerWork([sight], { now, listeningSince });
  assert.deepEqual(
    [effects, findings.map(({ key, severity }) => [key, severity])],
    [[], [['controller.silent', 'critical']]],
  );
});
