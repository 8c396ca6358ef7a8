/** Events: what people and other tools do on the node, past the agent. */
import { watchGuest } from '../world/neighbour.ts';
import { openSagas, rangeOf, registered } from '../world/traces.ts';
import { asRoot, taskAsRoot } from './play.ts';
import type { Play } from './play.ts';

/** What stands where a guest of ours was left, unless somebody else's stands there by now. */
const ours = ({ world, ledger }: Play) =>
  registered(world).filter(({ vmid }) => world.node.guests.exists(vmid) && !ledger.neighbours.has(vmid));

function freeVmid({ world, random }: Play): number | undefined {
  const free = rangeOf(world).filter(
    (vmid) =>
      !world.node.guests.exists(vmid) &&
      world.node.storage.volumesOf(vmid).length === 0 &&
      !registered(world).some((record) => record.vmid === vmid),
  );
  return free.length === 0 ? undefined : free[Math.min(random.int(4), free.length - 1)];
}

export async function memoryEdited(play: Play): Promise<void> {
  const [guest] = ours(play);
  if (guest === undefined) return;
  const memory = play.isMild ? 128 : 128 + 64 * play.random.int(20);
  play.note(`a person sets the memory of ${guest.vmid} to ${memory}`);
  await asRoot(play, 'PUT', `/lxc/${guest.vmid}/config`, { memory });
}

export async function guestStopped(play: Play): Promise<void> {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  play.note(`a person stops ${vmid}`);
  await asRoot(play, 'POST', `/lxc/${vmid}/status/stop`);
}

export async function markerDeleted(play: Play): Promise<void> {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  play.note(`a person clears the notes of ${vmid}`);
  await asRoot(play, 'PUT', `/lxc/${vmid}/config`, { description: '' });
}

export async function guestDestroyed(play: Play): Promise<void> {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  play.note(`a person destroys ${vmid}`);
  play.ledger.touchedByPeople.add(vmid);
  await taskAsRoot(play, 'DELETE', `/lxc/${vmid}`, { force: 1, purge: 1 });
}

/** A backup of one of our guests comes back: over itself, over another one, or beside them. */
export async function archiveRestored(play: Play): Promise<void> {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { world, random, ledger } = play;
  const source = random.pick(guests).vmid;
  const beside = random.chance(0.4) ? freeVmid(play) : undefined;
  const target = beside ?? random.pick(guests).vmid;
  play.note(`a person restores a backup of ${source} as ${target}`);
  const before = new Set(archives(play));
  await taskAsRoot(play, 'POST', '/vzdump', {
    vmid: String(source),
    storage: 'backup',
    mode: 'snapshot',
    compress: 'zstd',
  });
  const archive = archives(play).find((volid) => !before.has(volid));
  if (archive === undefined) return;
  ledger.touchedByPeople.add(target);
  if (beside === undefined) await taskAsRoot(play, 'POST', `/lxc/${target}/status/stop`);
  const made = await taskAsRoot(play, 'POST', '/lxc', {
    vmid: target,
    ostemplate: archive,
    restore: 1,
    storage: 'guests',
    ...(beside === undefined ? { force: 1 } : {}),
  });
  // Taken by the agent in between: then it is ours after all.
  const isOurs = registered(world).some(({ vmid }) => vmid === target);
  if (made && beside !== undefined && !isOurs) ledger.neighbours.set(target, watchGuest(world, target));
}

function archives({ world }: Play): readonly string[] {
  const { storage } = world.node;
  const folder = storage.diskPath('backup', 'dump');
  return storage.disk
    .list(folder)
    .filter((name) => name.endsWith('.tar.zst'))
    .map((name) => `backup:backup/${name}`);
}

/** Somebody else's guest appears in our range. */
export async function strangerMoves(play: Play): Promise<void> {
  const { world, ledger } = play;
  const vmid = freeVmid(play);
  const archive = world.policy.goldens['debian-13']?.archive;
  if (vmid === undefined) return;
  play.note(`a stranger makes guest ${vmid}`);
  const { node } = world;
  await node.handle({
    method: 'POST',
    path: `/nodes/${node.name}/lxc`,
    as: 'root@pam',
    params: { vmid, ostemplate: archive, restore: 1, storage: 'guests', rootfs: 'guests:1', hostname: `s${vmid}` },
  });
  // The answer may have been lost on its way; the worker tells.
  const worker = node.tasks
    .all()
    .find(({ parts }) => parts.type === 'vzrestore' && parts.id === String(vmid) && parts.user === 'root@pam');
  if (worker === undefined) return;
  // Until it is whole nobody can say how it should be; the agent has no business there meanwhile.
  ledger.touchedByPeople.add(vmid);
  const watch = async (): Promise<void> => {
    await node.tasks.settled(worker.upid);
    if (node.tasks.find(worker.upid)?.exitStatus === 'OK') ledger.neighbours.set(vmid, watchGuest(world, vmid));
  };
  void watch();
}

/** A volume without a guest, e.g. of one whose config somebody removed: never to be freed, never to be built upon. */
export async function volumeLeftLying(play: Play): Promise<void> {
  const vmid = freeVmid(play);
  // A saga that has chosen its VMIDs already cannot be blamed for what appears there now.
  if (vmid === undefined || openSagas(play.world).length > 0) return;
  const { world, ledger } = play;
  const made = world.node.storage.allocate(undefined, 'guests', vmid, 2 ** 20).catch(() => undefined);
  const volume = await world.clock.runUntil(made);
  if (volume === undefined) return;
  play.note(`a volume without a guest lies around: ${volume.volid}`);
  ledger.keep(volume.volid, vmid);
}

export function guestLocked(play: Play): void {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  const { guests: room } = play.world.node;
  play.note(`somebody's backup locks ${vmid}`);
  room.setLock(vmid, 'backup');
  play.ledger.disturbed.add(vmid);
  play.repairs.set(`lock ${vmid}`, () => {
    if (room.exists(vmid)) room.setLock(vmid, undefined);
  });
}

export function leftPool(play: Play): void {
  const guests = ours(play);
  if (guests.length === 0) return;
  const { vmid } = play.random.pick(guests);
  const { access } = play.world.node;
  play.note(`${vmid} is taken out of the pool`);
  play.ledger.disturbed.add(vmid);
  access.config.pools.get(play.world.policy.pool)?.vms.delete(vmid);
  play.repairs.set(`pool ${vmid}`, () => access.addGuestToPool(vmid, play.world.policy.pool));
}
