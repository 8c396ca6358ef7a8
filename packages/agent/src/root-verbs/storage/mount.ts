/**
 * `mount` and `unmount`: a disk by the name of its declaration, through a unit of systemd. A disk under the name is only
 * left mounted when it is the declared one: UUID, kind of file system, serial where one is declared, and the mark that a
 * copy of it does not have [R8].
 */
import type { DiskTarget } from '@felhom/protocol';
import { isDisk } from '@felhom/protocol';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mountPathOf } from '../../storage-manifest.ts';
import { placeFile } from '../durable-file.ts';
import { findDisk, mountsAt } from './disks.ts';
import type { FoundDisk } from './disks.ts';
import { closeFolder, markAt } from './folder.ts';
import { declaredIn } from './registry.ts';
import { mountUnitName, mountUnitText } from './units.ts';
import { busyWith, refusedBy } from './world.ts';
import type { StorageAnswer, StorageWorld } from './world.ts';

/** The same twice does it once. Throws where it is not known what is mounted in the end. */
export async function mountTarget(world: StorageWorld, name: string): Promise<StorageAnswer> {
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot mount ${name}: ${found.text}` };
  const { target, state, mark } = found.declared;
  if (!isDisk(target)) return refusedBy('mount', name, 'it is a server; Proxmox mounts it by itself');
  if (state !== 'attached') return refusedBy('mount', name, 'it is decommissioned');
  const disk = await rightDisk(world, target);
  if (disk.is !== 'disk') return { is: disk.is, text: `cannot mount ${name}: ${disk.text}` };
  const mounted = await mountDisk(world, target, disk.disk);
  if (mounted.is !== 'mounted') return mounted;
  const there = await markAt(world.tools.dd, mounted.path);
  if (there !== mark) {
    const taken = await takeAway(world, name);
    if (taken !== undefined) throw new Error(`cannot unmount the wrong disk under ${name}: ${taken}`);
    const what = there === undefined ? 'no mark' : 'the mark of another target';
    return refusedBy(
      'mount',
      name,
      `${disk.disk.device} has its UUID and bears ${what}: it is another disk, or a copy`,
    );
  }
  const enabled = await world.systemctl(['enable', mountUnitName(name, world.mountRoot)]);
  return enabled.code === 0 ? { is: 'done' } : busyWith('mount', name, `systemctl enable: ${enabled.stderr}`);
}

/** Never lazy: what still writes there would go on writing where nobody looks. */
export async function unmountTarget(world: StorageWorld, name: string): Promise<StorageAnswer> {
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot unmount ${name}: ${found.text}` };
  if (!isDisk(found.declared.target)) return refusedBy('unmount', name, 'it is a server; Proxmox mounts it by itself');
  const left = await takeAway(world, name);
  return left === undefined ? { is: 'done' } : busyWith('unmount', name, left);
}

/** Unmounts for good: the unit goes too, so that nothing mounts it when it is plugged again. */
export async function forgetMount(world: StorageWorld, name: string): Promise<string | undefined> {
  const unit = mountUnitName(name, world.mountRoot);
  const left = await takeAway(world, name);
  if (left !== undefined) return left;
  if (unitText(world, unit) === undefined) return undefined;
  const disabled = await world.systemctl(['disable', unit]);
  if (disabled.code !== 0) return `systemctl disable: ${disabled.stderr}`;
  rmSync(join(world.units, unit), { force: true });
  const reloaded = await world.systemctl(['daemon-reload']);
  return reloaded.code === 0 ? undefined : `systemctl daemon-reload: ${reloaded.stderr}`;
}

export type RightDisk =
  { readonly is: 'disk'; readonly disk: FoundDisk } | { readonly is: 'refused' | 'busy'; readonly text: string };

/** The disk that a declaration means, by what it says of itself; its mark can only be read once it is mounted. */
export async function rightDisk({ tools, mountRoot }: StorageWorld, target: DiskTarget): Promise<RightDisk> {
  const found = await findDisk(tools, target.uuid);
  if (found.is === 'unclear') return { is: 'busy', text: found.text };
  if (found.is !== 'disk') return { is: 'refused', text: found.text };
  const { disk } = found;
  const wrong = (what: string, has: string, wants: string): RightDisk => ({
    is: 'refused',
    text: `${disk.device} has the UUID ${target.uuid}, and its ${what} is ${has || 'not told'}, not ${wants}: another disk`,
  });
  if (disk.fileSystem !== target.fileSystem) return wrong('file system', disk.fileSystem, target.fileSystem);
  if (target.serial !== undefined && disk.serial !== target.serial) return wrong('serial', disk.serial, target.serial);
  // Where it is mounted as it should be, parts of it may be shown to guests.
  if (disk.mounts.length > 0 && !disk.mounts.includes(mountPathOf(target.name, mountRoot)))
    return { is: 'refused', text: `${disk.device} is mounted at ${disk.mounts.join(', ')}; unmount it there` };
  return found;
}

export type Mounted = { readonly is: 'mounted'; readonly path: string } | Exclude<StorageAnswer, { is: 'done' }>;

/** Mounts the disk by its unit, without looking at its mark and without wanting it again. */
export async function mountDisk(world: StorageWorld, target: DiskTarget, disk: FoundDisk): Promise<Mounted> {
  const { name } = target;
  const path = mountPathOf(name, world.mountRoot);
  const unit = mountUnitName(name, world.mountRoot);
  const here = await mountsAt(world.tools, path);
  if (here.length === 1 && here[0]?.source === disk.device) return { is: 'mounted', path };
  if (here.length > 0) {
    // What was pulled and came back under another name leaves a mount that answers nobody.
    const left = await takeAway(world, name);
    if (left !== undefined) return not('busy', name, left);
  }
  const folder = await closeFolder(world.tools.chattr, world.mountRoot, path);
  if (folder.is === 'bad') return not('refused', name, folder.text);
  const written = await writeUnit(world, unit, mountUnitText(target, world.mountRoot));
  if (written !== undefined) return not('busy', name, written);
  const started = await world.systemctl(['start', unit]);
  const mounts = await mountsAt(world.tools, path);
  if (started.code !== 0 || mounts.length === 0) return not('busy', name, `systemctl start ${unit}: ${started.stderr}`);
  if (mounts.length === 1 && mounts[0]?.source === disk.device) return { is: 'mounted', path };
  const left = await takeAway(world, name);
  if (left !== undefined) throw new Error(`cannot unmount what is at ${path}: ${left}`);
  return not('busy', name, `${mounts.map(({ source }) => source).join(', ')} was mounted instead of ${disk.device}`);
}

/** `undefined`: the unit says so and systemd has read it; always, because an earlier time may have ended in between. */
async function writeUnit(world: StorageWorld, unit: string, text: string): Promise<string | undefined> {
  const before = unitText(world, unit);
  if (before !== text) {
    // Of another UUID: what wanted the old unit must not want this one.
    if (before !== undefined) await world.systemctl(['disable', unit]);
    placeFile(join(world.units, unit), text, 0o644, (draft) => renameSync(draft, join(world.units, unit)));
  }
  const reloaded = await world.systemctl(['daemon-reload']);
  return reloaded.code === 0 ? undefined : `systemctl daemon-reload: ${reloaded.stderr}`;
}

function unitText({ units }: StorageWorld, unit: string): string | undefined {
  try {
    return readFileSync(join(units, unit), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** `undefined`: nothing is mounted there any more; else why it is. */
export async function takeAway(world: StorageWorld, name: string): Promise<string | undefined> {
  const path = mountPathOf(name, world.mountRoot);
  if ((await mountsAt(world.tools, path)).length === 0) return undefined;
  const { code, stderr } = await world.systemctl(['stop', mountUnitName(name, world.mountRoot)]);
  if ((await mountsAt(world.tools, path)).length === 0) return undefined;
  return `it is in use and stays mounted${code === 0 ? '' : `: ${stderr.trim()}`}`;
}

const not = (is: 'refused' | 'busy', name: string, why: string): Exclude<Mounted, { is: 'mounted' }> => ({
  is,
  text: `cannot mount ${name}: ${why.trim().slice(0, 600)}`,
});
