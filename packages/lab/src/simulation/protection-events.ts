/** Events of histories in which guests are protected: what is lost, what rots, what people sign about copies. */
import { labGuest, livingGuest } from '../world/desired.ts';
import type { LabGuest } from '../world/desired.ts';
import { registered } from '../world/traces.ts';
import type { Fault } from '../fake-pve/faults/faults.ts';
import { publish, taskAsRoot } from './play.ts';
import type { Play } from './play.ts';
import type { ProtectionWatch } from './protection-watch.ts';
import { order, report, some } from './signing.ts';

export interface Protected {
  readonly play: Play;
  readonly watch: ProtectionWatch;
}

const ours = ({ world }: Play) => registered(world).filter(({ scratch }) => !scratch);

/** Every few minutes, so that a short life sees copies, tests and prunings. */
export const plan = (play: Pick<Play, 'random'>) => ({
  graceMinutes: 1 + play.random.int(2),
  tiers: [
    { name: 'local', target: 'local', schedule: '*-*-* *:00/10:00', keep: { days: 1 }, restoreTestEveryDays: 1 },
    { name: 'offsite', target: 'offsite', schedule: '*-*-* *:05/30:00', keep: { days: 1 }, restoreTestEveryDays: 1 },
  ],
});

export function firstGuests(play: Play): readonly LabGuest[] {
  const second = play.random.pick([undefined, labGuest('plain'), livingGuest('shop')]);
  return [livingGuest('cloud'), ...(second === undefined ? [] : [second])];
}

export function changes({ play }: Protected): void {
  const { random } = play;
  const at = random.int(play.wanted.length);
  const [what, change] = random.pick<readonly [string, (guest: LabGuest) => LabGuest]>([
    ['more memory', (guest) => ({ ...guest, memoryMiB: guest.memoryMiB + 64 })],
    ['a tag', (guest) => ({ ...guest, tags: [`t${random.int(5)}`] })],
    ['a larger root', (guest) => ({ ...guest, rootfs: { ...guest.rootfs, sizeGiB: guest.rootfs.sizeGiB + 1 } })],
    ['a guest that is not asked', (guest) => ({ ...guest, backup: { appConsistent: random.chance(0.7) } })],
  ]);
  play.note(`desired state: ${what}`);
  play.wanted = play.wanted.map((guest, i) => (i === at ? change(guest) : guest));
  publish(play, play.wanted);
}

/** The fast disk dies with the config on it; the bulk disk is another one. */
export async function guestLost({ play }: Protected): Promise<void> {
  const { world } = play;
  const guests = ours(play).filter(({ vmid }) => world.node.guests.exists(vmid));
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  play.note(`guest ${vmid} is lost`);
  play.ledger.touchedByPeople.add(vmid);
  const { node, host } = world;
  if (node.guests.isRunning(vmid)) await world.clock.runUntil(node.guests.stop(vmid));
  for (const { volid } of node.storage.volumesOf(vmid))
    if (volid.startsWith('guests:')) await world.clock.runUntil(Promise.resolve(node.storage.free(volid)));
  if (host.rawConfig(vmid) !== undefined) host.removeConfig(vmid);
}

/** Only what was looked at when it was taken, so that the look stays a look. */
export function archiveRots({ play, watch }: Protected): void {
  const { world, random } = play;
  const copies = world
    .disk()
    .list('backup/')
    .map(({ body }) => (body as { readonly archive: string }).archive)
    .filter((archive) => !watch.damaged.has(archive));
  if (copies.length < 2) return;
  const archive = random.pick(copies);
  const path = world.node.storage.archives.volidPath(archive);
  if (path === undefined || world.node.storage.disk.file(path) === undefined) return;
  play.note(`${archive} rots`);
  watch.damaged.add(archive);
  world.node.storage.disk.damageArchive(path);
}

/** Root's own backup of a guest of ours: under our guest's VMID, and not ours. */
export async function foreignBackup({ play, watch }: Protected): Promise<void> {
  const { world } = play;
  const guests = ours(play).filter(({ vmid }) => world.node.guests.exists(vmid));
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  const list = (): readonly string[] => world.node.storage.archives.list('backup').map(({ volid }) => volid);
  const known = new Set(list());
  play.note(`a person backs up ${vmid}`);
  const made = await taskAsRoot(play, 'POST', '/vzdump', {
    vmid: String(vmid),
    storage: 'backup',
    mode: 'snapshot',
    compress: 'zstd',
    remove: 0,
  });
  if (!made) return;
  for (const volid of list()) if (!known.has(volid) && !isOwn(play, volid)) watch.foreign.add(volid);
}

/** The agent may have taken one meanwhile; its notes say so. */
const isOwn = ({ world }: Play, volid: string): boolean =>
  world.node.storage.archives
    .list('backup')
    .find((one) => one.volid === volid)
    ?.notes?.startsWith('felhom ') === true;

export function programsDie({ play }: Protected): void {
  const { world, random } = play;
  const up = ours(play).filter(({ vmid }) => world.guests?.of(vmid) !== undefined);
  if (up.length === 0) return;
  const { vmid } = random.pick(up);
  play.note(`the programs of ${vmid} die and start again`);
  world.guests?.restart(vmid);
}

/** The worst moment there is: whatever happens next happens while apps stand still. */
export async function untilApartStands({ play, watch }: Protected): Promise<void> {
  const came = await play.world.until(() => watch.standing().length > 0, 11 * 60_000);
  if (came) play.note(`apps of ${watch.standing().join()} stand still`);
}

const calls: readonly (readonly ['GET' | 'POST' | 'PUT' | 'DELETE', RegExp])[] = [
  ['POST', /\/vzdump$/],
  ['GET', /\/storage\/[^/]+\/content/],
  ['PUT', /\/storage\/[^/]+\/content/],
  ['DELETE', /\/storage\/[^/]+\/content/],
  ['POST', /\/move_volume$/],
  ['POST', /\/lxc$/],
  ['DELETE', /\/lxc\/\d+$/],
  ['PUT', /\/lxc\/\d+\/config$/],
  ['POST', /\/lxc\/\d+\/status\/start$/],
  ['POST', /\/lxc\/\d+\/status\/(?:stop|shutdown)$/],
  ['GET', /\/tasks\/[^/]+\/(?:status|log)$/],
  ['GET', /\/tasks$/],
];

export function callFails({ play }: Protected): void {
  const { random, world } = play;
  const [method, path] = random.pick(calls);
  const when = random.chance(0.5) ? ('before' as const) : ('after' as const);
  const fault = random.pick<Fault>([
    { is: 'drop', when },
    { is: 'status', status: 500, reason: 'Internal Server Error', when },
    { is: 'status', status: 596, reason: 'Connection timed out', when },
    { is: 'die', message: 'it just did not work\n' },
    { is: 'delay', ms: 1_000 + random.int(60_000) },
  ]);
  play.note(`fault: ${method} ${path.source}, ${JSON.stringify(fault)}`);
  world.node.faults.add({ method, path, nth: 1 + random.int(2), fault });
}

export function workerDies({ play }: Protected): void {
  const { node, tokenId } = play.world;
  const running = node.tasks.running().filter(({ upid }) => node.tasks.find(upid)?.parts.user === tokenId);
  if (running.length > 0) {
    const { upid } = play.random.pick(running);
    play.note(`kill -9 ${upid}`);
    return node.tasks.kill(upid);
  }
  const type = play.random.pick(['vzdump', 'vzdump', 'vzrestore', 'vzdestroy', 'imgdel', 'vzstart', 'move_volume']);
  const action = play.random.pick(['kill', 'abort'] as const);
  play.note(`the next ${type} is to ${action}`);
  node.tasks.trap({ type, action });
}

// ------------------------------------------------------------------------------------------------------- signed

const partsOf = (play: Play, uid: string) => {
  const guest = report(play)?.guests.find((one) => one.uid === uid);
  if (guest?.volumes === undefined || guest.bulkVolumes === undefined || guest.incarnation === undefined)
    return undefined;
  const bulk = guest.bulkVolumes.toSorted();
  return {
    guest: { uid: guest.uid ?? (uid as never), incarnation: guest.incarnation },
    bulk,
    lossSet: guest.volumes.filter((volume) => !bulk.includes(volume)).toSorted(),
  };
};

const aCopy = (play: Play) => {
  const copies = report(play)?.copies ?? [];
  return copies.length === 0 ? undefined : play.random.pick(copies);
};

export function overwrites({ play }: Protected): void {
  const copy = aCopy(play);
  const parts = copy === undefined ? undefined : partsOf(play, copy.uid);
  if (copy === undefined || parts === undefined) return;
  const backup = { archive: copy.archive, sha256: copy.sha256 };
  const undoHours = play.random.pick([1, 72]);
  order(play, 'restore-overwrite', { ...parts, backup, undoHours }, some(play, 2), {
    uid: copy.uid,
    frees: parts.lossSet,
    carries: parts.bulk,
  });
}

export function endsWindow({ play }: Protected): void {
  const open = (report(play)?.restores ?? []).filter(({ state }) => state === 'undoable');
  if (open.length === 0) return;
  const { id, uid, lossSet: old } = play.random.pick(open);
  const verb = play.random.pick(['undo', 'finish'] as const);
  const lossSet = verb === 'undo' ? partsOf(play, uid)?.lossSet : old?.toSorted();
  if (lossSet === undefined) return;
  order(play, 'saga', { verb, saga: id, step: '', lossSet }, some(play, 2), {
    uid,
    undoes: verb === 'undo',
    frees: lossSet,
    carries: partsOf(play, uid)?.bulk ?? [],
  });
}

export function deletesCopy({ play }: Protected): void {
  const copy = aCopy(play);
  const parts = copy === undefined ? undefined : partsOf(play, copy.uid);
  if (copy === undefined || parts === undefined) return;
  const backup = { archive: copy.archive, sha256: copy.sha256 };
  order(play, 'backup-delete', { guest: parts.guest, backup }, some(play, 2), { deletes: copy.archive });
}

export function restoresCopy({ play }: Protected): void {
  const copy = aCopy(play);
  const parts = copy === undefined ? undefined : partsOf(play, copy.uid);
  if (copy === undefined || parts === undefined || play.named > 0) return;
  play.named += 1;
  const name = `copy${play.named}`;
  const backup = { archive: copy.archive, sha256: copy.sha256 };
  order(
    play,
    'restore-copy',
    { guest: parts.guest, backup, name: name as never, identity: 'fresh' },
    some(play, 2),
    {},
  );
}

export function wantsBackup({ play }: Protected): void {
  const [guest] = report(play)?.guests ?? [];
  const parts = guest?.uid === undefined ? undefined : partsOf(play, guest.uid);
  if (parts === undefined) return;
  const tier = play.random.pick(['local', 'offsite']);
  order(play, 'force-backup', { guest: parts.guest, tier }, some(play), {});
}
