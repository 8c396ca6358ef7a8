/**
 * Whether a guest's contents changed so much since the backup before that the older copies must not be pruned [R12].
 * Sums alone miss files that are encrypted in place, so the samples that both manifests have are compared too.
 */
import type { ContentManifest } from '@felhom/protocol';

export interface ManifestSums {
  readonly files: number;
  readonly bytes: number;
}

/** Of the files that were sampled before: how many are the same, and how many are others or gone. */
export interface SampleComparison {
  readonly same: number;
  readonly changed: number;
}

export type ContentChange =
  | { readonly is: 'ordinary' }
  /** Counts only, no names: it goes into reports [R41]. */
  | { readonly is: 'mass-change'; readonly text: string };

/** Fewer samples than this say nothing: a guest with two databases changes all of its samples every day. */
const fewestSamples = 8;

export function sumsOf(manifest: ContentManifest): ManifestSums {
  return {
    files: manifest.volumes.reduce((sum, { files }) => sum + files, 0),
    bytes: manifest.volumes.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/**
 * Files that the later manifest does not sample are left out, for the guest picks its samples anew; but where a volume
 * holds nothing any more, all its samples are gone.
 */
export function compareSamples(before: ContentManifest, after: ContentManifest): SampleComparison {
  let [same, changed] = [0, 0];
  for (const volume of before.volumes) {
    const later = after.volumes.find(({ path }) => path === volume.path);
    if (later === undefined || later.files === 0) {
      changed += volume.samples.length;
      continue;
    }
    const known = new Map(later.samples.map(({ path, sha256 }) => [path, sha256]));
    for (const { path, sha256 } of volume.samples) {
      const now = known.get(path);
      if (now === sha256) same += 1;
      else if (now !== undefined) changed += 1;
    }
  }
  return { same, changed };
}

/** `percent` is `backups.massChangePercent` of the policy; growth counts like loss. From nothing, nothing can be lost. */
export function judgeChange(
  before: ManifestSums,
  after: ManifestSums,
  percent: number,
  samples: SampleComparison = { same: 0, changed: 0 },
): ContentChange {
  const sampled = samples.same + samples.changed;
  const found = [
    { what: 'files', share: shareOf(before.files, after.files), text: `${before.files} files became ${after.files}` },
    { what: 'bytes', share: shareOf(before.bytes, after.bytes), text: `${before.bytes} bytes became ${after.bytes}` },
    {
      what: 'samples',
      share: sampled < fewestSamples ? 0 : (samples.changed * 100) / sampled,
      text: `${samples.changed} of ${sampled} sampled files are others`,
    },
  ].filter(({ share }) => share >= percent);
  return found.length === 0
    ? { is: 'ordinary' }
    : { is: 'mass-change', text: `${found.map(({ text }) => text).join('; ')} (alarm from ${percent} % on)` };
}

const shareOf = (before: number, after: number): number =>
  before === 0 ? 0 : (Math.abs(after - before) * 100) / before;
