/** What the watchdog is fed by: the loops of an agent that has much to do, and of one that has nothing to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { livingGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';

const minute = 60_000;

test('passes and polls move while a guest is restored, backed up, and afterwards', async () => {
  const world = await createSimWorld({ seed: 5, programs: true });
  const tier = { name: 'local', target: 'local', schedule: '*-*-* *:20:00', keep: { days: 7 } };
  world.hub.publish([livingGuest('web')], { backups: { graceMinutes: 5, tiers: [tier] } });
  const { agent } = world.boot();
  const moves = new Map<string, Set<number>>();
  let longestMs = 0;
  let busy = false;
  const end = world.clock.monotonicMs() + 45 * minute;
  await world.until(() => {
    const now = world.clock.monotonicMs();
    for (const { loop, movedAt, restsUntil } of agent.progress()) {
      moves.set(loop, (moves.get(loop) ?? new Set()).add(movedAt));
      longestMs = Math.max(longestMs, now - Math.max(movedAt, restsUntil ?? movedAt));
    }
    busy ||= agent.sagas().some(({ name }) => name === 'backup');
    return now >= end;
  }, 60 * minute);
  assert.ok(busy, 'there was a backup');
  assert.deepEqual([...moves.keys()].sort(), ['hub', 'reconcile', 'storage']);
  for (const [loop, times] of moves) assert.ok(times.size > 45, `${loop} moved ${times.size} times`);
  // A watchdog of a minute is patient for ten.
  assert.ok(longestMs < minute, `a loop stood still for ${longestMs} ms`);
});
