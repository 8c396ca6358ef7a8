/** How a world comes to a restore that people sign, and what its guests hold on their disks afterwards. */
import { createRestoreStore, undoLossOf } from '@felhom/agent';
import type { GuestRecord } from '@felhom/agent';
import type { JobOf, VolumeId } from '@felhom/protocol';
import type { LabGuest } from '../world/desired.ts';
import type { SignedJob } from '../world/sign-job.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { openSagas, registered } from '../world/traces.ts';
import { catalogueOf, planAt, until, write } from './protection-scenes.ts';
import { agentOf, carried, signed } from './signed-stories.ts';
import { storyVmid, web } from './story.ts';

type RestoreRecord = ReturnType<ReturnType<typeof createRestoreStore>['all']>[number];

const minute = 60_000;

/** Where a second guest goes: the VMID between belongs to the neighbour. */
export const besideVmid = storyVmid + 2;

export const restoresOf = (world: SimWorld): readonly RestoreRecord[] => createRestoreStore(world.disk()).all();

export function recordOf(world: SimWorld, name = 'web'): GuestRecord {
  const record = registered(world).find((one) => one.name === name);
  if (record === undefined) throw new Error(`cannot tell the story: ${name} is not on record`);
  return record;
}

/** Written to, backed up, and written to again: `then` is what the backup holds, `now` what the guest does. */
export async function wroteOn(world: SimWorld, guest: LabGuest = web): Promise<void> {
  const names = recordOf(world).volumes.map(({ name }) => name);
  for (const name of names) await write(world, name, `${name} then`);
  await until(world, 4);
  world.hub.publish([guest], { backups: planAt(4) });
  world.boot();
  const isThere = (): boolean =>
    catalogueOf(world).length > 0 && openSagas(world).length === 0 && agentOf(world).report().converged;
  const came = await world.until(isThere, 20 * minute);
  world.cut();
  if (!came) throw new Error('cannot tell the story: no backup comes');
  for (const name of names) await write(world, name, `${name} now`);
}

/** As a restore-test would have it on record. */
export function proven(world: SimWorld): void {
  const [record] = catalogueOf(world);
  if (record === undefined) throw new Error('cannot tell the story: no backup is on record');
  const at = Math.trunc(world.clock.now());
  const body = { ...record, proven: { at, evidence: record.sha256, rtoMs: 60_000 } };
  world.disk().put({ key: `backup/${record.id}`, v: 1, body });
}

const bytes = (world: SimWorld) => {
  const [record] = catalogueOf(world);
  if (record === undefined) throw new Error('cannot tell the story: no backup is on record');
  return { archive: record.archive, sha256: record.sha256 };
};

const isBulk = ({ volid }: GuestRecord['volumes'][number]): boolean => volid.startsWith('bulk:');

const overwriting = (world: SimWorld) => {
  const { uid, incarnation, volumes } = recordOf(world);
  const volids = (of: readonly GuestRecord['volumes'][number][]): VolumeId[] => of.map(({ volid }) => volid).toSorted();
  return {
    guest: { uid, incarnation },
    backup: bytes(world),
    bulk: volids(volumes.filter(isBulk)),
    lossSet: volids(volumes.filter((volume) => !isBulk(volume))),
  };
};

export const overwrite = (world: SimWorld): Promise<SignedJob> =>
  signed(world, 'restore-overwrite', { ...overwriting(world), undoHours: 72 });

export const inPlace = (world: SimWorld): Promise<SignedJob> => signed(world, 'restore-in-place', overwriting(world));

export function copy(world: SimWorld): Promise<SignedJob> {
  const { uid, incarnation } = recordOf(world);
  const params = { guest: { uid, incarnation }, backup: bytes(world), name: 'copy', identity: 'fresh' };
  return signed(world, 'restore-copy', params as JobOf<'restore-copy'>['params']);
}

/** A restore with an undo is through, `later` was written to bulk, and people sign what becomes of it. */
export const afterOverwrite =
  (verb: 'undo' | 'finish') =>
  async (world: SimWorld): Promise<SignedJob> => {
    await carried(world, await overwrite(world), 'done');
    await write(world, 'photos', 'photos later');
    await write(world, 'rootfs', 'rootfs later');
    const [restore] = restoresOf(world);
    if (restore?.old === undefined) throw new Error('cannot tell the story: no restore is on record');
    const freed =
      verb === 'undo' ? undoLossOf(restore, recordOf(world)) : restore.old.volumes.map(({ volid }) => volid);
    return signed(world, 'saga', { verb, saga: restore.id, step: '', lossSet: [...freed].toSorted() });
  };

// ------------------------------------------------------------------------------------------------------ looking

async function noteAt(world: SimWorld, volid: string): Promise<string> {
  const { disk } = world.node.storage;
  const tree = await disk.readTree(world.node.storage.volumeDiskPath(volid));
  const found = tree.find(({ name }) => name === './note');
  return found === undefined ? 'nothing' : new TextDecoder().decode(found.content);
}

const line = (config: string, pattern: RegExp, text: string): readonly string[] => (pattern.test(config) ? [] : [text]);

/** It runs, is in the network and starts with the node; it is what is on record, of this incarnation, with these notes. */
export async function serves(
  world: SimWorld,
  wanted: {
    readonly name?: string;
    readonly vmid?: number;
    readonly incarnation: number;
    readonly notes: readonly string[];
  },
): Promise<readonly string[]> {
  const record = recordOf(world, wanted.name);
  const { vmid, uid, incarnation, marker, servedAt, volumes } = record;
  const config = world.host.rawConfig(vmid) ?? '';
  const notes = await Promise.all(volumes.map(({ volid }) => noteAt(world, volid)));
  return [
    ...(wanted.vmid === undefined || vmid === wanted.vmid ? [] : [`${record.name} is ${vmid}, not ${wanted.vmid}`]),
    ...(incarnation === wanted.incarnation ? [] : [`its incarnation is ${incarnation}, not ${wanted.incarnation}`]),
    ...line(config, new RegExp(`^#felhom%3A${uid}\\.${incarnation}\\.${marker}$`, 'm'), `${vmid} lacks its marker`),
    ...(servedAt === undefined ? [`${vmid} is on record as one that never served`] : []),
    ...(world.node.guests.exists(vmid) && world.node.guests.isRunning(vmid) ? [] : [`${vmid} does not run`]),
    ...line(config, /^onboot: 1$/m, `${vmid} does not start at boot`),
    ...line(config, /^net0: (?!.*link_down)/m, `${vmid} has no network`),
    ...(/^protection: 1$/m.test(config) ? [`${vmid} is protected`] : []),
    ...(notes.join() === wanted.notes.join()
      ? []
      : [`the volumes of ${vmid} hold ${notes.join()}, not ${wanted.notes.join()}`]),
  ];
}

/** The guest as it was before waits, stopped, cut off and protected, with exactly what is on record of it. */
export async function kept(world: SimWorld, vmid: number): Promise<readonly string[]> {
  const [restore] = restoresOf(world);
  if (restore?.old === undefined || restore.state !== 'undoable') return ['no restore can be undone'];
  const config = world.host.rawConfig(vmid) ?? '';
  const volumes = restore.old.volumes.map(({ volid }) => volid as string).toSorted();
  const there = world.node.storage
    .volumesOf(vmid)
    .map(({ volid }) => volid)
    .toSorted();
  const notes = await Promise.all(restore.old.volumes.map(({ volid }) => noteAt(world, volid)));
  return [
    ...(restore.old.vmid === vmid ? [] : [`the kept guest is ${restore.old.vmid}, not ${vmid}`]),
    ...(world.node.guests.exists(vmid) && world.node.guests.isRunning(vmid) ? [`the kept guest ${vmid} runs`] : []),
    ...line(config, /^onboot: 0$/m, `the kept guest ${vmid} starts at boot`),
    ...line(config, /^protection: 1$/m, `the kept guest ${vmid} is not protected`),
    ...line(config, /^net0: .*link_down=1/m, `the kept guest ${vmid} is in the network`),
    ...(there.join() === volumes.join() ? [] : [`kept must be ${volumes.join()}, there are ${there.join()}`]),
    ...(notes.join() === 'rootfs now,data now' ? [] : [`the kept volumes hold ${notes.join()}`]),
  ];
}

export const gone = (world: SimWorld, vmid: number): readonly string[] => [
  ...(world.node.guests.exists(vmid) ? [`${vmid} is still there`] : []),
  ...world.node.storage.volumesOf(vmid).map(({ volid }) => `${volid} is still there`),
];

export const restoreStands = (world: SimWorld, wanted: RestoreRecord['state'] | 'not on record'): readonly string[] => {
  const [restore, ...more] = restoresOf(world);
  return [
    ...(more.length === 0 ? [] : ['more than one restore is on record']),
    ...((restore?.state ?? 'not on record') === wanted ? [] : [`the restore is ${restore?.state ?? 'not on record'}`]),
  ];
};
