/** Whether everything adds up in the end: judged by the node's files and tasks, by the journal, and by what is said. */
import { createRestoreStore, foldSaga } from '@felhom/agent';
import type { CrashPoint } from '@felhom/agent';
import { verifyChain } from '@felhom/protocol';
import type { Neighbour } from '../world/neighbour.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { disorderAt, markedUid, openSagas, overlaps, ownTasks, rangeOf, registered } from '../world/traces.ts';
import { changedSince, storyVmid } from './story.ts';
import type { JobStanding, Standing, Story } from './story.ts';

export interface Ending {
  readonly saga: string;
  readonly story: Story;
  readonly variant: string;
  readonly interlude: string;
  readonly again?: number;
  readonly neighbour: Neighbour;
  /** How the guest was before the saga was asked for. */
  readonly was: Standing;
  /** Sagas of the time before. */
  readonly earlier: ReadonlySet<string>;
  readonly signed: boolean;
  readonly job: JobStanding | undefined;
}

export async function judge(world: SimWorld, ending: Ending): Promise<readonly string[]> {
  const { story, neighbour, signed } = ending;
  const problems = [
    ...neighbour.differences(),
    ...overlaps(world),
    ...destroyedAfterServing(world, ending),
    ...twice(world, ending),
    ...chainTrouble(world),
  ];
  const parked = openSagas(world).filter((saga) => saga.parked);
  if (parked.length > 0) {
    const says = JSON.stringify(world.life()?.agent.report().parked);
    // With a working node most have no reason to park for.
    if (story.parked === undefined) return [...problems, `parked although everything works: ${says}`];
    return [...problems, ...(await story.parked(world, says))];
  }
  const isDone = !signed || ending.job?.state === (story.doneAs ?? 'done');
  const wanted = story.guests?.[isDone ? 'done' : 'undone'] ?? 1;
  const records = registered(world);
  // Kept for an undo: the record of its restore has it, the registry has the guest that took its place.
  const kept = createRestoreStore(world.disk())
    .all()
    .flatMap(({ state, old }) => (state === 'undoable' && old !== undefined ? [Number(old.vmid)] : []));
  const mine = rangeOf(world).filter(
    (vmid) =>
      vmid !== neighbour.vmid && !kept.includes(vmid) && markedUid(world.host.rawConfig(vmid) ?? '') !== undefined,
  );
  if (mine.length !== wanted)
    problems.push(`there must be ${wanted} guests, there are ${mine.length}: ${mine.join(', ')}`);
  if (records.length !== wanted) problems.push(`there must be ${wanted} guests, ${records.length} are on record`);
  for (const record of records) problems.push(...unlikeRecord(world, record, story));
  for (const vmid of rangeOf(world))
    if (vmid !== neighbour.vmid)
      problems.push(...disorderAt(world, vmid).filter((text) => story.tolerates?.test(text) !== true));
  const state = isDone
    ? await story.missing(world, ending)
    : [...(await (story.changed ?? changedSince)(world, ending.was)), ...unexcused(ending)];
  return [...problems, ...state, ...openSagas(world).map(({ id }) => `saga ${id} is still open`)];
}

function unlikeRecord(world: SimWorld, record: ReturnType<typeof registered>[number], story: Story): readonly string[] {
  const config = world.host.rawConfig(record.vmid) ?? '';
  const there = world.node.storage
    .volumesOf(record.vmid)
    .map(({ volid }) => volid)
    .filter((volid) => story.tolerates?.test(volid) !== true);
  const known = record.volumes.map(({ volid }) => volid as string);
  // What was carried over lies where it lay, under the VMID of the guest that was lost.
  const anywhere = rangeOf(world).flatMap((vmid) => world.node.storage.volumesOf(vmid).map(({ volid }) => volid));
  for (const { volid, carriedOver } of record.volumes)
    if (carriedOver && !there.includes(volid) && anywhere.includes(volid)) there.push(volid);
  return [
    ...(markedUid(config) === record.uid ? [] : [`guest ${record.vmid} does not carry its marker`]),
    ...(there.toSorted().join() === known.toSorted().join()
      ? []
      : [`on record are ${known.join(', ')}, there are ${there.join(', ')}`]),
  ];
}

/** Nothing was in its way, and no worker of it was killed: then a job that was signed is done. */
function unexcused({ variant, interlude, job }: Ending): readonly string[] {
  const says = `${job?.state ?? 'nowhere'} (${job?.code ?? 'no code'}): ${job?.text ?? ''}`;
  if (job?.code === undefined) return [`the job is ${says}, and no reason is given`];
  const undisturbed = variant === 'well' && (interlude === 'boots at once' || interlude === 'boots late');
  return undisturbed ? [`nothing was in the way, and the job is ${says}`] : [];
}

/** Completed sagas of one name that were not there before the story began. */
export function completedOf(world: SimWorld, saga: string, earlier: ReadonlySet<string>): readonly string[] {
  const disk = world.disk();
  return disk
    .recentSagas(20)
    .filter((id) => id.startsWith(`${saga}-`) && !earlier.has(id))
    .filter((id) => {
      const log = foldSaga(disk.recordsOf(id));
      return log?.name === saga && log.end?.is === 'completed';
    });
}

/** What was signed once, or is wanted once, is done once. */
function twice(world: SimWorld, { saga, story, earlier, signed }: Ending): readonly string[] {
  const completed = signed || story.once === true ? completedOf(world, saga, earlier) : [];
  const asked = signed ? 'signed' : 'wanted';
  return completed.length > 1
    ? [`it was ${asked} once, and done ${completed.length} times: ${completed.join(', ')}`]
    : [];
}

/** The chain is whole, and what the hub was told is its beginning. */
export function chainTrouble(world: SimWorld): readonly string[] {
  const agent = world.life()?.agent;
  if (agent === undefined) return [];
  const { entries, head } = agent.auditFrom(1);
  const verdict = verifyChain(entries);
  const told = world.hub.audit(world.disk().hostEpoch);
  const differs = told.findIndex((entry, at) => entry !== entries[at]);
  return [
    ...(verdict.is === 'whole' && verdict.head.count === head.count && verdict.head.head === head.head
      ? []
      : [`the audit chain is ${JSON.stringify(verdict)}, its head is ${JSON.stringify(head)}`]),
    ...(differs === -1 ? [] : [`entry ${differs + 1} of the audit log is not the one that the hub was told`]),
  ];
}

/**
 * Whatever is made here may be destroyed at most once for each try. The one guest of a story only as long as it has not
 * served; afterwards by a signed removal, once.
 */
function destroyedAfterServing(world: SimWorld, { story }: Ending): readonly string[] {
  const record = registered(world).find(({ vmid }) => vmid === storyVmid);
  const own = ownTasks(world);
  const madeAt = (vmid: number) => own.filter(({ id, type }) => type === 'vzrestore' && id === String(vmid));
  const destroyedAt = (vmid: number) =>
    own.filter(({ id, type, exitStatus }) => type === 'vzdestroy' && exitStatus === 'OK' && id === String(vmid));
  const destroys = destroyedAt(storyVmid);
  const served = story.before !== undefined || story.prepare !== undefined;
  const allowed = story.removes === true ? 1 : 0;
  return [
    ...rangeOf(world)
      .map((vmid) => ({ vmid, made: madeAt(vmid).length, gone: destroyedAt(vmid).length }))
      .filter(({ made, gone }) => gone > made)
      .map(({ vmid, made, gone }) => `${vmid}: ${made} restores, ${gone} destroys`),
    ...(served && destroys.length > allowed
      ? [`${allowed} removals were signed for, there were ${destroys.map(({ upid }) => upid).join(', ')}`]
      : []),
    ...destroys
      .filter(({ from }) => !served && record?.servedAt !== undefined && from * 1000 > record.servedAt)
      .map(({ upid }) => `a guest that has served was destroyed: ${upid}`),
  ];
}

/**
 * The moment in which a restore counts as taken back: nothing of it may be left, before the next try begins. `stood`:
 * VMIDs of guests that were there before the saga.
 */
export function watchUndo(
  world: SimWorld,
  {
    saga,
    story,
    neighbour,
    stood,
  }: Pick<Ending, 'saga' | 'story' | 'neighbour'> & { readonly stood: ReadonlySet<number> },
  problems: string[],
): (point: CrashPoint) => boolean {
  return (point) => {
    if (point !== `${saga}/restore/undo/after-outcome`) return false;
    const disk = world.disk();
    for (const { id } of openSagas(world)) {
      const log = foldSaga(disk.recordsOf(id));
      if (log?.steps.get('restore')?.undo.outcome?.is !== 'done') continue;
      for (const vmid of rangeOf(world))
        if (vmid !== neighbour.vmid) {
          if (world.node.guests.exists(vmid) && !stood.has(vmid))
            problems.push(`taken back, and guest ${vmid} is still there`);
          problems.push(
            ...disorderAt(world, vmid)
              .filter((text) => story.tolerates?.test(text) !== true)
              .map((text) => `taken back, and ${text}`),
          );
        }
    }
    return false;
  };
}
