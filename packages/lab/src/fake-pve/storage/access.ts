// Who may see or read a volume or an archive. PVE: Storage.pm check_volume_access.
import { PveError, type AccessControl, type Identity } from '../core.ts';

export interface AccessedVolume {
  readonly storage: string;
  readonly content: string;
  readonly vmid?: number;
}

/**
 * Throws the 403. `vmid`: the guest that is being restored; its own archives and volumes need no right on the owner.
 * A path instead of a volume id is for root only.
 */
export function checkVolumeAccess(
  access: AccessControl,
  who: Identity,
  volid: string,
  volume: AccessedVolume | undefined,
  vmid?: number,
): void {
  if (volume === undefined) {
    if (access.isRoot(who)) return;
    throw new PveError(
      500,
      'Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.',
    );
  }
  const at = `/storage/${volume.storage}`;
  if (access.has(who, at, ['Datastore.Allocate'])) return;
  if (volume.content === 'vztmpl' || volume.content === 'iso') {
    access.check(who, at, ['Datastore.AllocateSpace', 'Datastore.Audit'], { any: true });
    return;
  }
  if (volume.vmid !== undefined && volume.vmid === vmid) return;
  if (volume.vmid !== undefined && volume.content === 'backup') {
    access.check(who, at, ['Datastore.AllocateSpace']);
    access.check(who, `/vms/${volume.vmid}`, ['VM.Backup']);
    return;
  }
  if (volume.vmid !== undefined && volume.content === 'images') {
    access.check(who, at, ['Datastore.Audit']);
    access.check(who, `/vms/${volume.vmid}`, ['VM.Config.Disk']);
    return;
  }
  throw new PveError(500, `missing privileges to access ${volid}`);
}

/** The same as a question. */
export function mayAccess(
  access: AccessControl,
  who: Identity,
  volid: string,
  volume: AccessedVolume | undefined,
): boolean {
  try {
    checkVolumeAccess(access, who, volid, volume);
    return true;
  } catch (error) {
    if (error instanceof PveError) return false;
    throw error;
  }
}
