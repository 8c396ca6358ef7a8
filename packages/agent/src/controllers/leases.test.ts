import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLeases } from './leases.ts';
import type { Leases } from './leases.ts';
import { Bench, uid } from './test/bench.ts';

const leasesOf = (b: Bench): Leases =>
  createLeases({ documents: b.documents(), clock: b.clock, random: b.random, captureSeconds: () => 120 });

function taken(leases: Leases, seconds = 60, due?: string): { readonly lease: string; readonly until: number } {
  const answer = leases.take(uid, { seconds, ...(due === undefined ? {} : { due }) });
  assert.equal(answer.is, 'done');
  return answer.is === 'done' ? answer.value : assert.fail();
}

const rows: readonly (readonly [string, (b: Bench, leases: Leases, lease: string) => void, boolean])[] = [
  ['at once', () => {}, true],
  ['a moment before its deadline', (b) => void (b.now += 59_999), true],
  ['at its deadline', (b) => void (b.now += 60_000), false],
  ['captured', (_, leases, lease) => leases.captured(uid, lease), false],
  ['captured twice', (_, leases, lease) => (leases.captured(uid, lease), leases.captured(uid, lease)), false],
  ['another one captured', (_, leases) => leases.captured(uid, 'x'), true],
  ['ended by the guest', (_, leases) => leases.end(uid), false],
  ['the clock set back before it', (b) => void (b.now -= 1), false],
  ['asked for again for the same thing', (_, leases) => void leases.take(uid, { seconds: 60 }), true],
];
for (const [name, then, held] of rows)
  test(`a lease, ${name}: ${held ? 'held' : 'over'}`, () => {
    const b = new Bench();
    const leases = leasesOf(b);
    const { lease } = taken(leases);
    then(b, leases, lease);
    assert.equal(leases.isHeld(uid, lease), held);
    assert.equal(leasesOf(b).isHeld(uid, lease), held, 'also after a restart of the agent');
  });

test('a lease is as long as asked for, and no longer than a capture may take', () => {
  const b = new Bench();
  assert.equal(taken(leasesOf(b), 600).until, b.now + 120_000);
});

test('asked again it is the same lease, which is not prolonged; for something else it is refused', () => {
  const b = new Bench();
  const leases = leasesOf(b);
  const first = taken(leases, 60, 'one');
  b.now += 30_000;
  assert.deepEqual(taken(leases, 60, 'one'), first);
  const refusal = leases.take(uid, { seconds: 60, due: 'two' });
  assert.equal(refusal.is === 'refused' && refusal.why.code, 'quiesce.in-use');
  b.now += 30_000;
  assert.notEqual(taken(leases, 60, 'two').lease, first.lease);
  assert.ok(!leases.isHeld(uid, first.lease));
});
