/** What somebody made of the entry of Proxmox that stands for a target, in words. Pure. */
import type { StorageEntry } from '../ports/proxmox.ts';
import { differenceText, entryDifferences, entryOf } from '../storage-entry.ts';
import type { DeclaredTarget } from '../storage-manifest.ts';

export type EntryTrouble =
  /** Another entry would have to be in its place: Proxmox cannot change it. */
  | { readonly is: 'other'; readonly text: string }
  /** It leads elsewhere, or the target cannot be used like that. */
  | { readonly is: 'barred'; readonly text: string }
  /** The target can be used; who prunes there, say, is not what was declared. */
  | { readonly is: 'drifted'; readonly text: string };

/** `node`: this one; `undefined` where nobody can tell, and the nodes of an entry are then not looked at. */
export function entryTrouble(
  declared: Pick<DeclaredTarget, 'target' | 'state'>,
  entry: StorageEntry,
  node: string | undefined,
  mountRoot?: string,
): EntryTrouble | undefined {
  const found = Object.fromEntries(entry.options);
  const all = entryDifferences(found, entryOf(declared, node ?? found['nodes'] ?? '', mountRoot));
  const differences = node === undefined ? all.filter(({ key }) => key !== 'nodes') : all;
  if (differences.length === 0) return undefined;
  const is = differences.some(({ fixed }) => fixed)
    ? 'other'
    : differences.some(({ bars }) => bars)
      ? 'barred'
      : 'drifted';
  return { is, text: differences.map(differenceText).join('; ') };
}
