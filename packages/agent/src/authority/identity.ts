/**
 * Whether what Proxmox shows under a VMID is the guest in the journal [R20]. Everything that Proxmox shows travels
 * inside archives or repeats (names, tags, notes, volume names), so only the whole of it counts:
 *
 *   ours           everything matches; the only answer on which something irreversible may rest
 *   ours-unproven  most likely ours: still backed up and watched, never destroyed
 *   foreign        somebody else's guest under our VMID: never touched
 *   unknown        not seen; says nothing about what is there
 */
import type { Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from './guest-record.ts';

export type ObservedGuest =
  | {
      readonly is: 'present';
      readonly vmid: Vmid;
      readonly marker: Marker;
      /** Of `rootfs` and every `mpN` of the current config; unused entries are not among them. */
      readonly volumes: readonly VolumeId[];
      /** Creation times in seconds, of storages that have them. */
      readonly ctimes: ReadonlyMap<VolumeId, number>;
      /** vzcreate, vzrestore or vzdestroy on this VMID since the last pass that were not ours. */
      readonly foreignTasks: readonly string[];
    }
  | { readonly is: 'absent' }
  /** 403: a missing ACL must never look like a missing guest [R6]. */
  | { readonly is: 'forbidden' }
  | { readonly is: 'unreadable' };

export type Marker =
  | { readonly is: 'missing' }
  | { readonly is: 'present'; readonly uid: string; readonly incarnation: number; readonly n: string };

export type Identity =
  | { readonly is: 'ours' }
  | { readonly is: 'ours-unproven'; readonly why: 'marker-missing' | 'volumes-differ' | 'ctime-differs' }
  | {
      readonly is: 'foreign';
      readonly why:
        | 'other-vmid'
        | 'foreign-task'
        | 'other-uid'
        | 'other-incarnation'
        | 'stale-marker'
        | 'marker-missing-volumes-differ';
    }
  | { readonly is: 'unknown'; readonly why: 'absent' | 'forbidden' | 'unreadable' };

const markerPattern = /^felhom:([a-z2-7]{26})\.([1-9]\d{0,9})\.([A-Za-z0-9_-]{1,64})$/;

/**
 * Reads the marker line out of a guest's description. Two marker lines, or one that does not read, are none: a person
 * edited it, and a guess would choose whose guest this is.
 */
export function parseMarker(description: string | undefined): Marker {
  const lines = (description ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('felhom:'));
  const found = lines.length === 1 ? markerPattern.exec(lines[0] ?? '') : null;
  const [, uid, incarnation, n] = found ?? [];
  if (uid === undefined || incarnation === undefined || n === undefined) return { is: 'missing' };
  return { is: 'present', uid, incarnation: Number(incarnation), n };
}

export function identify(
  record: Pick<GuestRecord, 'uid' | 'incarnation' | 'marker' | 'vmid' | 'volumes'>,
  observed: ObservedGuest,
): Identity {
  if (observed.is !== 'present') return { is: 'unknown', why: observed.is };
  if (observed.vmid !== record.vmid) return { is: 'foreign', why: 'other-vmid' };
  if (observed.foreignTasks.length > 0) return { is: 'foreign', why: 'foreign-task' };
  const { marker } = observed;
  if (marker.is === 'present') {
    if (marker.uid !== record.uid) return { is: 'foreign', why: 'other-uid' };
    if (marker.incarnation !== record.incarnation) return { is: 'foreign', why: 'other-incarnation' };
    // Every archive holds an older n, so an older n means that an archive was restored here.
    if (marker.n !== record.marker) return { is: 'foreign', why: 'stale-marker' };
  }
  const sameVolumes = sameSet(
    observed.volumes,
    record.volumes.map((volume) => volume.volid),
  );
  if (marker.is === 'missing' && !sameVolumes) return { is: 'foreign', why: 'marker-missing-volumes-differ' };
  const ctimeDiffers = record.volumes.some((volume) => {
    const seen = observed.ctimes.get(volume.volid);
    return seen !== undefined && volume.ctime !== undefined && seen !== volume.ctime;
  });
  // A volume made anew under an old name: what it holds is not what we knew.
  if (ctimeDiffers) return { is: 'ours-unproven', why: 'ctime-differs' };
  if (marker.is === 'missing') return { is: 'ours-unproven', why: 'marker-missing' };
  if (!sameVolumes) return { is: 'ours-unproven', why: 'volumes-differ' };
  return { is: 'ours' };
}

function sameSet(a: readonly VolumeId[], b: readonly VolumeId[]): boolean {
  const [left, right] = [new Set(a), new Set(b)];
  return left.symmetricDifference(right).size === 0;
}
