import { test } from 'node:test';
import assert from 'node:assert/strict';
import { systemClock, systemRandom } from './index.ts';

test('an aborted sleep rejects with the reason that was given, before and during', async () => {
  const clock = systemClock();
  const controller = new AbortController();
  const slept = clock.sleep(60_000, controller.signal);
  controller.abort(new RangeError('shutting down'));
  await assert.rejects(slept, RangeError);
  await assert.rejects(clock.sleep(0, controller.signal), RangeError);
});

test('a sleep that is no length at all, or below, ends', async () => {
  await systemClock().sleep(-5, new AbortController().signal);
});

test('boot time is not behind monotonic time by more than the hundredths it is told in', () => {
  const clock = systemClock();
  assert.ok(clock.bootMs() >= clock.monotonicMs() - 20);
});

test('random bytes come in the number asked for and differ', () => {
  const random = systemRandom();
  assert.equal(random.bytes(16).length, 16);
  assert.notDeepEqual(random.bytes(16), random.bytes(16));
});
