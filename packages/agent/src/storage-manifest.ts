/**
 * The storage manifest, `/etc/felhom/storage.json`: which targets this host has, as root declared them. Root-owned and
 * readable by all; the root helper alone writes it. The agent reads it again whenever it looks.
 */
import { z } from 'zod';
import { storageTarget, targetName } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';

export const declaredTarget = z.strictObject({
  target: storageTarget,
  /**
   * A decommissioned target stays declared, so that nothing else takes its name and its copies are not called lost.
   * `wiping`: its wiping has begun, and its disk may not be told by its file system any more.
   */
  state: z.enum(['attached', 'decommissioned', 'wiping']),
  /**
   * Of a disk: written to `.felhom-target` at its root when it was attached; a copy of its UUID does not have it [R8]. Of
   * a server nothing is written: its address tells it apart.
   */
  mark: z.string().regex(/^[0-9a-f]{32}$/),
  /** Random reads of 4 KiB per second when it was attached; absent: not measured. */
  iops: z.number().int().min(0).optional(),
  /** Milliseconds since the epoch. */
  attachedAt: z.number().int().min(0),
  /** What it was declared as, while its entry of Proxmox is being led to another address. */
  movingFrom: storageTarget.optional(),
  /** Of the device that is being wiped, so that it is found again without a file system. */
  wipingBytes: z.number().int().min(0).optional(),
  /** All but its first bytes are overwritten: its UUID may be gone. Without it the UUID is still there. */
  wipingHead: z.boolean().optional(),
});
export type DeclaredTarget = z.output<typeof declaredTarget>;

/** What is left of a target that was wiped: its name is in records and reports, and is given to nothing else. */
export const wipedTarget = z.strictObject({
  name: targetName,
  identity: z.string().max(400),
  /** Milliseconds since the epoch. */
  at: z.number().int().min(0),
  /** Its wiping was ended without its disk, which could not be told any more: the first bytes may still be there. */
  unseen: z.boolean().optional(),
});
export type WipedTarget = z.output<typeof wipedTarget>;

export const storageManifest = z
  .strictObject({
    v: z.literal(1),
    targets: z.array(declaredTarget).max(64),
    wiped: z.array(wipedTarget).max(1000).optional(),
  })
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

/** What the mark file says; a line, so that a person can read it too. */
export const markText = (mark: string): string => `${mark}\n`;

/** The mark in a mark file; `undefined` where it is none. */
export const markIn = (text: string): string | undefined => /^([0-9a-f]{32})\n?$/.exec(text)?.[1];

/** Below it each disk has a folder of its own. */
export const mountRoot = '/mnt/felhom';

/** Where a disk is mounted. A folder of its own, so that nothing else is ever below it. */
export const mountPathOf = (name: string, root: string = mountRoot): string => `${root}/${name}`;

/** Reads what the file says. `why` names the first thing that is wrong with it. */
export function parseManifest(
  text: string,
): { readonly is: 'manifest'; readonly manifest: StorageManifest } | { readonly is: 'bad'; readonly why: string } {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return { is: 'bad', why: 'it is no JSON' };
  }
  const parsed = storageManifest.safeParse(raw);
  if (parsed.success) return { is: 'manifest', manifest: parsed.data };
  const [issue] = parsed.error.issues;
  return { is: 'bad', why: `${issue?.path.map(String).join('.') ?? ''} ${issue?.message ?? ''}`.trim() };
}

/** The file as root writes it: one target after the other, so that two of them can be compared. */
export const manifestText = (manifest: StorageManifest): string => `${JSON.stringify(manifest, undefined, 2)}\n`;

export type ManifestRead =
  | { readonly is: 'held'; readonly manifest: StorageManifest }
  /** Nothing was declared on this host. */
  | { readonly is: 'none' }
  | { readonly is: 'unreadable'; readonly why: Reason };
