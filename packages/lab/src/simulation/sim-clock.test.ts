import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createSimClock } from './sim-clock.ts';
import { createSimRandom } from './sim-random.ts';

test('timers fire in order of time, equal times in the order they were set', async () => {
  const clock = createSimClock(0);
  const fired: string[] = [];
  for (const [name, ms] of [
    ['c', 30],
    ['a', 10],
    ['a2', 10],
    ['b', 20],
    ['a3', 10],
  ] as const)
    void clock.sleep(ms).then(() => fired.push(`${name}@${clock.monotonicMs()}`));
  assert.equal(await clock.runUntilIdle(), 'idle');
  assert.deepEqual(fired, ['a@10', 'a2@10', 'a3@10', 'b@20', 'c@30']);
});

test('work that a timer wakes is finished before the next timer fires', async () => {
  const clock = createSimClock(0);
  const seen: number[] = [];
  const worker = async (): Promise<void> => {
    await clock.sleep(10);
    for (let hop = 0; hop < 50; hop += 1) await Promise.resolve();
    seen.push(clock.now());
    await clock.sleep(5);
    seen.push(clock.now());
  };
  const sibling = clock.sleep(12).then(() => seen.push(clock.now()));
  await clock.runUntil(Promise.all([worker(), sibling]));
  assert.deepEqual(seen, [10, 12, 15]);
});

test('advance fires what is due and nothing else', async () => {
  const clock = createSimClock(0);
  let fired = 0;
  for (const ms of [99, 100, 101]) void clock.sleep(ms).then(() => (fired += 1));
  await clock.advance(100);
  assert.equal(fired, 2);
  assert.equal(clock.now(), 100);
  assert.equal(clock.pending, 1);
});

test('an aborted sleep rejects with the reason and leaves no timer', async () => {
  const clock = createSimClock(0);
  const controller = new AbortController();
  const slept = clock.sleep(1000, controller.signal);
  controller.abort(new Error('enough'));
  await assert.rejects(slept, /enough/);
  assert.equal(clock.pending, 0);
  await assert.rejects(clock.sleep(1, controller.signal), /enough/);
});

test('a promise that nothing can settle is a deadlock, not a hang', async () => {
  const clock = createSimClock(0);
  await assert.rejects(clock.runUntil(new Promise(() => {})), /nothing is left/);
  void clock.sleep(60_000);
  await assert.rejects(clock.runUntil(new Promise(() => {}), 1000), /1000 ms of simulated time/);
});

test('suspending parts boot from monotonic time; setting the wall clock touches neither', () => {
  const clock = createSimClock(1_000_000);
  clock.suspend(45_000);
  clock.jumpWall(-3_600_000);
  assert.equal(clock.monotonicMs(), 0);
  assert.equal(clock.bootMs(), 45_000);
  assert.equal(clock.now(), 1_000_000 + 45_000 - 3_600_000);
});

test('simulated time stands still while real IO is in flight', async () => {
  const clock = createSimClock(0);
  const order: string[] = [];
  void clock.sleep(1).then(() => order.push('timer'));
  void clock.io(
    (async () => {
      for (let round = 0; round < 20; round += 1) await new Promise((resolve) => setImmediate(resolve));
      order.push('io');
    })(),
  );
  await clock.runUntilIdle();
  assert.deepEqual(order, ['io', 'timer']);
});

test('one seed is one sequence; forks do not disturb each other', () => {
  const draw = (seed: number): number[] => {
    const random = createSimRandom(seed);
    return Array.from({ length: 8 }, () => random.int(1000));
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  const a = createSimRandom(7);
  const b = createSimRandom(7);
  a.int(10);
  assert.deepEqual(a.fork('faults').bytes(16), b.fork('faults').bytes(16));
  assert.notDeepEqual(a.fork('faults').bytes(16), a.fork('agent').bytes(16));
});

test('draws are spread evenly enough to be called uniform', () => {
  const random = createSimRandom(1);
  const counts = Array.from({ length: 10 }, () => 0);
  for (let draw = 0; draw < 10_000; draw += 1) counts[random.int(10)]! += 1;
  for (const count of counts) assert.ok(count > 850 && count < 1150, counts.join(' '));
});
