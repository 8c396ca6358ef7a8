/**
 * The storage manifest, `/etc/felhom/storage.json`: which targets this host has, as root declared them. Root-owned and
 * readable by all; the root helper alone writes it. The agent reads it again whenever it looks.
 */
import { z } from 'zod';
import { storageTarget } from '@felhom/protocol';

export const declaredTarget = z.strictObject({
  target: storageTarget,
  /** A decommissioned target stays declared, so that nothing else takes its name and its copies are not called lost. */
  state: z.enum(['attached', 'decommissioned']),
  /** Written to `.felhom-target` on the target when it was attached: a copy of its UUID does not have it [R8]. */
  mark: z.string().regex(/^[0-9a-f]{32}$/),
  /** Random reads of 4 KiB per second when it was attached; absent: not measured. */
  iops: z.number().int().min(0).optional(),
  /** Milliseconds since the epoch. */
  attachedAt: z.number().int().min(0),
});
export type DeclaredTarget = z.output<typeof declaredTarget>;

export const storageManifest = z
  .strictObject({ v: z.literal(1), targets: z.array(declaredTarget).max(64) })
  .refine(
    ({ targets }) => new Set(targets.map(({ target }) => target.name)).size === targets.length,
    'two targets have one name',
  )
  .refine(
    ({ targets }) => new Set(targets.map(({ target }) => target.storage)).size === targets.length,
    'two targets have one storage of Proxmox',
  );
export type StorageManifest = z.output<typeof storageManifest>;

/** The file that tells a target from a copy of it, at its root. */
export const markFile = '.felhom-target';

/** Where a disk is mounted. A folder of its own, so that nothing else is ever below it. */
export const mountPathOf = (name: string): string => `/mnt/felhom/${name}`;
