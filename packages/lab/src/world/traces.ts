/**
 * What the node really holds in the agent's ranges, and whether that adds up: judged from the node's side, without a
 * word of the agent's.
 */
import type { GuestRecord } from '@felhom/agent';
import { foldSaga } from '@felhom/agent';
import type { EnrolledNode } from './enrolled-node.ts';
import type { SimWorld } from './sim-world.ts';

/** As it stands in a config file, where notes are percent-encoded comments. */
const markerPattern = /^#felhom%3A([a-z0-9]+)\.\d+\.[a-z0-9]+$/m;

/** VMIDs of all ranges of the agent. */
export function rangeOf({ policy }: Pick<EnrolledNode, 'policy'>): readonly number[] {
  return [policy.vmids.guests, policy.vmids.scratch].flatMap(({ from, to }) =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at),
  );
}

/** Uid in the marker line of a guest's notes, if it has one. */
export const markedUid = (config: string): string | undefined => markerPattern.exec(config)?.[1];

export const registered = (world: Pick<SimWorld, 'disk'>): readonly GuestRecord[] =>
  world
    .disk()
    .list('guest/')
    .map((document) => document.body as GuestRecord);

/** Volumes that the config names, ordered ones (`store:8`) excluded. */
export function volumesNamedIn(config: string): readonly string[] {
  return [...config.matchAll(/^(?:rootfs|(?:mp|unused)\d+): ([^,\n]+)/gm)]
    .map(([, volid = '']) => volid)
    .filter((volid) => !/^[^:]+:\d+(?:\.\d+)?$/.test(volid));
}

/**
 * Leftovers at one VMID that is nobody's guest, or disorder in one that is: a lock, volumes that no config names, a
 * config that names volumes which do not exist, a missing pool membership.
 */
export function disorderAt(world: Pick<EnrolledNode, 'node' | 'host' | 'policy'>, vmid: number): readonly string[] {
  const { node, host, policy } = world;
  const config = host.rawConfig(vmid);
  const present = node.storage.volumesOf(vmid).map(({ volid }) => volid);
  const named = config === undefined ? [] : volumesNamedIn(config);
  const lock = /^lock: (\S+)$/m.exec(config ?? '')?.[1];
  const orphans = present.filter((volid) => !named.includes(volid));
  // What was carried over lies under the VMID of before.
  const missing = named.filter((volid) => node.storage.volume(volid) === undefined);
  return [
    ...(lock === undefined ? [] : [`guest ${vmid} is locked (${lock})`]),
    ...(config === undefined || config.trim() !== '' ? [] : [`guest ${vmid} is an empty stub`]),
    ...(orphans.length === 0 ? [] : [`nothing refers to ${orphans.join(', ')}`]),
    ...(missing.length === 0 ? [] : [`guest ${vmid} names ${missing.join(', ')}, which does not exist`]),
    ...(node.access.poolOfGuest(vmid) === policy.pool ? [] : [`VMID ${vmid} has left pool ${policy.pool}`]),
  ];
}

interface OwnTask {
  readonly upid: string;
  readonly type: string;
  readonly id: string;
  /** Epoch seconds. */
  readonly from: number;
  readonly until: number;
  readonly exitStatus: string | undefined;
}

/** Tasks of the agent's token, newest first. */
export function ownTasks({ node, tokenId }: Pick<EnrolledNode, 'node' | 'tokenId'>): readonly OwnTask[] {
  return node.tasks
    .all()
    .filter(({ parts }) => parts.user === tokenId)
    .map(({ upid, parts, endtime, exitStatus }) => ({
      upid,
      type: parts.type,
      id: parts.id,
      from: parts.starttime,
      until: endtime ?? Number.POSITIVE_INFINITY,
      exitStatus,
    }));
}

/** Two of our tasks at work on one guest at the same time. Seconds are coarse: touching is not overlapping. */
export function overlaps(world: Pick<EnrolledNode, 'node' | 'tokenId'>): readonly string[] {
  const found: string[] = [];
  for (const [id, tasks] of Map.groupBy(ownTasks(world), (task) => task.id))
    for (const [at, a] of tasks.entries())
      for (const b of tasks.slice(at + 1))
        if (a.from < b.until && b.from < a.until)
          found.push(`${a.type} and ${b.type} of guest ${id} overlap: ${a.upid} ${b.upid}`);
  return found;
}

/** Sagas that the journal holds and that neither ended nor wait for an operator; records of no saga at all. */
export function openSagas(world: Pick<SimWorld, 'disk'>): readonly { readonly id: string; readonly parked: boolean }[] {
  const disk = world.disk();
  return disk.openSagas().map((id) => {
    const log = foldSaga(disk.recordsOf(id));
    if (log === undefined || log.unreadable !== undefined)
      throw new Error(`the journal holds saga ${id} and cannot tell it: ${log?.unreadable ?? 'no records'}`);
    return { id, parked: log.parked !== undefined };
  });
}

/** For whoever has to find out what happened: the newest sagas record by record, and the newest tasks. */
export function diagnosis(world: SimWorld): readonly string[] {
  const disk = world.disk();
  const sagas = disk.recentSagas(3).flatMap((id) => [
    `saga ${id}`,
    ...disk.recordsOf(id).map((record) => {
      if (record.kind === 'unreadable') return `  unreadable: ${record.text}`;
      const step = 'step' in record ? ` ${record.step}` : '';
      const outcome = 'outcome' in record ? ` ${record.outcome.is}` : '';
      const why = 'outcome' in record && 'why' in record.outcome ? `: ${record.outcome.why.text}` : '';
      const handle = 'handle' in record ? ` ${record.handle}` : '';
      return `  ${new Date(record.at).toISOString()} ${record.kind}${step}${outcome}${why}${handle}`;
    }),
  ]);
  const tasks = world.node.tasks
    .all()
    .slice(0, 12)
    .map(({ upid, endtime, exitStatus }) => `task ${upid} ${endtime === undefined ? 'runs' : exitStatus}`);
  return [...sagas, ...tasks];
}
