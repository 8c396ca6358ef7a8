/** What the journal knows of a guest: the only provenance there is. Names, tags and notes travel inside archives. */
import type { GuestRef } from './effects.ts';
import type { GuestName, GuestUid, Vmid, VolumeId } from '@felhom/protocol';

export interface GuestRecord {
  readonly uid: GuestUid;
  /** Raised by every restore of the same guest. */
  readonly incarnation: number;
  /** Marker nonce, minted anew after every backup seen, so that every archive holds a stale one [R20]. */
  readonly marker: string;
  readonly name: GuestName;
  readonly vmid: Vmid;
  readonly golden: string;
  /** Config key (rootfs, mp0 …) → the volume and what desired state calls it. */
  readonly volumes: readonly GuestVolume[];
  /** Set when it first was healthy: from then on an unsigned change may only add or repair [R15]. */
  readonly servedAt: number | undefined;
  /** Config digest after our own last write; another value means that somebody edited it. */
  readonly configDigest: string;
  readonly createdAt: number;
  /** Scratch guests of restore-tests; settable by the agent's own sagas only. */
  readonly scratch: boolean;
}

export interface GuestVolume {
  readonly key: string;
  /** `rootfs`, or the name in desired state. */
  readonly name: string;
  readonly volid: VolumeId;
  readonly sizeGiB: number;
  readonly ctime: number | undefined;
  /** Carried over from another guest: data-bearing for ever, no undo may free it [R1]. */
  readonly carriedOver: boolean;
}

/** `felhom:<uid>.<incarnation>.<marker>`: the line in a guest's description that binds it to the journal. */
export function markerLine(record: Pick<GuestRecord, 'uid' | 'incarnation' | 'marker'>): string {
  return `felhom:${record.uid}.${record.incarnation}.${record.marker}`;
}

/** The guest as effects name it. */
export const refOf = (record: GuestRecord): GuestRef => ({
  uid: record.uid,
  incarnation: record.incarnation,
  name: record.name,
});

export interface GuestRegistry {
  all(): readonly GuestRecord[];
  byName(name: GuestName): GuestRecord | undefined;
  byUid(uid: GuestUid): GuestRecord | undefined;
  byVmid(vmid: Vmid): GuestRecord | undefined;
  /** Durable when it returns. */
  put(record: GuestRecord): void;
  remove(uid: GuestUid): void;
}
