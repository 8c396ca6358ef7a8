/**
 * A target is put out of use. Nothing on it is touched, and it stays declared: nothing else takes its name, and its copies
 * are not called lost. Refused while a guest has a volume there.
 */
import { isDisk } from '@felhom/protocol';
import { readFileSync, readdirSync, realpathSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { defineStorage } from './define.ts';
import { forgetMount } from './mount.ts';
import { declare, declaredIn } from './registry.ts';
import { refusedBy } from './world.ts';
import type { ChangeAnswer, StorageWorld } from './world.ts';

/** The same twice does it once, and goes on where the first ended. */
export async function detachTarget(world: StorageWorld, name: string): Promise<ChangeAnswer> {
  const found = declaredIn(world.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot detach ${name}: ${found.text}` };
  const { declared } = found;
  if (declared.state === 'wiping') return refusedBy('detach', name, 'its wiping has begun');
  const guests = guestsOn(world, declared.target.storage);
  if (guests.length > 0)
    return refusedBy('detach', name, `guests have volumes there: ${guests.join(', ')}; move or remove these first`);
  // First, so that nobody mounts it or switches it on again meanwhile.
  if (declared.state !== 'decommissioned') declare(world.registry, { ...declared, state: 'decommissioned' });
  const off = await defineStorage(world, name);
  const left = isDisk(declared.target) ? await forgetMount(world, name) : undefined;
  const open = [...(off.is === 'done' ? [] : [off.text]), ...(left === undefined ? [] : [left])];
  return open.length === 0
    ? { is: 'done' }
    : {
        is: 'begun',
        text: `${name} is decommissioned and not all out of use yet; the same order again goes on: ${open.join('; ')}`,
      };
}

/** A line of a guest's config, in a snapshot too, that names a volume of the storage. */
export function guestsOn({ guestConfigs }: Pick<StorageWorld, 'guestConfigs'>, storage: string): readonly string[] {
  const names = new RegExp(`^\\w+:\\s*(?:[^\\n]*[,=])?${storage.replaceAll('.', '\\.')}:`, 'm');
  return configsIn(guestConfigs).flatMap(({ guest, text }) => (names.test(text) ? [guest] : []));
}

/**
 * Guests, stopped ones and their snapshots too, whose config names one of these devices as the kernel calls it, or by a
 * link to it: a disk that a VM has raw is opened without being held, so neither lsblk nor the kernel tells of it.
 */
export function guestsWith(
  { guestConfigs }: Pick<StorageWorld, 'guestConfigs'>,
  devices: readonly string[],
): readonly string[] {
  return configsIn(guestConfigs).flatMap(({ guest, text }) => {
    // A line with `#` is what a person noted.
    const named = text.replaceAll(/^#.*$/gm, '').match(/\/dev\/[^\s,;"']+/g) ?? [];
    return named.some((path) => devices.includes(deviceAt(path))) ? [guest] : [];
  });
}

/** What a link leads to; a path that leads nowhere is what it says. */
function deviceAt(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return normalize(path);
  }
}

function configsIn(folders: readonly string[]): readonly { readonly guest: string; readonly text: string }[] {
  return folders.flatMap((folder) =>
    filesIn(folder)
      .filter((file) => file.endsWith('.conf'))
      .map((file) => ({ guest: file.slice(0, -'.conf'.length), text: readFileSync(join(folder, file), 'utf8') })),
  );
}

/** Proxmox makes neither folder before the first guest of its kind. */
function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
