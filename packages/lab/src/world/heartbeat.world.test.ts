/** What an agent says while nothing happens, and how soon it says what does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PollRequest } from '@felhom/protocol';
import { labGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

const plan = {
  graceMinutes: 5,
  tiers: [{ name: 'local', target: 'local', schedule: '*-*-* 04:00:00', keep: { days: 7, weeks: 4 } }],
};

interface Quiet {
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly reconcileMs?: number;
}

/** Two guests that are up and have their copies of the night. */
async function quietWorld(options: Quiet = {}): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 5, ...options });
  world.hub.publish([labGuest('web'), labGuest('db')], { backups: plan });
  const { agent } = world.boot();
  const quiet = (): boolean => {
    const { converged, backups, queue } = agent.report();
    return (
      converged && queue.length === 0 && backups.length === 2 && backups.every(({ newest }) => newest !== undefined)
    );
  };
  assert.ok(await world.until(quiet, 3 * hour), JSON.stringify(agent.report().backups));
  // The hub has heard all of it.
  await world.clock.advance(5 * minute);
  return world;
}

/** Polls from now on, and when they came. */
function listen(world: SimWorld): { readonly at: number; readonly poll: PollRequest; readonly bytes: number }[] {
  const heard: { at: number; poll: PollRequest; bytes: number }[] = [];
  world.hub.onPoll = (poll) => {
    heard.push({ at: world.clock.now(), poll, bytes: Buffer.byteLength(JSON.stringify(poll)) });
  };
  return heard;
}

test('an idle host is a heartbeat: the same digest from one night to the next, and no report', async () => {
  const world = await quietWorld({ reconcileMs: 5 * minute });
  world.hub.twist = (answer) => ({ ...answer, pollAfterSeconds: 300 });
  await world.clock.advance(minute);
  const heard = listen(world);
  const before = world.hub.lastPoll()?.reportDigest;
  await world.clock.advance(23 * hour);
  assert.deepEqual([...new Set(heard.map(({ poll }) => poll.reportDigest))], [before]);
  assert.equal(heard.filter(({ poll }) => poll.report !== undefined).length, 0);
  assert.ok(heard.length >= 250 && heard.length <= 300, `${heard.length} polls`);
  const largest = Math.max(...heard.map(({ bytes }) => bytes));
  assert.ok(largest < 1300, `${largest} bytes before they are compressed`);
  const said = world.hub.lastStatement()?.said;
  assert.ok((said?.at ?? 0) - (said?.lastPassAt ?? 0) < 6 * minute, 'the time of the last pass goes with it');
  world.hub.onPoll = undefined;
  await world.clock.advance(2 * hour);
  assert.notEqual(world.hub.lastPoll()?.reportDigest, before, 'the next night does change it');
});
