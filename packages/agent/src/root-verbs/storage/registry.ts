/** The storage manifest in root's hands: looked up, and changed whole, so that no crash leaves half of one. */
import { mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { manifestText, storageManifest } from '../../storage-manifest.ts';
import type { DeclaredTarget, ManifestRead, StorageManifest, WipedTarget } from '../../storage-manifest.ts';
import { placeFile } from '../durable-file.ts';

export interface StorageRegistry {
  /** The root-owned file. */
  readonly file: string;
  /** Reads the same file, and refuses it where others may write it. */
  readonly read: () => ManifestRead;
}

export type DeclaredAnswer =
  | { readonly is: 'declared'; readonly declared: DeclaredTarget }
  | { readonly is: 'refused'; readonly text: string }
  /** The file cannot be read; nothing is known. */
  | { readonly is: 'busy'; readonly text: string };

/** A target by its name. Only what is declared is ever touched. */
export function declaredIn({ read }: Pick<StorageRegistry, 'read'>, name: string): DeclaredAnswer {
  const held = read();
  if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
  const declared = held.is === 'held' ? held.manifest.targets.find(({ target }) => target.name === name) : undefined;
  if (declared === undefined) return { is: 'refused', text: `${name} is not a declared target of this host` };
  return { is: 'declared', declared };
}

/**
 * Puts a target in the place of the one of its name, or beside the others. On disk when it returns. Throws what the disk
 * throws, and where the file cannot be read or what came out would not be a manifest; what was there then stays.
 */
export function declare({ file, read }: StorageRegistry, declared: DeclaredTarget): StorageManifest {
  const before = heldIn(read);
  const { name } = declared.target;
  const at = before.targets.findIndex(({ target }) => target.name === name);
  const targets = at === -1 ? [...before.targets, declared] : before.targets.with(at, declared);
  return write(file, { ...before, targets });
}

/** Takes a target out, and keeps its name in mind. On disk when it returns; throws like `declare`. */
export function declareWiped({ file, read }: StorageRegistry, wiped: WipedTarget): StorageManifest {
  const before = heldIn(read);
  const targets = before.targets.filter(({ target }) => target.name !== wiped.name);
  const others = (before.wiped ?? []).filter(({ name }) => name !== wiped.name);
  return write(file, { ...before, targets, wiped: [...others, wiped] });
}

function heldIn(read: StorageRegistry['read']): StorageManifest {
  const held = read();
  if (held.is === 'unreadable') throw new Error(held.why.text);
  return held.is === 'held' ? held.manifest : { v: 1, targets: [] };
}

function write(file: string, manifest: StorageManifest): StorageManifest {
  const next = storageManifest.parse(manifest);
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  // The agent reads it as an ordinary user.
  placeFile(file, manifestText(next), 0o644, (draft) => renameSync(draft, file));
  return next;
}
