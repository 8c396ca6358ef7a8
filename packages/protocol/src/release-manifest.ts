/**
 * The release manifest: which bytes may run, for which role, from when on which host. Signed with the namespace
 * `felhom-release@1` by the keys that the trust document lists for releases; the hub carries it like any other envelope
 * and chooses neither when nor to whom [R45].
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { digest } from './ids.ts';
import type { HostId } from './ids.ts';
import type { Versioned } from './parse.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9.-]{0,60}[a-z0-9])?$/);
export const releaseVersion = z
  .string()
  .regex(/^(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})\.(?:0|[1-9]\d{0,5})$/, 'like 1.4.0');

const manifestFields = z.strictObject({
  v: z.literal(1),
  product: z.enum(['agent', 'controller', 'golden']),
  /** An image for one role is no image for another: `agent-linux-x64`, `controller`, `debian-13`. */
  role: slug,
  version: releaseVersion,
  /** SHA-256 of what may be installed. */
  digests: z.array(digest).min(1).max(16),
  /** Oldest version from which this one may be reached directly. */
  minFrom: releaseVersion.optional(),
  issuedAt: time,
  expiresAt: time,
  rollout: z.strictObject({
    salt: z.string().regex(/^[0-9a-f]{16,64}$/),
    /** From `at` on for hosts whose place in the order is below `percent`. Ascending in both. */
    starts: z
      .array(z.strictObject({ percent: z.number().int().min(1).max(100), at: time }))
      .min(1)
      .max(20),
  }),
});
export const releaseManifest = manifestFields.superRefine(({ issuedAt, expiresAt, rollout }, ctx) => {
  const bad = (path: string[], message: string): void => ctx.addIssue({ code: 'custom', path, message });
  if (expiresAt <= issuedAt) bad(['expiresAt'], 'after issuedAt');
  const ascending = rollout.starts.every(({ percent, at }, index, starts) => {
    const earlier = starts[index - 1];
    return earlier === undefined || (earlier.percent < percent && earlier.at <= at);
  });
  if (!ascending) bad(['rollout', 'starts'], 'ascending in percent and in time');
});
export type ReleaseManifest = z.output<typeof releaseManifest>;

export const releaseManifestKind: Versioned<ReleaseManifest> = {
  what: 'release manifest',
  versions: [1],
  schema: releaseManifest,
};

/** Negative: a is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (const at of [0, 1, 2]) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The host's place in the order of this rollout, 0 to 99. Nobody but the salt decides it. */
export function rolloutPlace(manifest: ReleaseManifest, host: HostId): number {
  return createHash('sha256').update(`${manifest.rollout.salt} ${host}`, 'utf8').digest().readUInt32BE() % 100;
}

/** When the manifest opens for the host, in milliseconds since the epoch; `undefined`: not in this rollout. */
export function rolloutStart(manifest: ReleaseManifest, host: HostId): number | undefined {
  const place = rolloutPlace(manifest, host);
  const starts = manifest.rollout.starts.filter(({ percent }) => place < percent).map(({ at }) => at);
  return starts.length === 0 ? undefined : Math.min(...starts);
}
