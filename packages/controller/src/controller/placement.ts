/**
 * Where the volumes of an app may lie: hot ones on fast storage, bulk ones on a mount of their own that the guest's
 * backups leave out. What does not fit is refused with words that say what to ask for. Pure.
 */
import type { LocalAnswer } from '@felhom/protocol';
import type { FelhomFile } from './felhom-file.ts';

export type StorageView = LocalAnswer<'storage'>;
type View = StorageView['volumes'][number];

export interface PlacedVolume {
  readonly path: string;
  readonly kind: 'hot' | 'bulk';
  /** Mount of the guest that it lies on, and its name. */
  readonly mount: string;
  readonly volume: string;
}

export type Placement =
  | { readonly is: 'placed'; readonly volumes: readonly PlacedVolume[] }
  | { readonly is: 'refused'; readonly texts: readonly string[] };

export function placeVolumes(file: FelhomFile, storage: StorageView): Placement {
  const texts: string[] = [];
  const placed: PlacedVolume[] = [];
  for (const { path, kind } of file.volumes) {
    const mount = mountOf(path, storage.volumes);
    const why = mount === undefined ? `nothing is mounted at or above ${path}` : objection(kind, path, mount);
    if (mount === undefined || why !== undefined)
      texts.push(`cannot place ${path} of ${file.app} (${kind}): ${why}; ${wish(kind, path, storage)}`);
    else placed.push({ path, kind, mount: mount.path, volume: mount.name });
  }
  return texts.length === 0 ? { is: 'placed', volumes: placed } : { is: 'refused', texts };
}

/** Whether it can be relied on; what nobody speaks of is there. */
export const stateOf = ({ state }: Pick<View, 'state'>): NonNullable<View['state']> => state ?? 'attached';

/** The mount with the longest path at or above. */
export function mountOf<T extends Pick<View, 'path'>>(path: string, volumes: readonly T[]): T | undefined {
  return volumes
    .filter(({ path: mount }) => mount === '/' || path === mount || path.startsWith(`${mount}/`))
    .toSorted((a, b) => b.path.length - a.path.length)[0];
}

function objection(kind: 'hot' | 'bulk', path: string, mount: View): string | undefined {
  const state = stateOf(mount);
  if (state !== 'attached') return `the disk of ${mount.path} is not to be relied on now (${state})`;
  if (kind === 'hot') {
    if (mount.class !== 'fast') return `${mount.path} is on ${mount.class} storage`;
    // Nothing rolls bulk back and no backup of the guest holds it: a database there would be lost with its disk.
    return mount.backup ? undefined : `${mount.path} is left out of the guest's backups`;
  }
  if (mount.path === '/') return 'it would fill the root file system';
  if (mount.backup) return `${mount.path} is part of the guest's backups`;
  return mount.ownBackup === 'undecided' ? `nobody has decided how ${mount.path} is backed up` : undefined;
}

function wish(kind: 'hot' | 'bulk', path: string, { classes }: StorageView): string {
  if (kind === 'bulk')
    return `ask your operator for a volume mounted at ${path} without backup, with its own backup or the acknowledgement that it has none`;
  const fast = classes.some((one) => one.class === 'fast');
  return fast
    ? `ask your operator for a volume on fast storage, with backup, mounted at ${path} or above it`
    : `ask your operator for fast storage: this host has none for this guest`;
}
