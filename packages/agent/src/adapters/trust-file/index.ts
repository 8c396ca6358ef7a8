/**
 * The trust document in its root-owned file: the adapter of `ports/trust-store.ts`. Reads; changing it is root's.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { dirname } from 'node:path';
import { reason } from '@felhom/protocol';
import type { TrustRead, TrustStore } from '../../ports/trust-store.ts';
import { exposureOf, largestTrustFileBytes, parseTrustText } from '../../trust/index.ts';

export interface TrustFileOptions {
  /** Who may own file and folder: root, on a host. */
  readonly ownerUids: readonly number[];
}

/**
 * Every read looks at file and folder; what the file says is parsed again only when it is another file or was written to.
 * Errors: `trust.exposed`, `trust.unreadable`.
 */
export function createTrustFile(path: string, { ownerUids }: TrustFileOptions): TrustStore {
  let last: { readonly stamp: string; readonly read: TrustRead } | undefined;
  return {
    read() {
      let descriptor: number;
      try {
        // A link would let whoever owns it choose the file; a pipe would make the agent wait.
        descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      } catch (error) {
        last = undefined;
        return (error as NodeJS.ErrnoException).code === 'ENOENT' ? { is: 'none' } : unreadable(path, error);
      }
      try {
        const file = fstatSync(descriptor, { bigint: true });
        const exposed = exposureOf(path, factsOf(file), statSync(dirname(path)), ownerUids);
        if (exposed !== undefined) return { is: 'unreadable', why: exposed };
        const stamp = [file.dev, file.ino, file.size, file.mtimeNs, file.ctimeNs].join(' ');
        if (last?.stamp !== stamp) last = { stamp, read: parse(path, descriptor, file) };
        return last.read;
      } catch (error) {
        return unreadable(path, error);
      } finally {
        closeSync(descriptor);
      }
    },
  };
}

function parse(path: string, descriptor: number, file: BigIntStats): TrustRead {
  if (!file.isFile()) return unreadable(path, new Error('it is no plain file'));
  if (file.size > largestTrustFileBytes) return unreadable(path, new Error(`it has ${file.size} bytes`));
  return parseTrustText(path, readFileSync(descriptor, 'utf8'));
}

const factsOf = ({ uid, mode }: BigIntStats) => ({ uid: Number(uid), mode: Number(mode) });

function unreadable(path: string, error: unknown): TrustRead {
  return { is: 'unreadable', why: reason('trust.unreadable', `cannot read ${path}: ${(error as Error).message}`) };
}
