/** What an agent says while nothing happens, and how soon it says what does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PollRequest } from '@felhom/protocol';
import { labGuest, livingGuest } from './desired.ts';
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

/** Root deletes a guest, and nobody told the agent. */
async function destroy(world: SimWorld, name: string): Promise<void> {
  const { guests } = world.life()?.agent.report() ?? assert.fail('no agent runs');
  const vmid = guests.find((guest) => guest.name === name)?.vmid ?? assert.fail('it has no number');
  const path = `/nodes/${world.node.name}/lxc/${vmid}`;
  const request = world.node.handle({ method: 'DELETE', path, params: { force: 1 }, as: 'root@pam' });
  assert.equal((await world.clock.runUntil(request)).status, 200);
}

const isCritical = ({ poll }: { readonly poll: PollRequest }): boolean =>
  poll.report?.findings.some(({ severity }) => severity === 'critical') === true;

/** Milliseconds from the end of the pass that saw it until the hub had it. */
async function toldAfter(world: SimWorld): Promise<number> {
  const heard = listen(world);
  assert.ok(await world.until(() => heard.some(isCritical), 2 * minute), 'the hub was told');
  const first = heard.find(isCritical) ?? assert.fail('nothing was heard');
  const said = JSON.parse(first.poll.statement?.text ?? '{}') as { readonly lastPassAt?: number };
  return first.at - (said.lastPassAt ?? 0);
}

test('what is critical is with the hub within a second of the pass that saw it', async (t) => {
  const took: number[] = [];
  for (let seed = 1; seed <= 5; seed += 1) {
    const world = await createSimWorld({ seed });
    world.hub.publish([livingGuest('web')]);
    const { agent } = world.boot();
    assert.ok(await world.until(() => agent.report().converged, 10 * minute));
    // Never twice at the same moment of the poll's interval.
    await world.clock.advance(5 * minute + seed * 7_300);
    await destroy(world, 'web');
    took.push(await toldAfter(world));
  }
  t.diagnostic(`${took.join(', ')} ms`);
  assert.ok(Math.max(...took) < second, `${took.join(', ')} ms`);
});

test('a metered host: a poll every ten minutes, no numbers, one report for what does not matter, and at once what does', async () => {
  const world = await quietWorld({ policy: { poll: { metered: true } } });
  world.hub.twist = (answer) => ({ ...answer, pollAfterSeconds: 30 });
  const heard = listen(world);
  await world.clock.advance(2 * hour);
  assert.ok(heard.length >= 11 && heard.length <= 14, `${heard.length} polls in two hours`);
  assert.ok(heard.every(({ poll }) => poll.vitals === undefined && poll.metered === true));
  const reports = heard.filter(({ poll }) => poll.report !== undefined).length;
  assert.ok(reports <= 1, `${reports} reports`);
  await destroy(world, 'db');
  assert.ok((await toldAfter(world)) < second);
});
