/**
 * A target is put out of use. Nothing on it is touched, and it stays declared: nothing else takes its name, and its copies
 * are not called lost. Refused while a guest has a volume there.
 */
import { isDisk } from '@felhom/protocol';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
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
  return guestConfigs.flatMap((folder) =>
    filesIn(folder)
      .filter((file) => file.endsWith('.conf') && names.test(readFileSync(join(folder, file), 'utf8')))
      .map((file) => file.slice(0, -'.conf'.length)),
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
