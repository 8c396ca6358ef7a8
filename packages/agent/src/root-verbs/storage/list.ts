/** What was declared against what is there. Reads only; one thing that does not answer hides no other. */
import { isDisk } from '@felhom/protocol';
import { mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';
import { changeOf } from './define.ts';
import { listDisks, mountsAt } from './disks.ts';
import type { FoundDisk } from './disks.ts';
import { markAt } from './folder.ts';
import { onEntry } from './proxmox.ts';
import type { StorageWorld } from './world.ts';

export interface ListedTarget {
  readonly declared: DeclaredTarget;
  /** What is not as declared, for people; empty: all is. */
  readonly wrong: readonly string[];
}

export interface StorageList {
  readonly targets: readonly ListedTarget[];
  /** File systems that are neither a target nor mounted. */
  readonly free: readonly FoundDisk[];
}

/** Throws where the manifest cannot be read. */
export async function listStorage(world: StorageWorld): Promise<StorageList> {
  const held = world.registry.read();
  if (held.is === 'unreadable') throw new Error(held.why.text);
  const declared = held.is === 'held' ? held.manifest.targets : [];
  const disks = await listDisks(world.tools).catch((error: unknown) => String(error));
  const targets: ListedTarget[] = [];
  for (const one of declared)
    targets.push({
      declared: one,
      wrong: [...(await wrongDisk(world, one, disks)), ...(await wrongEntry(world, one))],
    });
  const uuids = new Set(declared.flatMap(({ target }) => (isDisk(target) ? [target.uuid] : [])));
  const free =
    typeof disks === 'string' ? [] : disks.filter((disk) => disk.mounts.length === 0 && !uuids.has(disk.uuid));
  return { targets, free: free.filter(({ fileSystem }) => ['ext4', 'xfs', 'btrfs'].includes(fileSystem)) };
}

async function wrongDisk(
  world: StorageWorld,
  { target, state, mark }: DeclaredTarget,
  disks: readonly FoundDisk[] | string,
): Promise<readonly string[]> {
  if (!isDisk(target)) return [];
  const path = mountPathOf(target.name, world.mountRoot);
  try {
    const [mounted, ...more] = await mountsAt(world.tools, path);
    if (state !== 'attached') return mounted === undefined ? [] : ['it is mounted still'];
    if (typeof disks === 'string') return [disks];
    const found = disks.filter((disk) => disk.uuid === target.uuid);
    const [disk] = found;
    if (disk === undefined) return ['its disk is not there'];
    if (found.length > 1) return ['several disks have its UUID'];
    if (target.serial !== undefined && disk.serial !== target.serial)
      return [`its serial is ${disk.serial || 'not told'}`];
    if (mounted === undefined) return ['it is not mounted'];
    if (more.length > 0 || mounted.source !== disk.device) return [`${mounted.source} is mounted in its place`];
    if (mounted.readOnly) return ['it is mounted read-only'];
    return (await markAt(world.tools.dd, path)) === mark ? [] : ['its mark is not on it'];
  } catch (error) {
    return [`it cannot be looked at: ${error instanceof Error ? error.message : String(error)}`];
  }
}

async function wrongEntry(world: StorageWorld, declared: DeclaredTarget): Promise<readonly string[]> {
  const host = world.node();
  if ('bad' in host) return [host.bad];
  const { storage } = declared.target;
  const found = await onEntry(world.tools.perl, { storage, pool: host.pool }, { act: 'read' });
  if (found.is === 'failed') return [`Proxmox does not tell its storages: ${found.text}`];
  const change = changeOf(world, declared, host.node, found);
  switch (change.is) {
    case 'create':
      return declared.state !== 'attached' ? [] : [`Proxmox has no storage ${storage}`];
    case 'other':
      return [`storage ${storage} stands for something else: ${change.text}`];
    case 'update':
      return [`storage ${storage} differs in ${[...Object.keys(change.params), ...change.remove].join(', ')}`];
    case 'same':
      return found.pooled || declared.state !== 'attached'
        ? []
        : [`storage ${storage} is not in the pool ${host.pool}`];
  }
}
