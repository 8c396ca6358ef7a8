/** May this file be believed? Pure, over what `stat` said; adapters and the root helper ask the same question. */
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';

export interface FileFacts {
  readonly uid: number;
  readonly mode: number;
}

const writableByOthers = 0o022;

/**
 * Whoever may write the file, or put another one in its place, decides whom this host trusts. `undefined`: nobody but its
 * owners can. Errors: `trust.exposed`.
 */
export function exposureOf(
  path: string,
  file: FileFacts,
  folder: FileFacts,
  ownerUids: readonly number[],
): Reason | undefined {
  for (const [what, { uid, mode }] of [
    ['it', file],
    ['its folder', folder],
  ] as const) {
    if (!ownerUids.includes(uid))
      return exposed(path, `${what} belongs to uid ${uid}, not to ${ownerUids.join(' or ')}`);
    if ((mode & writableByOthers) !== 0)
      return exposed(path, `${what} has mode ${(mode & 0o7777).toString(8)}, so others may write there`);
  }
  return undefined;
}

const exposed = (path: string, why: string): Reason => reason('trust.exposed', `cannot believe ${path}: ${why}`);
