/**
 * A share hangs: its probe never ends, and Proxmox does not answer what it would have to ask it for. Counted in
 * simulated time, because that is what an operator would notice: everything else goes on at its own pace.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { livingGuest } from './desired.ts';
import { createSimWorld } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const second = 1000;
const minute = 60 * second;
const tenMinutes = 10 * minute;

/** Guests with programs in them, and a target for their copies; the next backup is due at `schedule`. */
async function worldWithShare(schedule: string): Promise<SimWorld> {
  const world = await createSimWorld({ seed: 11, programs: true, policy: { backups: { targets: {} } } });
  await world.clock.runUntil(world.targets.attach('usb1'));
  world.hub.publish([livingGuest('web'), livingGuest('db')], {
    backups: {
      graceMinutes: 5,
      tiers: [{ name: 'usb', target: 'usb1', schedule, keep: { days: 7, weeks: 4 } }],
    },
  });
  const { agent } = world.boot();
  const settled = (): boolean => agent.report().converged && agent.report().targets[0]?.state === 'attached';
  assert.ok(await world.until(settled, tenMinutes), JSON.stringify(agent.report().findings));
  await world.clock.advance(2 * minute);
  return world;
}

interface Pace {
  readonly passes: number;
  readonly polls: number;
  /** Answers of the local API to programs in guests. */
  readonly answers: number;
  /** Longest that nothing of the kind came, milliseconds. */
  readonly longest: { readonly pass: number; readonly poll: number; readonly answer: number };
}

/** Lets so much time pass, and counts. */
async function paceOf(world: SimWorld, ms: number): Promise<Pace> {
  const times = { pass: [world.clock.now()], poll: [world.clock.now()], answer: [world.clock.now()] };
  const agent = world.life()?.agent ?? assert.fail('no agent runs');
  world.hub.onPoll = () => void times.poll.push(world.clock.now());
  if (world.guests !== undefined) world.guests.onAnswer = () => void times.answer.push(world.clock.now());
  let passed = agent.report().lastPassAt;
  for (let gone = 0; gone < ms; gone += second) {
    await world.clock.advance(second);
    const { lastPassAt } = agent.report();
    if (lastPassAt !== passed) times.pass.push(world.clock.now());
    passed = lastPassAt;
  }
  world.hub.onPoll = undefined;
  if (world.guests !== undefined) world.guests.onAnswer = undefined;
  const longest = (at: readonly number[]): number =>
    Math.max(...[...at, world.clock.now()].map((one, nth) => one - (at[nth - 1] ?? one)));
  return {
    passes: times.pass.length - 1,
    polls: times.poll.length - 1,
    answers: times.answer.length - 1,
    longest: { pass: longest(times.pass), poll: longest(times.poll), answer: longest(times.answer) },
  };
}

/** Longest that Proxmox is waited for where a question is known to be slow. */
const longestCall = 35 * second;

/** One pass may have to learn it, by waiting for an answer that never comes; everything else does not notice. */
function assertKept(before: Pace, during: Pace): void {
  const told = JSON.stringify({ before, during });
  assert.ok(during.passes >= before.passes - 2, told);
  assert.ok(during.longest.pass <= before.longest.pass + longestCall + second, told);
  assert.ok(during.polls >= before.polls - 2, told);
  assert.ok(during.longest.poll <= 36 * second, told);
  assert.ok(during.answers >= before.answers - 4, told);
  assert.ok(during.longest.answer <= before.longest.answer + second, told);
}

const rows: readonly (readonly [what: string, schedule: string, probes: 'never come back' | 'are given up'])[] = [
  ['nothing is due, and probes are given up', '*-*-* 04:00:00', 'are given up'],
  ['nothing is due, and probes never come back', '*-*-* 04:00:00', 'never come back'],
  ['a backup to it is due, and probes never come back', '*-*-* 03:16:00', 'never come back'],
];
for (const [what, schedule, probes] of rows)
  test(`a share hangs for ten minutes: passes, heartbeats and the local API keep their pace: ${what}`, async (t) => {
    const world = await worldWithShare(schedule);
    const before = await paceOf(world, tenMinutes);
    if (probes === 'never come back') world.targets.hang('usb1');
    else world.targets.answer('usb1', { is: 'hangs' });
    // What Proxmox would have to ask the share for is not answered either.
    const path = /\/storage\/usb-usb1(?:\/|$)/;
    world.node.faults.add({ path, always: true, fault: { is: 'delay', ms: 3_600_000 } });
    const during = await paceOf(world, tenMinutes);
    t.diagnostic(JSON.stringify({ before, during }));
    assertKept(before, during);
    const now = world.clock.monotonicMs();
    const still = world
      .life()
      ?.agent.progress()
      .map(({ movedAt, restsUntil }) => now - Math.max(movedAt, restsUntil ?? 0));
    assert.ok(Math.max(...(still ?? [])) < minute, `nothing stands still for the watchdog: ${String(still)}`);
  });
