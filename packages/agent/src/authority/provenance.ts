/**
 * What may be freed unsigned: what a journaled saga of ours allocated itself, volume by volume [R1], [R2]. A guest that
 * a saga made may meanwhile hold a volume it did not make (bulk carried over from the guest it replaces), so provenance
 * of the guest says nothing about its volumes. Whoever destroys asks here directly before the call, with what was read
 * a moment ago; any surprise parks.
 *
 * What a signature frees is the other half: there the people who signed answer for the data, so volumes that were
 * carried over and guests that served may go, but nothing that is not named, and nothing of what is named missing.
 */
import { reason } from '@felhom/protocol';
import type { Digest, ErrorCode, GuestUid, Reason, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from './guest-record.ts';
import type { Marker } from './identity.ts';
import { mint } from './mint-warrant.ts';
import type { DeleteBackupWarrant, DestroyGuestWarrant, FreeVolumesWarrant, RollbackWarrant } from './warrant.ts';

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

export type GuestOnRecord = Pick<GuestRecord, 'vmid' | 'servedAt' | 'volumes'>;

export type DestroyDecision<W = DestroyGuestWarrant> =
  | { readonly is: 'warranted'; readonly warrant: W }
  /** Never forward: the saga parks with this. `surplus` are the volumes nobody answers for. */
  | { readonly is: 'park'; readonly why: Reason; readonly surplus: readonly VolumeId[] };

/**
 * Whether the whole guest may go. Any volume that is there and not in `allocated` forbids it.
 * `onRecord`: what the registry has under this uid, which may know what a saga's own list cannot: that the guest served
 * meanwhile, or holds what was carried over.
 */
export function destroyWarrantFor(
  basis: DestroyBasis,
  seen: SeenBeforeDestroy,
  onRecord?: GuestOnRecord,
): DestroyDecision {
  const trouble = whyNot(basis, seen, onRecord);
  if (trouble !== undefined) return trouble;
  if (onRecord?.servedAt !== undefined) return park(basis, 'gate.holds-data', 'it has served and holds data', []);
  const found = [...seen.config, ...seen.pending, ...seen.unused, ...(seen.listed ?? [])];
  const carried = carriedOver(basis, onRecord).intersection(new Set([...basis.allocated, ...found]));
  if (carried.size > 0) return parkFor(basis, carried, 'was carried over and holds data');
  const surplus = new Set(found).difference(new Set(basis.allocated));
  if (surplus.size > 0) return parkFor(basis, surplus, 'is there and was not made by the same saga');
  return {
    is: 'warranted',
    warrant: mint<DestroyGuestWarrant>({
      effect: 'destroy-guest',
      vmid: basis.vmid,
      uid: basis.uid,
      volumes: [...new Set(basis.allocated)].sort(),
      mayDestroyUnreferenced: basis.listedBeforeCreate?.length === 0,
    }),
  };
}

/** A guest on record as far as its removal goes. */
export type GuestToRemove = Pick<GuestRecord, 'vmid' | 'uid' | 'incarnation' | 'marker' | 'volumes'>;

/**
 * Whether the whole guest may go on a signature. What is there, what is on record and what was signed have to be the
 * same volumes exactly: one more would be freed unsigned, one less means that what people looked at is not what is
 * there. A destroy that stopped half-way still has all of them in its config.
 */
export function removalWarrantFor(
  record: GuestToRemove,
  seen: SeenBeforeDestroy,
  signedLoss: readonly VolumeId[],
): DestroyDecision {
  const basis: DestroyBasis = {
    ...record,
    allocated: signedLoss,
    carriedOver: [],
    listedBeforeCreate: undefined,
  };
  const trouble = whyNot(basis, seen, undefined);
  if (trouble !== undefined) return trouble;
  const signed = new Set(signedLoss);
  const found = new Set([...seen.config, ...seen.pending, ...seen.unused, ...(seen.listed ?? [])]);
  const surplus = found.difference(signed);
  if (surplus.size > 0) return parkFor(basis, surplus, 'is there and was not signed for');
  const absent = [...signed.difference(found)].sort();
  if (absent.length > 0) return park(basis, 'job.changed', `${absent.join(', ')} was signed for and is not there`, []);
  const unlike = [...signed.symmetricDifference(new Set(record.volumes.map((volume) => volume.volid)))].sort();
  if (unlike.length > 0)
    return park(basis, 'job.changed', `${unlike.join(', ')} is not both on record and signed for`, []);
  return {
    is: 'warranted',
    warrant: mint<DestroyGuestWarrant>({
      effect: 'destroy-guest',
      vmid: record.vmid,
      uid: record.uid,
      volumes: [...signed].sort(),
      // Whatever nothing refers to was found by the listing above and is named, or forbids it all.
      mayDestroyUnreferenced: false,
    }),
  };
}

/** Whether single volumes of a guest that stays may go: those that the same saga allocated, nothing else. */
export function freeVolumesWarrantFor(
  basis: DestroyBasis,
  seen: SeenBeforeDestroy,
  wanted: readonly VolumeId[],
  onRecord?: GuestOnRecord,
): DestroyDecision<FreeVolumesWarrant> {
  const trouble = whyNot(basis, seen, onRecord);
  if (trouble !== undefined) return trouble;
  const carried = carriedOver(basis, onRecord).intersection(new Set(wanted));
  if (carried.size > 0) return parkFor(basis, carried, 'was carried over and holds data');
  const surplus = new Set(wanted).difference(new Set(basis.allocated));
  if (surplus.size > 0) return parkFor(basis, surplus, 'was not made by the same saga');
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

/** What is known of an archive: from the catalogue, and as it was read a moment ago. */
export interface BackupToDelete {
  readonly guest: GuestUid;
  readonly archive: VolumeId;
  /** As it was when it was taken. */
  readonly sha256: Digest;
}

export interface SeenBackup {
  readonly listed: boolean;
  readonly protected: boolean;
  /** Read back just now; `undefined`: not read. Names repeat when clocks are set back, bytes do not [R8]. */
  readonly sha256: Digest | undefined;
}

/**
 * Whether one archive may go. `named`: by retention's rules or by a signature, by its bytes. Where the bytes were not
 * read again, only the name and size that the listing shows stand for them, which is enough for pruning what the agent
 * took itself and not for what was signed.
 */
export function backupWarrantFor(
  backup: BackupToDelete,
  seen: SeenBackup,
  named: { readonly by: 'retention' } | { readonly by: 'signature'; readonly sha256: Digest },
): DestroyDecision<DeleteBackupWarrant> {
  const no = (code: ErrorCode, because: string): Park => ({
    is: 'park',
    why: reason(code, `cannot delete backup ${backup.archive}: ${because}. Nothing was deleted`),
    surplus: [],
  });
  if (!seen.listed) return no('gate.not-seen', 'it is not listed, and unseen is not gone');
  if (seen.protected) return no('gate.holds-data', 'it is protected');
  if (seen.sha256 !== undefined && seen.sha256 !== backup.sha256)
    return no('job.changed', 'its bytes are not those of the backup on record');
  if (named.by === 'signature') {
    if (named.sha256 !== backup.sha256)
      return no('job.changed', 'the backup on record is not the one that was signed for');
    if (seen.sha256 === undefined)
      return no('gate.not-seen', 'its bytes were not read, and a signature is about bytes');
  }
  return {
    is: 'warranted',
    warrant: mint<DeleteBackupWarrant>({
      effect: 'delete-backup',
      guest: backup.guest,
      archive: backup.archive,
      sha256: backup.sha256,
    }),
  };
}

/**
 * Whether a guest may go back to a snapshot. `mayRevert`: the volumes that whoever asked answers for; one more in the
 * snapshot, bulk for one, would lose what nobody spoke of [R1].
 */
export function rollbackWarrantFor(
  record: GuestToRemove,
  snapshot: { readonly name: string; readonly volumes: readonly VolumeId[] },
  seen: Pick<SeenBeforeDestroy, 'vmid' | 'marker'>,
  mayRevert: readonly VolumeId[],
): DestroyDecision<RollbackWarrant> {
  const { marker } = seen;
  if (
    seen.vmid !== record.vmid ||
    marker.is !== 'present' ||
    marker.uid !== record.uid ||
    marker.incarnation !== record.incarnation
  )
    return park(record, 'gate.foreign', 'what is there does not carry the marker of the guest', []);
  const surplus = new Set(snapshot.volumes).difference(new Set(mayRevert));
  if (surplus.size > 0) return parkFor(record, surplus, 'would go back too, and nobody spoke of it');
  return {
    is: 'warranted',
    warrant: mint<RollbackWarrant>({
      effect: 'rollback',
      vmid: record.vmid,
      uid: record.uid,
      snapshot: snapshot.name,
      volumes: [...new Set(snapshot.volumes)].sort(),
    }),
  };
}

type Park = Extract<DestroyDecision, { is: 'park' }>;

function whyNot(basis: DestroyBasis, seen: SeenBeforeDestroy, onRecord: GuestOnRecord | undefined): Park | undefined {
  if (onRecord !== undefined && onRecord.vmid !== basis.vmid)
    return park(basis, 'gate.foreign', `the guest is on record at VMID ${onRecord.vmid}`, []);
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
  const preExisting = new Set(basis.listedBeforeCreate ?? []).intersection(new Set(basis.allocated));
  if (preExisting.size > 0) return parkFor(basis, preExisting, 'was there before the guest');
  return undefined;
}

function carriedOver(basis: DestroyBasis, onRecord: GuestOnRecord | undefined): Set<VolumeId> {
  const recorded = onRecord?.volumes.filter((volume) => volume.carriedOver).map((volume) => volume.volid) ?? [];
  return new Set([...basis.carriedOver, ...recorded]);
}

function parkFor(basis: Pick<DestroyBasis, 'uid' | 'vmid'>, volumes: ReadonlySet<VolumeId>, because: string): Park {
  const surplus = [...volumes].sort();
  return park(basis, 'gate.holds-data', `${surplus.join(', ')} ${because}`, surplus);
}

function park(
  basis: Pick<DestroyBasis, 'uid' | 'vmid'>,
  code: ErrorCode,
  because: string,
  surplus: readonly VolumeId[],
): Park {
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
