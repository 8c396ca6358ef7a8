/** What of root's declarations the doctor looks at. */
import { isDisk } from '@felhom/protocol';
import type { DeclaredStorage } from '../doctor/index.ts';
import { mountUnitName } from '../root-verbs/storage/index.ts';
import type { ManifestRead } from '../storage-manifest.ts';

export function declaredStorage(read: ManifestRead, mountRoot: string): DeclaredStorage {
  if (read.is === 'unreadable') return read;
  const used = read.is === 'none' ? [] : read.manifest.targets.filter(({ state }) => state === 'attached');
  return {
    is: 'declared',
    disks: used.flatMap(({ target }) =>
      isDisk(target) ? [{ target: target.name, unit: mountUnitName(target.name, mountRoot) }] : [],
    ),
    sealed: used.flatMap(({ target }) => ('credential' in target ? [target.name] : [])),
  };
}
