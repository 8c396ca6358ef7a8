/**
 * Whether the entry of Proxmox stands for the target: as far as it could lead elsewhere, or keep the target from being
 * used. What else there is about it `storage-define` sees to. Pure. PVE: Storage/*Plugin.pm; recordings 02, 33, 42.
 */
import { isDisk } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import type { StorageEntry } from '../ports/proxmox.ts';
import { mountPathOf } from '../storage-manifest.ts';

/** What is wrong with it, in words; `undefined` = nothing. */
export function entryTrouble(target: StorageTarget, entry: StorageEntry, mountRoot?: string): string | undefined {
  const of = (key: string): string | undefined => entry.options.get(key);
  const wanted = placeOf(target, mountRoot);
  for (const [key, value] of wanted)
    if ((of(key) ?? '') !== value)
      return `its ${key} is ${of(key) ?? 'not set'} and not ${value === '' ? 'absent' : value}`;
  if (isDisk(target)) {
    const expected = of('is_mountpoint') ?? '0';
    // Without it Proxmox makes the folder on the root disk when the disk is gone, and fills that.
    if (!['1', 'yes', 'on', 'true', mountPathOf(target.name, mountRoot)].includes(expected))
      return `is_mountpoint is ${expected}, so Proxmox would write to the root disk when the disk is gone`;
  }
  if (isOn(of('disable'))) return 'it is disabled';
  const content = (of('content') ?? '').split(',');
  const needed = target.role === 'vzdump-target' ? 'backup' : target.role === 'pbs-offsite' ? undefined : 'rootdir';
  return needed === undefined || content.includes(needed) ? undefined : `it is not for ${needed}`;
}

const isOn = (value: string | undefined): boolean => value !== undefined && value !== '' && value !== '0';

/** An empty value: it must not be set. */
function placeOf(target: StorageTarget, mountRoot: string | undefined): readonly (readonly [string, string])[] {
  switch (target.type) {
    case 'local-dir':
    case 'usb':
      return [
        ['type', 'dir'],
        ['path', mountPathOf(target.name, mountRoot)],
      ];
    case 'nfs':
      return [
        ['type', 'nfs'],
        ['server', target.server],
        ['export', target.export],
      ];
    case 'cifs':
      return [
        ['type', 'cifs'],
        ['server', target.server],
        ['share', target.share],
        ['username', target.user],
        ['subdir', ''],
      ];
    case 'pbs':
      return [
        ['type', 'pbs'],
        ['server', target.server],
        ['datastore', target.datastore],
        ['username', target.user],
        ['namespace', target.namespace ?? ''],
      ];
  }
}
