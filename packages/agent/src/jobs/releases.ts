/**
 * Release manifests that were signed by whom this host trusts for releases, the newest per product and role [R45]. What
 * may be installed or run is looked up here, by digest; the exact signed bytes are kept, so that whoever installs
 * verifies them again.
 */
import { compareVersions, digest, reason, releaseManifest } from '@felhom/protocol';
import type { Digest, HostId, Reason, ReleaseManifest, Report, TrustDocument } from '@felhom/protocol';
import { z } from 'zod';
import type { AuditLog } from '../audit/index.ts';
import type { Documents } from '../kernel/journal.ts';
import { decideRelease } from '../trust/index.ts';
import type { SignedParts } from './inbox.ts';

const storedRelease = z.strictObject({
  manifest: releaseManifest,
  payload: z.string().max(60_000),
  signatures: z.array(z.string().max(4096)).max(8),
  digest,
  people: z.array(z.string().max(40)).max(8),
  at: z.number().int().min(0),
});
export type StoredRelease = z.output<typeof storedRelease>;

export interface ReleasePlace {
  readonly host: HostId;
  readonly document: TrustDocument;
  /** Wall time, milliseconds. */
  readonly now: number;
}

export type ReleaseAnswer =
  | { readonly is: 'admitted' }
  /** The same one, or an older one that was already seen. */
  | { readonly is: 'known' }
  /** Its turn has not come: it may be sent again. */
  | { readonly is: 'later'; readonly why: Reason }
  | { readonly is: 'refused'; readonly why: Reason };

export interface Releases {
  /** Takes a verified manifest in; durable and on the audit log when it answers `admitted`. */
  take(manifest: ReleaseManifest, parts: SignedParts, place: ReleasePlace): ReleaseAnswer;
  /** The one in force for a role; an expired one is none. */
  inForce(product: ReleaseManifest['product'], role: string, now: number): StoredRelease | undefined;
  report(now: number): Report['releases'];
}

const prefix = 'release/';
const mostReleases = 50;

export function createReleases(documents: Pick<Documents, 'get' | 'list'>, audit: Pick<AuditLog, 'append'>): Releases {
  const keyOf = ({ product, role }: Pick<ReleaseManifest, 'product' | 'role'>): string => `${prefix}${product}/${role}`;
  const all = (): readonly StoredRelease[] => documents.list(prefix).map(({ body }) => storedRelease.parse(body));
  const find = (key: string): StoredRelease | undefined => {
    const stored = documents.get(key);
    return stored === undefined ? undefined : storedRelease.parse(stored.body);
  };
  return {
    take: (manifest, parts, place) => {
      const { product, role, version } = manifest;
      const known = find(keyOf(manifest));
      if (known?.digest === parts.digest) return { is: 'known' };
      // Of one version there is one manifest: another under the same number would be the way back to older bytes.
      if (known !== undefined && compareVersions(version, known.manifest.version) === 0) {
        const why = reason(
          'release.older',
          `cannot admit ${product} ${role} ${version}: this host has another manifest of it`,
        );
        return { is: 'refused', why };
      }
      const verdict = decideRelease(manifest, parts.people, {
        ...place,
        product,
        role,
        ...(known === undefined ? {} : { version: known.manifest.version }),
      });
      if (verdict.is === 'refused')
        return { is: verdict.why.retry === 'later' ? 'later' : 'refused', why: verdict.why };
      if (known === undefined && all().length >= mostReleases) {
        const why = reason(
          'job.too-many',
          `cannot admit ${product} ${role} ${version}: ${mostReleases} roles are known`,
        );
        return { is: 'refused', why };
      }
      const body: StoredRelease = {
        manifest,
        payload: Buffer.from(parts.payload).toString('base64'),
        signatures: [...parts.signatures],
        digest: parts.digest,
        people: [...parts.people],
        at: Math.max(0, Math.trunc(place.now)),
      };
      audit.append(
        {
          at: place.now,
          kind: 'release.admitted',
          text: `${product} ${role} ${version} may run here, signed by ${parts.people.join(' and ')}`,
          detail: { product, role, version, digests: manifest.digests satisfies Digest[], manifest: parts.digest },
        },
        { documents: [{ put: { key: keyOf(manifest), v: 1, body } }] },
      );
      return { is: 'admitted' };
    },
    inForce: (product, role, now) => {
      const known = find(keyOf({ product, role }));
      return known === undefined || now >= known.manifest.expiresAt ? undefined : known;
    },
    report: (now) =>
      all().map(({ manifest: { product, role, version, expiresAt } }) => ({
        product,
        role,
        version,
        expiresAt,
        expired: now >= expiresAt,
      })),
  };
}
