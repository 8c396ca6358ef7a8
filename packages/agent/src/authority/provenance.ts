/**
 * What may be freed unsigned: what a journaled saga of ours allocated itself, volume by volume [R1], [R2]. A guest that
 * a saga made may meanwhile hold a volume it did not make (bulk carried over from the guest it replaces), so provenance
 * of the guest says nothing about its volumes. Whoever destroys asks here directly before the call, with what was read
 * a moment ago; any surprise parks.
 */
import { reason } from '@felhom/protocol';
import type { ErrorCode, GuestUid, Reason, Vmid, VolumeId } from '@felhom/protocol';
import type { Marker } from './identity.ts';
import { mint } from './mint-warrant.ts';
import type { DestroyGuestWarrant, FreeVolumesWarrant } from './warrant.ts';

/** From the journal: of the saga that made the guest, or of the record of a scratch guest. */
export interface DestroyBasis {
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  readonly incarnation: number;
  readonly marker: string;
  /** Every volume that the saga allocated. */
  readonly allocated: readonly VolumeId[];
  /** Volumes that were ever carried over from another guest: data-bearing for ever. */
  readonly carriedOver: readonly VolumeId[];
  /**
   * The listing taken before the create call by a party that sees everything (the helper), as journaled.
   * `undefined`: none was taken.
   */
  readonly listedBeforeCreate: readonly VolumeId[] | undefined;
}

/** Read directly before the call. */
export interface SeenBeforeDestroy {
  readonly vmid: Vmid;
  readonly marker: Marker;
  /** `rootfs` and `mpN` of the active config, of every snapshot section too. */
  readonly config: readonly VolumeId[];
  readonly pending: readonly VolumeId[];
  readonly unused: readonly VolumeId[];
  /** Listing of every storage for this VMID; `undefined`: could not be read, which is not an empty one. */
  readonly listed: readonly VolumeId[] | undefined;
}

export type DestroyDecision<W = DestroyGuestWarrant> =
  | { readonly is: 'warranted'; readonly warrant: W }
  /** Never forward: the saga parks with this. `surplus` are the volumes nobody answers for. */
  | { readonly is: 'park'; readonly why: Reason; readonly surplus: readonly VolumeId[] };

/** Whether the whole guest may go. Any volume that is there and not in `allocated` forbids it. */
export function destroyWarrantFor(basis: DestroyBasis, seen: SeenBeforeDestroy): DestroyDecision {
  const trouble = whyNot(basis, seen);
  if (trouble !== undefined) return trouble;
  return judgeVolumes({
    ...basis,
    found: [...seen.config, ...seen.pending, ...seen.unused, ...(seen.listed ?? [])],
    emptyBefore: basis.listedBeforeCreate?.length === 0,
  });
}

export interface VolumesInQuestion {
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  readonly allocated: readonly VolumeId[];
  readonly carriedOver: readonly VolumeId[];
  readonly found: readonly VolumeId[];
  readonly emptyBefore: boolean;
}

/** The half that is about volumes alone, for one who has proven whose guest it is. */
export function judgeVolumes(asked: VolumesInQuestion): DestroyDecision {
  const carried = [...new Set(asked.carriedOver).intersection(new Set([...asked.allocated, ...asked.found]))].sort();
  if (carried.length > 0)
    return park(asked, 'gate.holds-data', `${carried.join(', ')} was carried over and holds data`, carried);
  const surplus = [...new Set(asked.found).difference(new Set(asked.allocated))].sort();
  if (surplus.length > 0)
    return park(asked, 'gate.holds-data', `${surplus.join(', ')} is there and was not made by the same saga`, surplus);
  return {
    is: 'warranted',
    warrant: mint<DestroyGuestWarrant>({
      effect: 'destroy-guest',
      vmid: asked.vmid,
      uid: asked.uid,
      volumes: [...new Set(asked.allocated)].sort(),
      mayDestroyUnreferenced: asked.emptyBefore,
    }),
  };
}

/** Whether single volumes of a guest that stays may go: those that the same saga allocated, nothing else. */
export function freeVolumesWarrantFor(
  basis: DestroyBasis,
  seen: SeenBeforeDestroy,
  wanted: readonly VolumeId[],
): DestroyDecision<FreeVolumesWarrant> {
  const trouble = whyNot(basis, seen);
  if (trouble !== undefined) return trouble;
  const carried = [...new Set(basis.carriedOver).intersection(new Set(wanted))].sort();
  if (carried.length > 0)
    return park(basis, 'gate.holds-data', `${carried.join(', ')} was carried over and holds data`, carried);
  const surplus = [...new Set(wanted).difference(new Set(basis.allocated))].sort();
  if (surplus.length > 0)
    return park(basis, 'gate.holds-data', `${surplus.join(', ')} was not made by the same saga`, surplus);
  return {
    is: 'warranted',
    warrant: mint<FreeVolumesWarrant>({
      effect: 'free-volumes',
      vmid: basis.vmid,
      uid: basis.uid,
      volumes: [...new Set(wanted)].sort(),
    }),
  };
}

function whyNot(basis: DestroyBasis, seen: SeenBeforeDestroy): Extract<DestroyDecision, { is: 'park' }> | undefined {
  const { marker } = seen;
  if (
    seen.vmid !== basis.vmid ||
    marker.is !== 'present' ||
    marker.uid !== basis.uid ||
    marker.incarnation !== basis.incarnation ||
    marker.n !== basis.marker
  )
    return park(basis, 'gate.foreign', 'what is there does not carry the marker of the guest that was made', []);
  if (seen.listed === undefined)
    return park(basis, 'gate.not-seen', 'its volumes could not be listed, and unknown is not none', []);
  const preExisting = [...new Set(basis.listedBeforeCreate ?? []).intersection(new Set(basis.allocated))].sort();
  if (preExisting.length > 0)
    return park(basis, 'gate.holds-data', `${preExisting.join(', ')} was there before the guest`, preExisting);
  return undefined;
}

function park(
  basis: Pick<DestroyBasis, 'uid' | 'vmid'>,
  code: ErrorCode,
  because: string,
  surplus: readonly VolumeId[],
): Extract<DestroyDecision, { is: 'park' }> {
  return {
    is: 'park',
    why: reason(
      code,
      `cannot free anything of guest ${basis.uid} (VMID ${basis.vmid}): ${because}. Nothing was freed; look at the guest, then decide`,
    ),
    surplus,
  };
}

const volumeKey = /^(?:rootfs|mp\d+)$/;
const unusedKey = /^unused\d+$/;

/**
 * Volume ids in raw config values. The first field of `rootfs`, `mpN` and `unusedN` is the volume; one that starts
 * with `/` is a bind mount or a device, which Proxmox never frees. (PVE: LXC/Config.pm, mountpoint format.)
 */
export function volumesInConfig(values: Readonly<Record<string, string>>): {
  readonly config: readonly VolumeId[];
  readonly unused: readonly VolumeId[];
} {
  const pick = (pattern: RegExp): VolumeId[] =>
    Object.entries(values)
      .filter(([key]) => pattern.test(key))
      .flatMap(([, value]) => volumeOf(value) ?? []);
  return { config: pick(volumeKey), unused: pick(unusedKey) };
}

function volumeOf(value: string): VolumeId | undefined {
  const fields = value.split(',');
  const named = fields.find((field) => field.startsWith('volume='))?.slice('volume='.length);
  const volume = named ?? fields[0] ?? '';
  return volume.startsWith('/') || !volume.includes(':') ? undefined : (volume as VolumeId);
}
