/**
 * May this release run here, now? A pure verdict over a manifest whose signatures were verified. The hub chooses neither
 * when nor to whom: the manifest's own order of hosts does [R45].
 */
import { compareVersions, peopleNeeded, reason, rolloutStart } from '@felhom/protocol';
import type { Digest, ErrorCode, HostId, Reason, ReleaseManifest, TrustDocument } from '@felhom/protocol';
import { trustStanding } from './trust-change.ts';

export interface ReleasePlace {
  readonly host: HostId;
  readonly product: ReleaseManifest['product'];
  readonly role: string;
  /** What runs there now; absent where nothing does yet. */
  readonly version?: string;
  /** Wall time, milliseconds since the epoch. */
  readonly now: number;
  readonly document: TrustDocument;
}

export type ReleaseVerdict =
  { readonly is: 'admitted'; readonly digests: readonly Digest[] } | { readonly is: 'refused'; readonly why: Reason };

/** `people` are those whose signatures over the manifest verified for `felhom-release@1`. Errors: `release.*`,
 * `trust.expired`, `job.more-people`. */
export function decideRelease(
  manifest: ReleaseManifest,
  people: readonly string[],
  place: ReleasePlace,
): ReleaseVerdict {
  const { product, role, version } = manifest;
  const refuse = (code: ErrorCode, why: string): ReleaseVerdict => ({
    is: 'refused',
    why: reason(code, `cannot admit ${product} ${role} ${version}: ${why}`),
  });
  if (product !== place.product || role !== place.role)
    return refuse('release.not-for-this', `this place is for ${place.product} ${place.role}`);
  if (trustStanding(place.document, place.now) === 'expired')
    return refuse('trust.expired', 'the trust document of this host has expired');
  const needed = peopleNeeded(place.document, ['deploy'], 1);
  const found = new Set(people).size;
  if (found < needed) return refuse('job.more-people', `${needed} people have to sign a release, ${found} did`);
  if (place.now >= manifest.expiresAt) return refuse('release.expired', 'its manifest has expired');
  if (place.version !== undefined) {
    const step = compareVersions(version, place.version);
    if (step < 0) return refuse('release.older', `${place.version} runs, which is newer`);
    if (manifest.minFrom !== undefined && compareVersions(place.version, manifest.minFrom) < 0)
      return refuse('release.too-far', `${place.version} runs, and it is reached from ${manifest.minFrom} on only`);
  }
  const start = rolloutStart(manifest, place.host);
  if (start === undefined) return refuse('release.not-yet', `${place.host} is not in this rollout yet`);
  if (place.now < start)
    return refuse('release.not-yet', `the turn of ${place.host} begins at ${new Date(start).toISOString()}`);
  return { is: 'admitted', digests: manifest.digests };
}
