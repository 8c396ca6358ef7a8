/** How a world comes to backups, and what the stories about them look at: the node's own files and the journal. */
import { createCatalogue, createEvidenceStore } from '@felhom/agent';
import type { BackupRecord, HelperRequest } from '@felhom/agent';
import type { Backup } from '../fake-pve/storage/archives.ts';
import { fileMember } from '../fake-pve/storage/index.ts';
import type { SimWorld } from '../world/sim-world.ts';
import { startAt } from '../world/sim-world.ts';
import { openSagas, registered } from '../world/traces.ts';
import { storyVmid, web } from './story.ts';

const minute = 60_000;
const hour = 60 * minute;
/** The hour of the day at which simulated worlds begin. */
const startHour = new Date(startAt).getUTCHours();

/** One tier, due at these hours of the day. */
export const planAt = (...hours: readonly number[]) => ({
  graceMinutes: 1,
  tiers: [{ name: 'local', target: 'local', schedule: `*-*-* ${hours.join()}:00:00`, keep: { days: 7 } }],
});

/** A storage that is not there has no room: nothing is tested while something else is told. */
export const untested = { restoreTests: { storage: 'nowhere' } };

/** To the hour of the first day, where it is not past. */
export async function until(world: SimWorld, hourOfDay: number): Promise<void> {
  const ms = startAt + (hourOfDay - startHour) * hour + 1_000 - world.clock.now();
  if (ms > 0) await world.clock.advance(ms);
}

export const catalogueOf = (world: SimWorld): readonly BackupRecord[] => createCatalogue(world.disk()).all();
export const evidenceOf = (world: SimWorld) => createEvidenceStore(world.disk()).all();

export const archivesOf = (world: SimWorld, storage = 'backup'): readonly Backup[] =>
  world.node.storage.archives.list(storage).filter(({ vmid }) => vmid === storyVmid);

/** A life of the agent in which a backup is taken at each of these hours; it is off afterwards. */
export async function backedUp(world: SimWorld, ...hours: readonly number[]): Promise<void> {
  world.hub.publish([web], { backups: planAt(...hours) });
  for (const [at, hourOfDay] of hours.entries()) {
    await until(world, hourOfDay);
    const { agent } = world.boot();
    const ready = await world.until(
      () => catalogueOf(world).length > at && openSagas(world).length === 0 && agent.report().converged,
      20 * minute,
    );
    const report = JSON.stringify(agent.report());
    world.cut();
    if (!ready) throw new Error(`cannot tell the story: no backup comes: ${report}`);
    // Or the next one of that day would have it pruned at once.
    rewrite(world, (record) => ({ ...record, protected: true }));
  }
  // Until the story says that the newest was read back, none is pruned.
  rewrite(world, (record) => ({ ...record, integrity: undefined, protected: false }));
}

function rewrite(world: SimWorld, change: (record: BackupRecord) => object): void {
  for (const record of catalogueOf(world)) world.disk().put({ key: `backup/${record.id}`, v: 1, body: change(record) });
}

export async function asRoot(
  world: SimWorld,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  params: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  const answer = await world.node.handle({ method, path, params, as: 'root@pam' });
  if (answer.status !== 200) throw new Error(`cannot tell the story: ${method} ${path}: ${answer.reason}`);
  return (answer.body as { readonly data: unknown }).data;
}

export const contentPath = ({ node }: SimWorld, volid: string): string =>
  `/nodes/${node.name}/storage/${volid.slice(0, volid.indexOf(':'))}/content/${encodeURIComponent(volid)}`;

/** Before the nth such call, once. */
export function meanwhile(
  world: SimWorld,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: RegExp,
  act: () => Promise<unknown>,
  nth = 1,
): void {
  world.node.faults.add({ method, path, nth, fault: { is: 'meanwhile', act: async () => void (await act()) } });
}

/** Disabled in Proxmox, and enabled again a while later: not active, and nothing on it is listed. */
export async function storageAway(world: SimWorld, storage = 'backup', ms = 2 * minute): Promise<void> {
  await asRoot(world, 'PUT', `/storage/${storage}`, { disable: 1 });
  void world.clock.sleep(ms).then(() => asRoot(world, 'PUT', `/storage/${storage}`, { disable: 0 }));
}

/** The disk under the directories is full, for a while. */
export function diskFull({ node, clock }: SimWorld, ms = 2 * minute): void {
  const root = node.storage.hardware.device('root');
  if (root === undefined) throw new Error('cannot tell the story: there is no disk');
  const before = root.otherBytes;
  root.otherBytes = root.capacityBytes;
  void clock.sleep(ms).then(() => (root.otherBytes = before));
}

/** Root's helper has no time for this verb at first. */
export function helperBusy(world: SimWorld, verb: HelperRequest['verb'], ms = minute): void {
  const { helper, clock } = world;
  const answer = helper.answer.bind(helper);
  let until: number | undefined;
  helper.answer = (request) => {
    if (request.verb !== verb) return answer(request);
    until ??= clock.now() + ms;
    return clock.now() < until
      ? Promise.resolve({ v: 1, is: 'busy', text: `cannot ${verb}: something else is at work` })
      : answer(request);
  };
}

/** As soon as the archive is complete and before anybody can have read it. */
export async function cutShort(world: SimWorld): Promise<void> {
  const { clock, node } = world;
  const before = new Set(archivesOf(world).map(({ volid }) => volid));
  for (let looks = 0; looks < 600; looks++) {
    await clock.sleep(10);
    const fresh = archivesOf(world).find(({ volid }) => !before.has(volid));
    if (fresh === undefined) continue;
    const path = node.storage.archives.volidPath(fresh.volid) ?? '';
    await node.storage.disk.writeArchive(path, [], 'zstd', Number.MAX_SAFE_INTEGER);
    return;
  }
}

export const damaged = ({ node }: SimWorld, volid: string): void =>
  node.storage.disk.damageArchive(node.storage.archives.volidPath(volid) ?? '');

// ------------------------------------------------------------------------------------------------------ looking

/** Whatever is on record lies there, and whatever of ours lies there is on record or named to people. */
export async function catalogueTrouble(world: SimWorld, wanted: number): Promise<readonly string[]> {
  const records = catalogueOf(world);
  const archives = archivesOf(world);
  const findings = JSON.stringify(world.life()?.agent.report().findings ?? []);
  const differ: string[] = [];
  for (const { archive, sha256 } of records) {
    const read = await world.node.storage.disk.digestArchive(world.node.storage.archives.volidPath(archive) ?? '');
    if (read?.sha256 !== sha256) differ.push(`${archive} has other bytes than its record says`);
  }
  return [
    ...differ,
    ...(records.length === wanted ? [] : [`${records.length} backups are on record, there must be ${wanted}`]),
    ...records.flatMap(({ archive, sizeBytes }) => {
      const listed = archives.filter(({ volid }) => volid === archive);
      if (listed.length !== 1) return [`${archive} is on record and is not there`];
      return listed[0]?.sizeBytes === sizeBytes ? [] : [`${archive} is not as long as its record says`];
    }),
    ...archives.flatMap(({ volid, notes }) => {
      const known = records.filter(({ archive }) => archive === volid).length;
      if (known > 1) return [`${volid} is on record ${known} times`];
      const isOurs = notes?.startsWith('felhom ') === true;
      return known === 0 && isOurs && !findings.includes(volid)
        ? [`${volid} is not on record, and nobody says so`]
        : [];
    }),
  ];
}

/** It shows the marker of the record, and no dead backup left anything at it. */
export function guestTrouble(world: SimWorld): readonly string[] {
  return registered(world).flatMap(({ vmid, uid, incarnation, marker }) => {
    const config = world.host.rawConfig(vmid) ?? '';
    return [
      ...(config.includes(`#felhom%3A${uid}.${incarnation}.${marker}`)
        ? []
        : [`guest ${vmid} does not show the marker on record`]),
      ...(/^\[vzdump\]$/m.test(config) ? [`a dead backup left its snapshot at guest ${vmid}`] : []),
    ];
  });
}

// -------------------------------------------------------------------------------------------------------- bytes

const volumeOf = (world: SimWorld, name: string): string | undefined =>
  registered(world)
    .find(({ scratch }) => !scratch)
    ?.volumes.find((volume) => volume.name === name)?.volid;

export async function write(world: SimWorld, name: string, text: string): Promise<void> {
  const { disk } = world.node.storage;
  const path = world.node.storage.volumeDiskPath(volumeOf(world, name) ?? '');
  await disk.writeTree(path, [fileMember('./note', text)], { skipExisting: false });
}

export async function noteIn(world: SimWorld, name: string): Promise<string | undefined> {
  const { disk } = world.node.storage;
  const tree = await disk.readTree(world.node.storage.volumeDiskPath(volumeOf(world, name) ?? ''));
  const found = tree.find((member) => member.name === './note');
  return found === undefined ? undefined : new TextDecoder().decode(found.content);
}
