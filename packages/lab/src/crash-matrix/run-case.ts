/**
 * One case: a world is brought to where the saga runs, the power goes at the asked point, the node goes on or does not,
 * the agent boots again, perhaps to lose its power once more, and in the end everything must add up.
 */
import type { CrashPoint } from '@felhom/agent';
import { createSimRandom } from '../simulation/sim-random.ts';
import { addNeighbour } from '../world/neighbour.ts';
import type { SignedJob } from '../world/sign-job.ts';
import { createSimWorld } from '../world/sim-world.ts';
import type { SimLife, SimWorld } from '../world/sim-world.ts';
import { openSagas, rangeOf } from '../world/traces.ts';
import { completedOf, judge, watchUndo } from './judge.ts';
import type { Ending } from './judge.ts';
import { standing, standingOfJob } from './story.ts';
import type { JobStanding, Story } from './story.ts';

/** What happens while the agent is down. */
export const interludes = ['boots at once', 'boots late', 'worker killed', 'node rebooted'] as const;
export type Interlude = (typeof interludes)[number];

export interface CrashCase {
  readonly saga: string;
  readonly story: Story;
  /** `well`, or a spoil of the story. */
  readonly variant: string;
  readonly point: CrashPoint;
  readonly interlude: Interlude;
  /** The power goes again at the nth point that the replay comes by, from 1. */
  readonly again?: number;
  readonly seed: number;
}

export interface CaseResult {
  readonly is: 'passed' | 'failed' | 'not-reached';
  readonly problems: readonly string[];
  /** Points of the saga that the replay came by: where a second crash can be asked for. */
  readonly replayed: readonly CrashPoint[];
}

const neighbourVmid = 9001;
const guestRange = 6;
const minute = 60_000;
/** What failed for a reason that only an operator mends is tried again after at most this. */
const patienceMs = 3 * 60 * minute;
/** A removal that is held up is tried again after five minutes: twice, and then it is held up for good. */
const heldUpMs = 12 * minute;

export async function runCase(asked: CrashCase): Promise<CaseResult> {
  const { story, point, seed, variant } = asked;
  const { policy } = story;
  const world = await createSimWorld({ seed, guestRange, ...(policy === undefined ? {} : { policy }) });
  const neighbour = await addNeighbour(world, neighbourVmid);
  const unfit = await prepare(world, story);
  if (unfit !== undefined) return { is: 'failed', problems: [unfit], replayed: [] };
  world.hub.publish(story.asks, story.plan === undefined ? {} : { backups: story.plan });
  const job = story.signs === undefined ? undefined : await sign(world, story.signs);
  const earlier = new Set(world.disk().recentSagas(20));
  const was = standing(world);
  const stood = new Set(rangeOf(world).filter((vmid) => world.node.guests.exists(vmid)));
  story.spoils[variant]?.(world);
  const first = world.boot((passed) => passed === point);
  const jobNow = (): JobStanding | undefined => (job === undefined ? undefined : standingOfJob(world, job.jobId));
  const over = (): boolean =>
    first.power.crashedAt !== undefined ||
    (job === undefined ? completedOf(world, asked.saga, earlier).length > 0 : isSettled(jobNow(), story));
  await patiently(world, over, 40 * minute);
  if (first.power.crashedAt !== point) return { is: 'not-reached', problems: [], replayed: [] };
  world.cut();
  await interlude(world, asked);

  const problems: string[] = [];
  let replayed: readonly CrashPoint[] = [];
  if (asked.again !== undefined) {
    const { again } = asked;
    let passed = 0;
    const second = world.boot((at) => at.startsWith(`${asked.saga}/`) && (passed += 1) === again);
    await patiently(
      world,
      () => second.power.crashedAt !== undefined || completedOf(world, asked.saga, earlier).length > 0,
      40 * minute,
    );
    replayed = second.power.reached;
    world.cut();
  }
  const last = world.boot(watchUndo(world, { ...asked, stood, neighbour }, problems));
  const booted = world.clock.monotonicMs();
  const heldUp = (): boolean =>
    jobNow()?.code !== undefined && openSagas(world).length === 0 && world.clock.monotonicMs() - booted >= heldUpMs;
  // A guest that its node did not start, because it was on the way, is started by the pass that comes next.
  const hasEnded = (): boolean => isSettled(jobNow(), story) && openSagas(world).length === 0;
  const settled = await patiently(
    world,
    () =>
      openSagas(world).some(({ parked }) => parked) ||
      (job === undefined ? hasSettled(world, last.agent, story) : hasEnded() || heldUp()),
    patienceMs,
  );
  replayed = last.power.reached.filter((at) => at.startsWith(`${asked.saga}/`));
  if (!settled) problems.push(`did not settle: ${JSON.stringify(last.agent.report())}`);
  const ending: Ending = { ...asked, neighbour, was, earlier, job: jobNow(), signed: job !== undefined };
  problems.push(...(await judge(world, ending)));
  await last.agent.stop();
  return { is: problems.length === 0 ? 'passed' : 'failed', problems, replayed };
}

const ends: ReadonlySet<JobStanding['state']> = new Set(['done', 'refused', 'cancelled', 'failed']);

const hasSettled = (world: SimWorld, agent: SimLife['agent'], { settled }: Story): boolean =>
  (settled === undefined || (settled(world) && openSagas(world).length === 0)) && agent.report().converged;

const isSettled = (job: JobStanding | undefined, { doneAs = 'done' }: Story): boolean =>
  job !== undefined && (job.state === doneAs || ends.has(job.state));

/** People sign; afterwards the agent is off, and what they signed lies in the mailbox. */
async function sign(world: SimWorld, signs: NonNullable<Story['signs']>): Promise<SignedJob> {
  world.boot();
  const job = await signs(world);
  world.cut();
  world.hub.mail(job.envelope);
  return job;
}

/** Looks often at first, seldom after a while: back-offs last hours, and nothing happens in them. */
async function patiently(world: SimWorld, condition: () => boolean, ms: number): Promise<boolean> {
  if (await world.until(condition, minute)) return true;
  const end = world.clock.monotonicMs() + ms - minute;
  while (world.clock.monotonicMs() < end) {
    await world.clock.advance(15_000);
    if (condition()) return true;
  }
  return false;
}

/** A reason why the story cannot begin; `undefined` = it can, and the agent is off. */
async function prepare(world: SimWorld, story: Story): Promise<string | undefined> {
  if (story.before !== undefined) {
    world.hub.publish(story.before);
    const { agent } = world.boot();
    const ready = await world.until(() => agent.report().converged, 10 * minute);
    const report = JSON.stringify(agent.report());
    world.cut();
    if (!ready) return `the story cannot begin: ${report}`;
  }
  await story.prepare?.(world);
  return undefined;
}

async function interlude(world: SimWorld, { interlude: what, seed }: CrashCase): Promise<void> {
  const { clock, node, tokenId } = world;
  const random = createSimRandom(seed).fork('interlude');
  // At once, or somewhere within the work that was begun.
  const moment = random.chance(0.4) ? 0 : random.int(2_500);
  switch (what) {
    case 'boots at once':
      return;
    case 'boots late':
      return clock.advance(2 * minute);
    case 'worker killed':
      await clock.advance(moment);
      for (const { upid } of node.tasks.running())
        if (node.tasks.find(upid)?.parts.user === tokenId) node.tasks.kill(upid);
      return clock.advance(random.int(30_000));
    case 'node rebooted':
      await clock.advance(moment);
      await clock.runUntil(node.reboot());
      // No node is back sooner.
      return clock.advance(5_000 + random.int(minute));
  }
}
