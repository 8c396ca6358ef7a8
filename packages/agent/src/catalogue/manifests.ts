/**
 * What each guest last said is in its volumes, and what it said when a backup was taken that is still kept. Bodies lie by
 * digest, so that a guest whose contents stay the same costs nothing more. One writer: the room that takes manifests.
 */
import { contentManifest, digest, digestOfManifest, maxManifestBytes } from '@felhom/protocol';
import type { ContentManifest, Digest, GuestUid } from '@felhom/protocol';
import type { Documents } from '../kernel/journal.ts';

const latestPrefix = 'manifest/';
const bodyPrefix = 'manifest-body/';
const shapeVersion = 1;

export interface StoredManifest {
  readonly digest: Digest;
  readonly manifest: ContentManifest;
  /** By the manifest: milliseconds since the epoch. */
  readonly at: number;
}

export interface Manifests {
  /** Durable when it returns. Throws on one of more than 1 MiB: the local API refuses it before. */
  put(uid: GuestUid, manifest: ContentManifest): Digest;
  latest(uid: GuestUid): StoredManifest | undefined;
  byDigest(digest: Digest): ContentManifest | undefined;
  /** A backup that was compared with it is gone: so is the body, unless something else needs it. */
  release(digest: Digest): void;
  /** Of a guest that is gone. */
  forget(uid: GuestUid): void;
  /** Removes the bodies that are neither to be kept nor the latest of a guest. Returns how many. */
  sweep(keep: ReadonlySet<Digest>): number;
}

/**
 * Throws on a document that this release cannot read. `isNeeded`: whether a backup, taken or being taken, is compared
 * with that body; what a guest said before goes as soon as it says something else, or it could fill the journal.
 */
export function createManifests(
  documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>,
  isNeeded: (of: Digest) => boolean = () => true,
): Manifests {
  const pointer = (key: string): Digest | undefined => {
    const found = documents.get(key);
    if (found === undefined) return undefined;
    const parsed = digest.safeParse(found.body);
    if (!parsed.success) throw new Error(`cannot read ${key}: ${parsed.error.message}`);
    return parsed.data;
  };
  const byDigest = (of: Digest): ContentManifest | undefined => {
    const found = documents.get(bodyPrefix + of);
    if (found === undefined) return undefined;
    const parsed = contentManifest.safeParse(found.body);
    if (!parsed.success) throw new Error(`cannot read ${found.key}: ${parsed.error.message}`);
    return parsed.data;
  };
  const isLatest = (of: Digest): boolean => documents.list(latestPrefix).some(({ key }) => pointer(key) === of);
  const release = (of: Digest): void => {
    if (!isLatest(of) && !isNeeded(of)) documents.remove(bodyPrefix + of);
  };
  return {
    release,
    put(uid, manifest) {
      const bytes = Buffer.byteLength(JSON.stringify(manifest));
      if (bytes > maxManifestBytes)
        throw new RangeError(`cannot store the manifest of ${uid}: it has ${bytes} bytes, ${maxManifestBytes} at most`);
      const of = digestOfManifest(manifest);
      const before = pointer(latestPrefix + uid);
      // The body first: a pointer never leads nowhere.
      documents.put({ key: bodyPrefix + of, v: shapeVersion, body: manifest });
      documents.put({ key: latestPrefix + uid, v: shapeVersion, body: of });
      if (before !== undefined && before !== of) release(before);
      return of;
    },
    latest(uid) {
      const of = pointer(latestPrefix + uid);
      const manifest = of === undefined ? undefined : byDigest(of);
      return of === undefined || manifest === undefined ? undefined : { digest: of, manifest, at: manifest.at };
    },
    byDigest,
    forget(uid) {
      const last = pointer(latestPrefix + uid);
      documents.remove(latestPrefix + uid);
      if (last !== undefined) release(last);
    },
    sweep(keep) {
      const latest = new Set(documents.list(latestPrefix).map(({ key }) => pointer(key)));
      let removed = 0;
      for (const { key } of documents.list(bodyPrefix)) {
        const of = key.slice(bodyPrefix.length) as Digest;
        if (keep.has(of) || latest.has(of)) continue;
        documents.remove(key);
        removed += 1;
      }
      return removed;
    },
  };
}
