/** Root of a simulated host lets no agent talk it into anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOfTrust } from '@felhom/protocol';
import { createSimClock } from '../simulation/sim-clock.ts';
import { createSimRandom } from '../simulation/sim-random.ts';
import { createOperator, createOperators } from './operators.ts';
import { labPeople } from './people.ts';
import { signJob } from './sign-job.ts';
import type { JobOverrides } from './sign-job.ts';
import { simVerifier } from './sim-verifier.ts';
import { createSimRoot, labTrust } from './trust.ts';

const never = new AbortController().signal;
const random = createSimRandom(3);
const { alice, bob, carol } = createOperators(labPeople, random);
const mallory = createOperator('mallory', random.fork('mallory'));
const facts = { host: 'lab', hostEpoch: 'a'.repeat(32), challenge: `1.${'b'.repeat(32)}` };

function setUp() {
  const clock = createSimClock();
  const first = labTrust([alice, bob, carol], clock.now());
  const root = createSimRoot(first, clock, simVerifier());
  const second = { ...first, version: 2, revoked: [carol.keyLine] };
  const change = (people: readonly Parameters<typeof signJob>[3][number][], overrides: JobOverrides = {}): string =>
    signJob(facts, 'trust-change', { before: digestOfTrust(first), document: second }, people, {
      now: clock.now(),
      random,
      overrides,
    }).envelope;
  const version = (): number | undefined => {
    const read = root.store.read();
    return read.is === 'held' ? read.document.version : undefined;
  };
  const glass = (people: readonly Parameters<typeof signJob>[3][number][]): string =>
    signJob(facts, 'break-glass-open', { minutes: 30, key: alice.keyLine, consents: [] }, people, {
      now: clock.now(),
      random,
    }).envelope;
  return { clock, root, change, version, glass };
}

test('root changes trust for two people, and for nobody less', async () => {
  for (const [people, expect] of [
    [[alice, bob], 2],
    [[alice], 1],
    [[alice, alice], 1],
    [[alice, mallory], 1],
    [[], 1],
  ] as const) {
    const { root, change, version } = setUp();
    const answer = await root.helper.trustUpdate('saga.change', change(people), never);
    assert.equal(version(), expect, JSON.stringify(answer));
    assert.equal(answer.is, expect === 2 ? 'done' : 'refused');
  }
});

test('the same change a second time is done; a change for another host is none', async () => {
  const { root, change, version } = setUp();
  assert.equal((await root.helper.trustUpdate('a', change([alice, bob], { host: 'elsewhere' }), never)).is, 'refused');
  const signed = change([alice, bob]);
  assert.equal((await root.helper.trustUpdate('b', signed, never)).is, 'done');
  assert.equal((await root.helper.trustUpdate('c', signed, never)).is, 'done');
  assert.equal(version(), 2);
});

test('break-glass opens once per job, and closes by itself', async () => {
  const { root, clock, glass } = setUp();
  const signed = glass([alice]);
  assert.equal((await root.helper.breakGlassOpen('a', glass([mallory]), never)).is, 'refused');
  assert.equal((await root.helper.breakGlassOpen('b', signed, never)).is, 'done');
  assert.equal(root.openUntil(), clock.now() + 30 * 60_000);
  await clock.advance(31 * 60_000);
  assert.equal(root.openUntil(), undefined);
  assert.equal((await root.helper.breakGlassOpen('c', signed, never)).is, 'refused');
});
