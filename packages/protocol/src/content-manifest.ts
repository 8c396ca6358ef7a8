/**
 * The content manifest: what a guest says is in its volumes, so that a restore can be compared with it. Written by the
 * controller while its apps stand still, kept inside the guest (and so inside every archive) and, as a digest, in the
 * agent's journal. It never leaves the host: reports carry counts of mismatches, no path, name or hash of a customer's
 * file [R41]. A pass says "equals what the guest declared" and no more [R24].
 */
import { z } from 'zod';
import { canonicalDigest } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import { digest } from './ids.ts';
import type { Digest } from './ids.ts';
import type { Versioned } from './parse.ts';

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** Bytes of a manifest's JSON. */
export const maxManifestBytes = 1_048_576;

/** Relative to the root of its volume; never leaves it. */
export const manifestPath = z
  .string()
  .min(1)
  .max(1024)
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').some((part) => part === '' || part === '.' || part === '..'),
    'a path below the root of its volume',
  );

const sample = z.strictObject({ path: manifestPath, sizeBytes: count, sha256: digest });

export const manifestVolume = z.strictObject({
  /** Where it is mounted in the guest: `/` for the root file system. */
  path: z
    .string()
    .max(200)
    .regex(/^\/(?:[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*)?$/),
  /** Regular files below it, other mounts left out. */
  files: count,
  bytes: count,
  /** Some files with their hashes. */
  samples: z.array(sample).max(200),
});
export type ManifestVolume = z.output<typeof manifestVolume>;

export const contentManifest = z.strictObject({
  v: z.literal(1),
  /** Milliseconds since the epoch on the guest's clock, which is the host's. */
  at: count,
  volumes: z.array(manifestVolume).min(1).max(33),
});
export type ContentManifest = z.output<typeof contentManifest>;

export const contentManifestKind: Versioned<ContentManifest> = {
  what: 'content manifest',
  versions: [1],
  schema: contentManifest,
};

export function digestOfManifest(manifest: ContentManifest): Digest {
  return canonicalDigest(JSON.parse(JSON.stringify(manifest)) as CanonicalValue);
}

/** What was found where a manifest's volume should be. */
export const foundVolume = z.strictObject({
  path: z.string().max(200),
  files: count,
  bytes: count,
  /** In the order asked for; `null`: there is no such regular file. */
  samples: z.array(z.strictObject({ sizeBytes: count, sha256: digest }).nullable()).max(200),
});
export type FoundVolume = z.output<typeof foundVolume>;
