/**
 * What a restored guest holds against what it declared when the backup was taken. Pure. Only counts leave: no path, name
 * or hash of a customer's file [R41].
 */
import type { ContentManifest, FoundVolume } from '@felhom/protocol';

export interface ContentVerdict {
  /** Of the manifest: compared, and files whose bytes were compared. */
  readonly volumes: number;
  readonly files: number;
  /** Volumes that are empty or too small, and files that are not there or not the same. */
  readonly mismatches: number;
  /** In words without names. */
  readonly text: string;
}

/** A guest that booted has turned its logs over and made some files anew; losing more than this is a loss. */
const toleratedPart = 0.05;
const toleratedFiles = 5;
const toleratedBytes = 4 * 2 ** 20;

/** `absent`: paths that are left out of this backup on purpose; what is declared there is no loss of the archive. */
export function volumesToCompare(
  manifest: ContentManifest,
  absent: readonly string[],
): readonly ContentManifest['volumes'][number][] {
  return manifest.volumes.filter(({ path }) => !absent.includes(path));
}

export function compareContent(
  declared: readonly ContentManifest['volumes'][number][],
  found: readonly FoundVolume[],
): ContentVerdict {
  let [empty, small, gone, changed, files] = [0, 0, 0, 0, 0];
  for (const volume of declared) {
    const there = found.find(({ path }) => path === volume.path);
    if (there === undefined || (there.files === 0 && volume.files > 0)) {
      empty += 1;
      continue;
    }
    const lostFiles = volume.files - there.files;
    const lostBytes = volume.bytes - there.bytes;
    if (
      lostFiles > Math.max(toleratedFiles, volume.files * toleratedPart) ||
      lostBytes > Math.max(toleratedBytes, volume.bytes * toleratedPart)
    )
      small += 1;
    for (const [at, sample] of volume.samples.entries()) {
      files += 1;
      const is = there.samples[at];
      if (is === null || is === undefined) gone += 1;
      else if (is.sizeBytes !== sample.sizeBytes || is.sha256 !== sample.sha256) changed += 1;
    }
  }
  const parts = [
    [empty, 'is empty or not there', 'are empty or not there', 'volume'],
    [small, 'holds much less than it should', 'hold much less than they should', 'volume'],
    [gone, 'is missing', 'are missing', 'file'],
    [changed, 'is not the same', 'are not the same', 'file'],
  ] as const;
  const said = parts.flatMap(([n, one, many, what]) =>
    n === 0 ? [] : [n === 1 ? `1 ${what} ${one}` : `${n} ${what}s ${many}`],
  );
  return { volumes: declared.length, files, mismatches: empty + small + gone + changed, text: said.join(', ') };
}
