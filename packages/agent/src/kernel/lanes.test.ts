import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { createLanes } from './lanes.ts';
import type { Lease } from './lanes.ts';
import { toyClock } from './test/toy-world.ts';

const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const change = (owner: string, ...lanes: string[]) => ({ owner, lanes, purpose: 'change' as const });
const protection = (owner: string, ...lanes: string[]) => ({ owner, lanes, purpose: 'protection' as const });

/** Notes who was granted, in order. */
function room(capacityOf?: (lane: string) => number) {
  const lanes = createLanes(toyClock(), capacityOf);
  const granted: string[] = [];
  const leases = new Map<string, Lease>();
  const ask = async (request: Parameters<typeof lanes.acquire>[0], signal = never): Promise<void> => {
    const lease = await lanes.acquire(request, signal);
    granted.push(request.owner);
    leases.set(request.owner, lease);
  };
  const lease = (owner: string): Lease => leases.get(owner) ?? assert.fail(`${owner} has no lease`);
  return { lanes, granted, ask, lease };
}

test('one at a time, in the order of asking; other lanes do not wait', async () => {
  const { lanes, granted, ask, lease } = room();
  for (const owner of ['1', '2', '3']) void ask(change(owner, 'guest:a'));
  void ask(change('4', 'guest:b'));
  await turn();
  assert.deepEqual(granted, ['1', '4']);
  assert.deepEqual(
    lanes.queue().map(({ lane, holders, waiting }) => [lane, holders.map((h) => h.owner), waiting.map((w) => w.owner)]),
    [
      ['guest:a', ['1'], ['2', '3']],
      ['guest:b', ['4'], []],
    ],
  );
  lease('1').release();
  lease('1').release();
  await turn();
  assert.deepEqual(granted, ['1', '4', '2']);
});

test('nobody overtakes an earlier waiter on a lane that both want', async () => {
  const { granted, ask, lease } = room();
  await ask(change('holder', 'a'));
  void ask(change('both', 'a', 'b'));
  void ask(change('late', 'b'));
  await turn();
  assert.deepEqual(granted, ['holder']);
  lease('holder').release();
  await turn();
  lease('both').release();
  await turn();
  assert.deepEqual(granted, ['holder', 'both', 'late']);
});

test('slots let as many in as there are', async () => {
  const { granted, ask } = room((lane) => (lane === 'storage:local' ? 2 : 1));
  for (const owner of ['1', '2', '3']) void ask(change(owner, 'storage:local'));
  await turn();
  assert.deepEqual(granted, ['1', '2']);
});

test('a waiter that is aborted leaves the queue and lets others by', async () => {
  const { granted, ask, lease } = room();
  await ask(change('holder', 'a'));
  const patience = new AbortController();
  const given = ask(change('impatient', 'a', 'b'), patience.signal);
  void ask(change('next', 'b'));
  patience.abort(new Error('no longer needed'));
  await assert.rejects(given, /no longer needed/);
  await turn();
  assert.deepEqual(granted, ['holder', 'next']);
  await assert.rejects(ask(change('late', 'c'), patience.signal), /no longer needed/);
  lease('holder').release();
});

test('a parked saga closes its lane for changes and not for protection', async () => {
  const { lanes, granted, ask, lease } = room();
  await ask(change('parked', 'a'));
  lease('parked').park();
  assert.equal(lanes.isParked('a'), true);
  assert.equal(lanes.isParked('b'), false);
  void ask(change('change', 'a', 'b'));
  void ask(protection('backup', 'a'));
  void ask(protection('check', 'a'));
  // The change is stuck for as long as the operator takes; it must not hold up the rest of its lanes.
  void ask(change('other', 'b'));
  await turn();
  assert.deepEqual(granted, ['parked', 'backup', 'other']);
  lease('backup').release();
  lease('other').release();
  await turn();
  assert.deepEqual(granted, ['parked', 'backup', 'other', 'check']);
});

test('a resumed saga waits for whoever passed it, and lets nobody else pass', async () => {
  const { lanes, granted, ask, lease } = room();
  await ask(change('parked', 'a'));
  lease('parked').park();
  await ask(protection('backup', 'a'));
  void ask(protection('waited-already', 'a'));
  let resumed = false;
  void lease('parked')
    .unpark(never)
    .then(() => (resumed = true));
  void ask(protection('second', 'a'));
  await turn();
  assert.equal(resumed, false);
  lease('backup').release();
  await turn();
  assert.equal(resumed, true);
  assert.equal(lanes.isParked('a'), false);
  assert.deepEqual(granted, ['parked', 'backup']);
  lease('parked').release();
  await turn();
  assert.deepEqual(granted, ['parked', 'backup', 'waited-already']);
});

test('a lease with a ttl ends by itself unless renewed', async () => {
  const clock = toyClock();
  const lanes = createLanes(clock);
  const lease = await lanes.acquire({ ...change('quiesce', 'a'), ttlMs: 500 }, never);
  assert.equal(lease.renew(), 'held');
  assert.equal(lease.check(), 'held');
  const next = lanes.acquire(change('next', 'a'), never);
  await next;
  assert.equal(clock.monotonicMs(), 500);
  assert.equal(lease.check(), 'ended');
  assert.equal(lease.renew(), 'ended');
});

test('what was held before a restart is held again, whoever waits', async () => {
  const { lanes, granted, ask } = room();
  lanes.adopt(change('replayed', 'a', 'b'));
  void ask(change('new', 'b'));
  await turn();
  assert.deepEqual(granted, []);
});

test('property: whoever asks for whatever, all are served, and never two on one lane', async () => {
  const lane = fc.constantFrom('host', 'guest:a', 'guest:b', 'guest:c', 'storage:x');
  const job = fc.record({ lanes: fc.uniqueArray(lane, { minLength: 1, maxLength: 4 }), turns: fc.nat(3) });
  await fc.assert(
    fc.asyncProperty(fc.array(job, { minLength: 1, maxLength: 15 }), async (jobs) => {
      const lanes = createLanes(toyClock());
      const inside = new Set<string>();
      const work = jobs.map(async (each, at) => {
        const lease = await lanes.acquire(change(String(at), ...each.lanes), never);
        for (const name of each.lanes) {
          assert.ok(!inside.has(name), `two on ${name}`);
          inside.add(name);
        }
        for (let left = each.turns; left > 0; left -= 1) await turn();
        for (const name of each.lanes) inside.delete(name);
        lease.release();
      });
      await Promise.all(work);
      assert.deepEqual(lanes.queue(), []);
    }),
    { seed: 3, numRuns: 100 },
  );
});
