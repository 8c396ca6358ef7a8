/** Files of a guest in memory. */
import { createHash } from 'node:crypto';
import type { Entry, GuestFiles } from '../ports.ts';

export interface MemoryFiles extends GuestFiles {
  /** Path → content; a link as `-> target`. */
  put(path: string, content: string): void;
  text(path: string): string | undefined;
  readonly paths: () => string[];
}

type Node = { readonly bytes: Uint8Array } | { readonly link: string } | { readonly folder: true };

export function memoryFiles(mounts: readonly string[] = []): MemoryFiles {
  const nodes = new Map<string, Node>();
  const bytesOf = (path: string): Uint8Array | undefined => {
    const node = nodes.get(path);
    return node !== undefined && 'bytes' in node ? node.bytes : undefined;
  };
  const put = (path: string, node: Node): void => {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
      if (!nodes.has(path.slice(0, at))) nodes.set(path.slice(0, at), { folder: true });
    nodes.set(path, node);
  };
  const moved = (from: string, to: string): void => {
    for (const [path, node] of nodes)
      if (path === from || path.startsWith(`${from}/`)) {
        nodes.delete(path);
        put(`${to}${path.slice(from.length)}`, node);
      }
  };
  return {
    put: (path, content) =>
      put(path, content.startsWith('-> ') ? { link: content.slice(3) } : { bytes: new TextEncoder().encode(content) }),
    text: (path) => {
      const bytes = bytesOf(path);
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
    paths: () => [...nodes.keys()].toSorted(),
    read: async (path, limit) => {
      const bytes = bytesOf(path);
      return bytes !== undefined && bytes.length <= limit ? bytes : undefined;
    },
    write: async (path, bytes) => put(path, { bytes }),
    list: async (path) => {
      const prefix = path === '/' ? '/' : `${path}/`;
      const entries: Entry[] = [];
      for (const [at, node] of nodes) {
        const name = at.slice(prefix.length);
        if (!at.startsWith(prefix) || name === '' || name.includes('/')) continue;
        const kind = 'bytes' in node ? 'file' : 'link' in node ? 'link' : 'directory';
        entries.push({ name, kind, sizeBytes: 'bytes' in node ? node.bytes.length : 0, mount: mounts.includes(at) });
      }
      return entries;
    },
    digest: async (path) => {
      const bytes = bytesOf(path);
      if (bytes === undefined) return undefined;
      return { sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
    },
    copyFile: async (from, to) => {
      const bytes = bytesOf(from);
      if (bytes !== undefined) put(to, { bytes });
    },
    copyLink: async (from, to) => {
      const node = nodes.get(from);
      if (node !== undefined && 'link' in node) put(to, node);
    },
    makeFolder: async (path) => {
      if (!nodes.has(path)) put(path, { folder: true });
    },
    rename: async (from, to) => moved(from, to),
    remove: async (path) => {
      for (const at of nodes.keys()) if (at === path || at.startsWith(`${path}/`)) nodes.delete(at);
    },
  };
}
