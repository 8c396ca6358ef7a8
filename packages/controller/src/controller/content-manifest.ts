/**
 * Takes the content manifest: numbers of files and bytes per volume, and the hashes of some. It is taken while the apps
 * stand still, so it is bounded in time and numbers; a volume that is too large for the bounds is left out rather than
 * counted wrongly.
 */
import { createHash } from 'node:crypto';
import { contentManifestKind, manifestPath, maxManifestBytes } from '@felhom/protocol';
import type { ContentManifest, Digest, ManifestVolume } from '@felhom/protocol';
import { guestPaths } from '../paths.ts';
import type { Clock, Entry, GuestFiles, Random } from '../ports.ts';
import { paddedJson } from '../record.ts';

export interface ManifestBounds {
  readonly entries: number;
  readonly depth: number;
  readonly samplesPerVolume: number;
  /** Longer files are counted and not hashed. */
  readonly sampleBytes: number;
  /** Bytes hashed per volume. */
  readonly hashedBytes: number;
  /** For all volumes together. */
  readonly ms: number;
}

export const manifestBounds: ManifestBounds = {
  entries: 2_000_000,
  depth: 64,
  samplesPerVolume: 40,
  sampleBytes: 64 * 1_048_576,
  hashedBytes: 512 * 1_048_576,
  ms: 20_000,
};

export interface TakenManifest {
  readonly manifest: ContentManifest | undefined;
  /** Volumes that are not in it, with the reason. */
  readonly leftOut: readonly { readonly path: string; readonly why: string }[];
}

interface ManifestNeeds {
  readonly files: GuestFiles;
  readonly clock: Clock;
  readonly random: Random;
}

/** Always made by the guest, and part of no disk. */
const kernelFolders = ['/proc', '/sys', '/dev', '/run'];
/**
 * Of the root file system these may change between the manifest and the first look at a restored guest: logs, what an
 * early boot or Proxmox rewrites, and our own records. They are counted and never sampled.
 */
const unsteady =
  /^(?:var\/(?:log|tmp|cache|lib\/felhom|lib\/systemd|lib\/docker|lib\/containerd)|tmp|boot|etc\/(?:machine-id|hostname|hosts|resolv\.conf|mtab|network|systemd\/network|ssh|adjtime|\.pwd\.lock))(?:\/|$)/;

/** `paths`: where the guest's volumes are mounted, `/` included. */
export async function takeManifest(
  needs: ManifestNeeds,
  paths: readonly string[],
  signal: AbortSignal,
  bounds: ManifestBounds = manifestBounds,
): Promise<TakenManifest> {
  const salt = needs.random.bytes(16);
  const end = needs.clock.now() + bounds.ms;
  const volumes: ManifestVolume[] = [];
  const leftOut: { path: string; why: string }[] = [];
  for (const path of paths) {
    const others = [...paths.filter((other) => other !== path), ...kernelFolders];
    const seen = await walk(needs, path, new Set(others), salt, { ...bounds, end }, signal);
    if (seen.is === 'too-much') leftOut.push({ path, why: seen.why });
    else {
      const samples = await hashSome(needs, path, seen.found, { ...bounds, end }, signal);
      volumes.push({ path, files: seen.files, bytes: seen.bytes, samples });
    }
  }
  if (volumes.length === 0) return { manifest: undefined, leftOut };
  const manifest = fitting({ v: 1, at: needs.clock.now(), volumes });
  const parsed = contentManifestKind.schema.safeParse(manifest);
  if (!parsed.success)
    return { manifest: undefined, leftOut: paths.map((path) => ({ path, why: 'it does not parse' })) };
  return { manifest: parsed.data, leftOut };
}

/**
 * Into the guest itself, and so into every archive of it. The manifest counts itself as it will be: answers what was
 * stored.
 */
export async function storeManifest(files: GuestFiles, manifest: ContentManifest): Promise<ContentManifest> {
  const name = guestPaths.manifest.slice(guestPaths.home.length + 1);
  const old = (await files.list(guestPaths.home)).find((entry) => entry.name === name && entry.kind === 'file');
  const growth = paddedJson(manifest).length - (old?.sizeBytes ?? 0);
  const counted: ContentManifest = {
    ...manifest,
    volumes: manifest.volumes.map((volume) =>
      volume.path === '/'
        ? { ...volume, files: volume.files + (old === undefined ? 1 : 0), bytes: volume.bytes + growth }
        : volume,
    ),
  };
  await files.write(guestPaths.manifest, paddedJson(counted), 0o600);
  return counted;
}

interface Found {
  readonly path: string;
  readonly sizeBytes: number;
  /** Where the salt puts it: the first ones are hashed. */
  readonly place: string;
}

type Walked =
  | { readonly is: 'seen'; readonly files: number; readonly bytes: number; readonly found: readonly Found[] }
  | { readonly is: 'too-much'; readonly why: string };

/** Regular files only; links are not followed, other mounts not entered. */
async function walk(
  { files, clock }: ManifestNeeds,
  root: string,
  others: ReadonlySet<string>,
  salt: Uint8Array,
  bounds: ManifestBounds & { readonly end: number },
  signal: AbortSignal,
): Promise<Walked> {
  // Which files are hashed is decided by a salt of this manifest, so that nobody knows beforehand which are not.
  const placeOf = (path: string): string => createHash('sha256').update(salt).update(path).digest('hex');
  let found: Found[] = [];
  let entries = 0;
  let count = 0;
  let bytes = 0;
  const open: { path: string; depth: number }[] = [{ path: '', depth: 0 }];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    signal.throwIfAborted();
    if (clock.now() >= bounds.end) return { is: 'too-much', why: 'it takes longer than apps may stand still' };
    for (const entry of await files.list(below(root, folder.path))) {
      entries += 1;
      if (entries > bounds.entries) return { is: 'too-much', why: `it holds more than ${bounds.entries} entries` };
      const path = folder.path === '' ? entry.name : `${folder.path}/${entry.name}`;
      if (entry.kind === 'directory' && !isElsewhere(root, path, entry, others)) {
        if (folder.depth >= bounds.depth) return { is: 'too-much', why: `it is deeper than ${bounds.depth} folders` };
        open.push({ path, depth: folder.depth + 1 });
      }
      if (entry.kind !== 'file') continue;
      count += 1;
      bytes += entry.sizeBytes;
      if (isSampled(root, path, entry, bounds)) found.push({ path, sizeBytes: entry.sizeBytes, place: placeOf(path) });
      if (found.length > 16 * bounds.samplesPerVolume) found = firstOf(found, 8 * bounds.samplesPerVolume);
    }
  }
  return { is: 'seen', files: count, bytes, found };
}

const below = (root: string, path: string): string => (path === '' ? root : `${root === '/' ? '' : root}/${path}`);

const isElsewhere = (root: string, path: string, entry: Entry, others: ReadonlySet<string>): boolean =>
  entry.mount || others.has(below(root, path));

const isSampled = (root: string, path: string, entry: Entry, bounds: ManifestBounds): boolean =>
  entry.sizeBytes <= bounds.sampleBytes &&
  manifestPath.safeParse(path).success &&
  // A name that is not UTF-8 cannot be asked for again.
  !path.includes('\uFFFD') &&
  !(root === '/' && unsteady.test(path));

const firstOf = (found: readonly Found[], count: number): Found[] =>
  found.toSorted((a, b) => (a.place < b.place ? -1 : 1)).slice(0, count);

async function hashSome(
  { files, clock }: ManifestNeeds,
  root: string,
  found: readonly Found[],
  bounds: ManifestBounds & { readonly end: number },
  signal: AbortSignal,
): Promise<ManifestVolume['samples']> {
  const samples: { path: string; sizeBytes: number; sha256: Digest }[] = [];
  let hashed = 0;
  for (const one of firstOf(found, found.length)) {
    if (samples.length >= bounds.samplesPerVolume || clock.now() >= bounds.end) break;
    if (hashed + one.sizeBytes > bounds.hashedBytes) continue;
    signal.throwIfAborted();
    const facts = await files.digest(below(root, one.path));
    if (facts === undefined) continue;
    hashed += facts.sizeBytes;
    samples.push({ path: one.path, sizeBytes: facts.sizeBytes, sha256: facts.sha256 as Digest });
  }
  return samples;
}

/** Halves the samples until the whole fits. */
function fitting(manifest: ContentManifest): ContentManifest {
  if (JSON.stringify(manifest).length <= maxManifestBytes / 2) return manifest;
  return fitting({
    ...manifest,
    volumes: manifest.volumes.map((volume) => ({
      ...volume,
      samples: volume.samples.slice(0, Math.floor(volume.samples.length / 2)),
    })),
  });
}
