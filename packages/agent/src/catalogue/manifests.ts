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
  /** Of a guest that is gone; the body goes with the next sweep. */
  forget(uid: GuestUid): void;
  /** Removes the bodies that are neither to be kept nor the latest of a guest. Returns how many. */
  sweep(keep: ReadonlySet<Digest>): number;
}

/** Throws on a document that this release cannot read. */
export function createManifests(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): Manifests {
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
  return {
    put(uid, manifest) {
      const bytes = Buffer.byteLength(JSON.stringify(manifest));
      if (bytes > maxManifestBytes)
        throw new RangeError(`cannot store the manifest of ${uid}: it has ${bytes} bytes, ${maxManifestBytes} at most`);
      const of = digestOfManifest(manifest);
      // The body first: a pointer never leads nowhere.
      documents.put({ key: bodyPrefix + of, v: shapeVersion, body: manifest });
      documents.put({ key: latestPrefix + uid, v: shapeVersion, body: of });
      return of;
    },
    latest(uid) {
      const of = pointer(latestPrefix + uid);
      const manifest = of === undefined ? undefined : byDigest(of);
      return of === undefined || manifest === undefined ? undefined : { digest: of, manifest, at: manifest.at };
    },
    byDigest,
    forget: (uid) => documents.remove(latestPrefix + uid),
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
