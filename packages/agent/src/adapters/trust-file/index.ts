/**
 * The trust document in its root-owned file: the adapter of `ports/trust-store.ts`; and other files that only root may
 * have written. Reads; changing them is root's.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import type { TrustRead, TrustStore } from '../../ports/trust-store.ts';
import { exposureOf, largestTrustFileBytes, parseTrustText } from '../../trust/index.ts';

export interface TrustFileOptions {
  /** Who may own file and folder: root, on a host. */
  readonly ownerUids: readonly number[];
}

/**
 * Every read looks at file and folder and reads the file, which is small: times and sizes are too coarse to tell that it
 * was written again at once. It is parsed again only when it says something else.
 * Errors: `trust.exposed`, `trust.unreadable`.
 */
export function createTrustFile(path: string, { ownerUids }: TrustFileOptions): TrustStore {
  let last: { readonly text: string; readonly read: TrustRead } | undefined;
  return {
    read() {
      const found = readRootOwned(path, ownerUids);
      if (found.is !== 'text') return found;
      if (last?.text !== found.text) last = { text: found.text, read: parseTrustText(path, found.text) };
      return last.read;
    },
  };
}

export type RootOwned = Exclude<TrustRead, { is: 'held' }> | { readonly is: 'text'; readonly text: string };

/** The text of a small file that nobody but its owners can write or replace. Errors: `trust.exposed`, `trust.unreadable`. */
export function readRootOwned(path: string, ownerUids: readonly number[]): RootOwned {
  let descriptor: number;
  try {
    // A link would let whoever owns it choose the file; a pipe would make the agent wait.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? { is: 'none' } : unreadable(path, error);
  }
  try {
    const file = fstatSync(descriptor);
    const exposed = exposureOf(path, file, statSync(dirname(path)), ownerUids);
    if (exposed !== undefined) return { is: 'unreadable', why: exposed };
    if (!file.isFile()) return unreadable(path, new Error('it is no plain file'));
    if (file.size > largestTrustFileBytes) return unreadable(path, new Error(`it has ${file.size} bytes`));
    return { is: 'text', text: readFileSync(descriptor, 'utf8') };
  } catch (error) {
    return unreadable(path, error);
  } finally {
    closeSync(descriptor);
  }
}

function unreadable(path: string, error: unknown): { is: 'unreadable'; why: Reason } {
  return { is: 'unreadable', why: reason('trust.unreadable', `cannot read ${path}: ${(error as Error).message}`) };
}
