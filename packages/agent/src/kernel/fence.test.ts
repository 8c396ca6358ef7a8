import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createFence } from './fence.ts';
import { JournalError } from './journal.ts';
import { toyClock } from './test/toy-world.ts';

const never = new AbortController().signal;

test('the fence holds while the epoch is ours and the clocks go together', async () => {
  const clock = toyClock();
  const fence = createFence({ epoch: 3, storedEpoch: () => 3 }, clock);
  await clock.sleep(86_400_000, never);
  clock.suspend(30_000);
  assert.equal(fence.check().is, 'held');
});

const losses: readonly {
  readonly name: string;
  readonly epochNow: () => number;
  readonly asleepMs: number;
  readonly says: RegExp;
}[] = [
  { name: 'another opened the journal', epochNow: () => 4, asleepMs: 0, says: /opened as epoch 3 and now says 4/ },
  { name: 'the host was suspended', epochNow: () => 3, asleepMs: 30_001, says: /30 s apart; the host was suspended/ },
  {
    name: 'the journal cannot be read',
    epochNow: () => {
      throw new JournalError('journal-io', 'disk gone');
    },
    asleepMs: 0,
    says: /disk gone/,
  },
];

for (const { name, epochNow, asleepMs, says } of losses)
  test(`the fence is lost for good when ${name}`, () => {
    const clock = toyClock();
    let epoch: () => number = () => 3;
    const fence = createFence({ epoch: 3, storedEpoch: () => epoch() }, clock);
    assert.equal(fence.check().is, 'held');
    epoch = epochNow;
    clock.suspend(asleepMs);
    const verdict = fence.check();
    assert.match(verdict.is === 'lost' ? verdict.why.text : 'held', says);
    epoch = () => 3;
    clock.suspend(-asleepMs);
    assert.deepEqual(fence.check(), verdict);
  });
