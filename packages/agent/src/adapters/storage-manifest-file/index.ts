/** The storage manifest in its root-owned file. Reads; root's program alone writes it. */
import { reason } from '@felhom/protocol';
import { parseManifest } from '../../storage-manifest.ts';
import type { ManifestRead } from '../../storage-manifest.ts';
import { readRootOwned } from '../trust-file/index.ts';

export interface ManifestFileOptions {
  /** Who may own file and folder: root, on a host. */
  readonly ownerUids: readonly number[];
}

/** Reads the file at every call, which is small, and parses it again only when it says something else. */
export function createManifestFile(path: string, { ownerUids }: ManifestFileOptions): () => ManifestRead {
  let last: { readonly text: string; readonly read: ManifestRead } | undefined;
  return () => {
    const found = readRootOwned(path, ownerUids);
    if (found.is === 'none') return { is: 'none' };
    if (found.is === 'unreadable') return unreadable(found.why.text);
    if (last?.text !== found.text) last = { text: found.text, read: parse(path, found.text) };
    return last.read;
  };
}

function parse(path: string, text: string): ManifestRead {
  const parsed = parseManifest(text);
  return parsed.is === 'manifest'
    ? { is: 'held', manifest: parsed.manifest }
    : unreadable(`cannot use ${path}: ${parsed.why}`);
}

const unreadable = (text: string): ManifestRead => ({
  is: 'unreadable',
  why: reason('storage.manifest-unreadable', text.slice(0, 500)),
});
