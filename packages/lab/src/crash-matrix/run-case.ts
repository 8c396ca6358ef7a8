/**
 * One case: a world is brought to where the saga runs, the power goes at the asked point, the node goes on or does not,
 * the agent boots again, perhaps to lose its power once more, and in the end everything must add up.
 */
import { foldSaga } from '@felhom/agent';
import type { CrashPoint } from '@felhom/agent';
import { createSimRandom } from '../simulation/sim-random.ts';
import { addNeighbour } from '../world/neighbour.ts';
import type { Neighbour } from '../world/neighbour.ts';
import { createSimWorld } from '../world/sim-world.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { disorderAt, markedUid, openSagas, overlaps, ownTasks, rangeOf, registered } from '../world/traces.ts';
import { storyVmid } from './stories.ts';
import type { Story } from './stories.ts';

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

export async function runCase(asked: CrashCase): Promise<CaseResult> {
  const { story, point, seed } = asked;
  const world = await createSimWorld({ seed, guestRange });
  const neighbour = await addNeighbour(world, neighbourVmid);
  const unfit = await prepare(world, story);
  if (unfit !== undefined) return { is: 'failed', problems: [unfit], replayed: [] };
  const earlier = new Set(world.disk().recentSagas(20));
  story.spoils[asked.variant]?.(world);
  world.hub.publish(story.asks);
  const first = world.boot((passed) => passed === point);
  const over = (): boolean => first.power.crashedAt !== undefined || hasCompleted(world, asked.saga, earlier);
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
      () => second.power.crashedAt !== undefined || hasCompleted(world, asked.saga, earlier),
      40 * minute,
    );
    replayed = second.power.reached;
    world.cut();
  }
  const last = world.boot(watchUndo(world, asked.saga, problems));
  const settled = await patiently(
    world,
    () => last.agent.report().converged || openSagas(world).some(({ parked }) => parked),
    patienceMs,
  );
  replayed = last.power.reached.filter((at) => at.startsWith(`${asked.saga}/`));
  if (!settled) problems.push(`did not settle: ${JSON.stringify(last.agent.report())}`);
  problems.push(...judge(world, story, neighbour));
  await last.agent.stop();
  return { is: problems.length === 0 ? 'passed' : 'failed', problems, replayed };
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
    world.cut();
    if (!ready) return `the story cannot begin: ${JSON.stringify(agent.report())}`;
  }
  await story.prepare?.(world);
  return undefined;
}

/** Completed sagas of one name that were not there before the story began. */
function hasCompleted(world: SimWorld, saga: string, earlier: ReadonlySet<string>): boolean {
  const disk = world.disk();
  return disk
    .recentSagas(20)
    .filter((id) => !earlier.has(id))
    .some((id) => {
      const log = foldSaga(disk.recordsOf(id));
      return log?.name === saga && log.end?.is === 'completed';
    });
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
      return clock.advance(random.int(minute));
  }
}

/** The moment in which a restore counts as taken back: nothing of it may be left, before the next try begins. */
function watchUndo(world: SimWorld, saga: string, problems: string[]): (point: CrashPoint) => boolean {
  return (point) => {
    if (point !== `${saga}/restore/undo/after-outcome`) return false;
    const disk = world.disk();
    for (const { id } of openSagas(world)) {
      const log = foldSaga(disk.recordsOf(id));
      if (log?.steps.get('restore')?.undo.outcome?.is !== 'done') continue;
      for (const vmid of rangeOf(world))
        if (vmid !== neighbourVmid) {
          if (world.node.guests.exists(vmid)) problems.push(`taken back, and guest ${vmid} is still there`);
          problems.push(...disorderAt(world, vmid).map((text) => `taken back, and ${text}`));
        }
    }
    return false;
  };
}

function judge(world: SimWorld, story: Story, neighbour: Neighbour): readonly string[] {
  const parked = openSagas(world).filter((saga) => saga.parked);
  const problems = [...neighbour.differences(), ...overlaps(world), ...destroyedAfterServing(world)];
  if (parked.length > 0) {
    // With a working node nothing has a reason to park for.
    const report = JSON.stringify(world.life()?.agent.report().parked);
    return [...problems, `parked although everything works: ${report}`];
  }
  const guests = rangeOf(world).filter((vmid) => vmid !== neighbourVmid && world.node.guests.exists(vmid));
  if (guests.length !== 1) problems.push(`one guest was asked for, there are ${guests.length}: ${guests.join(', ')}`);
  const records = registered(world);
  if (records.length !== 1) problems.push(`one guest was asked for, ${records.length} are on record`);
  const [record] = records;
  if (record !== undefined) {
    const config = world.host.rawConfig(record.vmid) ?? '';
    if (markedUid(config) !== record.uid) problems.push(`guest ${record.vmid} does not carry its marker`);
    const there = world.node.storage.volumesOf(record.vmid).map(({ volid }) => volid);
    const known = record.volumes.map(({ volid }) => volid as string);
    if (there.toSorted().join() !== known.toSorted().join())
      problems.push(`on record are ${known.join(', ')}, there are ${there.join(', ')}`);
  }
  for (const vmid of rangeOf(world)) if (vmid !== neighbourVmid) problems.push(...disorderAt(world, vmid));
  return [...problems, ...story.missing(world), ...openSagas(world).map(({ id }) => `saga ${id} is still open`)];
}

/** The one guest of a story may be destroyed only as long as it has not served, and at most once for each try. */
function destroyedAfterServing(world: SimWorld): readonly string[] {
  const [record] = registered(world);
  const tasks = ownTasks(world).filter(({ id }) => id === String(storyVmid));
  const destroys = tasks.filter(({ type, exitStatus }) => type === 'vzdestroy' && exitStatus === 'OK');
  const restores = tasks.filter(({ type }) => type === 'vzrestore');
  return [
    ...(destroys.length > restores.length ? [`${restores.length} restores, ${destroys.length} destroys`] : []),
    ...destroys
      .filter(({ from }) => record?.servedAt !== undefined && from * 1000 > record.servedAt)
      .map(({ upid }) => `a guest that has served was destroyed: ${upid}`),
  ];
}
