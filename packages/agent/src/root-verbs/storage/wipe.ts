/**
 * A target that was detached is wiped: its ends are overwritten, its signatures and its entry of Proxmox are gone, and its
 * name is kept in mind. Only a disk that fits in everything that was declared of it, and that nobody holds; never one that
 * anything else lies on. No secure erase. The same twice does it once, and goes on where the first ended.
 */
import { mkdirSync, rmdirSync } from 'node:fs';
import { isDisk, targetIdentity } from '@felhom/protocol';
import type { DiskTarget } from '@felhom/protocol';
import { mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { changeOf } from './define.ts';
import { guestsOn, guestsWith } from './detach.ts';
import { findBare, findDisk, mountsAt, superblock, useOf } from './disks.ts';
import type { FoundDisk } from './disks.ts';
import { markAt } from './folder.ts';
import { forgetMount, rightDisk } from './mount.ts';
import { onEntry } from './proxmox.ts';
import { declare, declareWiped, declaredIn } from './registry.ts';
import { busyWith } from './world.ts';
import type { ChangeAnswer, StorageWorld } from './world.ts';

export interface WipePlan {
  readonly declared: DeclaredTarget;
  readonly target: DiskTarget;
  /** `undefined`: its wiping was nearly at its end, and nobody can tell its disk any more; nothing is overwritten. */
  readonly on:
    { readonly disk: FoundDisk; /** The disk that it is, or is a part of. */ readonly whole: string } | undefined;
}

export type WipePlanAnswer =
  { readonly is: 'plan'; readonly plan: WipePlan } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** Looks, and changes nothing on the disk: it is mounted read-only for the look at its mark, where root alone comes. */
export async function planWipe(world: StorageWorld, name: string): Promise<WipePlanAnswer> {
  const no = (is: 'refused' | 'busy', why: string): WipePlanAnswer => ({ is, text: `cannot wipe ${name}: ${why}` });
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return no(found.is, found.text);
  const { declared } = found;
  const { target, state } = declared;
  if (!isDisk(target)) return no('refused', 'it is a server; what lies on it is wiped there');
  if (state === 'attached') return no('refused', 'it is in use; detach it first');
  const guests = guestsOn(world, target.storage);
  if (guests.length > 0) return no('refused', `guests have volumes there: ${guests.join(', ')}`);
  try {
    const right = await declaredDisk(world, declared, target);
    if (right.is !== 'disk') return no(right.is, right.text);
    const { disk } = right;
    if (disk === undefined) return { is: 'plan', plan: { declared, target, on: undefined } };
    const { whole, parts, uses } = await useOf(world.tools.lsblk, disk.device);
    if (uses.length > 0) return no('refused', `its disk is in use: ${uses.join('; ')}`);
    const raw = guestsWith(world, parts);
    if (raw.length > 0)
      return no('refused', `guests have it, or another part of its disk, as a device: ${raw.join(', ')}`);
    // Of mounts in other namespaces only the kernel knows.
    const held = await world.blockDevices.heldBy(whole);
    if (held !== undefined) return no('refused', held);
    const other = await otherOn(world, name, parts);
    if (other !== undefined) return no('refused', `target ${other} lies on the same disk`);
    const plan: WipePlanAnswer = { is: 'plan', plan: { declared, target, on: { disk, whole } } };
    // Without a file system there is nothing to look at.
    if (disk.uuid === '') return plan;
    const seen = await lookAtMark(world, disk);
    // Half overwritten it may not be readable any more: what was seen before the first byte still holds.
    if (seen.is === 'unreadable') return state === 'wiping' ? plan : no('busy', seen.text);
    if (seen.mark === declared.mark) return plan;
    const bears = seen.mark === undefined ? 'no mark' : 'the mark of another target';
    return no('refused', `${disk.device} has its UUID and bears ${bears}: it is another disk, or a copy`);
  } catch (error) {
    return no('busy', error instanceof Error ? error.message : String(error));
  }
}

type FoundAgain =
  | { readonly is: 'disk'; readonly disk: FoundDisk | undefined }
  | { readonly is: 'refused' | 'busy'; readonly text: string };

/** By its UUID; only once that may be gone, and no disk here has it, by what was overwritten. */
async function declaredDisk(world: StorageWorld, declared: DeclaredTarget, target: DiskTarget): Promise<FoundAgain> {
  const { state, wipingBytes, wipingHead } = declared;
  const right = await rightDisk(world, target);
  if (state !== 'wiping' || wipingBytes === undefined) return right;
  if (right.is === 'disk' && right.disk.sizeBytes !== wipingBytes)
    return {
      is: 'refused',
      text: `${right.disk.device} has the UUID ${target.uuid}, and not the size of the disk whose wiping has begun`,
    };
  if (right.is !== 'refused' || wipingHead !== true || (await findDisk(world.tools, target.uuid)).is !== 'none')
    return right;
  const { serial = '' } = target;
  if (serial === '') return { is: 'disk', disk: undefined };
  const bare = await findBare(world.tools, world.blockDevices, { serial, sizeBytes: wipingBytes });
  return bare === undefined
    ? {
        is: 'refused',
        text: `its wiping has begun, and its disk is not here, or cannot be told any more: ${right.text}`,
      }
    : { is: 'disk', disk: bare };
}

/** Another declared target, whatever its state, that lies on one of these devices. */
async function otherOn(world: StorageWorld, name: string, parts: readonly string[]): Promise<string | undefined> {
  const held = world.registry.read();
  const others = held.is === 'held' ? held.manifest.targets.filter(({ target }) => target.name !== name) : [];
  if (others.length === 0) return undefined;
  const there = new Set<string>();
  // No other disk is read: one that hangs would hold this up.
  for (const part of parts) there.add((await superblock(world.tools.blkid, part)).uuid);
  return others.find(({ target }) => isDisk(target) && there.has(target.uuid))?.target.name;
}

/** Without replaying a journal: nothing is written to a disk that may be somebody else's. */
const lookOptions = {
  ext4: 'noload',
  xfs: 'norecovery',
  btrfs: 'rescue=nologreplay',
} as const satisfies Record<DiskTarget['fileSystem'], string>;

type SeenMark =
  { readonly is: 'read'; readonly mark: string | undefined } | { readonly is: 'unreadable'; readonly text: string };

async function lookAtMark(world: StorageWorld, disk: FoundDisk): Promise<SeenMark> {
  const { tools, lookFolder } = world;
  mkdirSync(lookFolder, { recursive: true, mode: 0o700 });
  // Of an earlier look that did not come to its end.
  await leave(world);
  const kind = disk.fileSystem as DiskTarget['fileSystem'];
  const options = `ro,nodev,nosuid,noexec,${lookOptions[kind]}`;
  const { code, stderr } = await tools.mount(['-t', kind, '-o', options, '--', disk.device, lookFolder]);
  try {
    if (code !== 0)
      return {
        is: 'unreadable',
        text: `${disk.device} cannot be mounted for a look: ${stderr.trim().slice(0, 300)}`,
      };
    return { is: 'read', mark: await markAt(tools.dd, lookFolder) };
  } catch (error) {
    return { is: 'unreadable', text: error instanceof Error ? error.message : String(error) };
  } finally {
    await leave(world);
  }
}

async function leave({ tools, lookFolder }: StorageWorld): Promise<void> {
  if ((await mountsAt(tools, lookFolder)).length === 0) return;
  const { code, stderr } = await tools.umount(['--', lookFolder]);
  if (code !== 0) throw new Error(`${lookFolder} cannot be unmounted: ${stderr.trim().slice(0, 300)}`);
}

/** `now`: milliseconds since the epoch. Throws where it is not known how far it came; the same order again goes on. */
export async function wipeTarget(world: StorageWorld, plan: WipePlan, now: number): Promise<ChangeAnswer> {
  const { declared, target, on } = plan;
  const { name } = target;
  const left = await forgetMount(world, name);
  if (left !== undefined) return busyWith('wipe', name, left);
  // From here on nobody attaches it again.
  const wiping: DeclaredTarget =
    declared.state === 'wiping' || on === undefined
      ? declared
      : { ...declared, state: 'wiping', wipingBytes: on.disk.sizeBytes };
  if (wiping !== declared) declare(world.registry, wiping);
  const begun = (why: string): ChangeAnswer => ({
    is: 'begun',
    text: `the wiping of ${name} has begun and is not at its end; the same order again goes on: ${why}`,
  });
  const gone = await removeEntry(world, declared);
  if (gone !== undefined) return begun(gone);
  const ended = async (how: { readonly unseen?: true }): Promise<ChangeAnswer> => {
    await dropFolder(world, name);
    declareWiped(world.registry, { name, identity: targetIdentity(target), at: now, ...how });
    return { is: 'done' };
  };
  if (on === undefined) return ended({ unseen: true });
  const { disk } = on;
  const overwritten = await world.blockDevices.overwrite({
    device: disk.device,
    sizeBytes: disk.sizeBytes,
    isStill: async () => {
      // As it was declared before: of a wipe that only begins, nothing but its UUID tells it.
      const found = await declaredDisk(world, declared, target);
      return found.is === 'disk' && found.disk?.device === disk.device && found.disk.sizeBytes === disk.sizeBytes;
    },
    beforeHead: () => void declare(world.registry, { ...wiping, wipingHead: true }),
  });
  if (overwritten.is === 'held' && declared.state !== 'wiping') {
    // Nothing on it was touched.
    declare(world.registry, declared);
    return busyWith('wipe', name, overwritten.text);
  }
  if (overwritten.is !== 'done') return begun(overwritten.text);
  const still = await superblock(world.tools.blkid, disk.device);
  if (still.fileSystem !== '') return begun(`${disk.device} still shows ${still.fileSystem} ${still.uuid}`);
  return ended({});
}

/** `undefined`: there is none any more that stands for it. One that stands for something else is nobody's here. */
async function removeEntry(world: StorageWorld, declared: DeclaredTarget): Promise<string | undefined> {
  const host = world.node();
  if ('bad' in host) return host.bad;
  const place = { storage: declared.target.storage, pool: host.pool };
  const found = await onEntry(world.tools.perl, place, { act: 'read' });
  if (found.is === 'failed') return found.text;
  const { is } = changeOf(world, declared, host.node, found);
  if (is === 'create' || is === 'other') return undefined;
  const removed = await onEntry(world.tools.perl, place, { act: 'remove' });
  // Whatever was answered: what is there now tells.
  const now = removed.is === 'found' ? removed : await onEntry(world.tools.perl, place, { act: 'read' });
  if (now.is === 'failed') return now.text;
  if (now.entry === undefined) return undefined;
  return removed.is === 'failed' ? removed.text : `Proxmox still has storage ${declared.target.storage}`;
}

/** The closed folder that it was mounted on is of no use any more; where it is not empty it is looked at by a person. */
async function dropFolder(world: StorageWorld, name: string): Promise<void> {
  const path = mountPathOf(name, world.mountRoot);
  await world.tools.chattr(['-i', '--', path]);
  try {
    rmdirSync(path);
  } catch {
    // Never made, or something lies in it: that stays as it was.
    await world.tools.chattr(['+i', '--', path]);
  }
}
