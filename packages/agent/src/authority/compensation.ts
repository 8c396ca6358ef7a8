/**
 * The gate as a saga's undo meets it: may what this saga made be freed? The saga has just read the guest's marker and
 * every volume under its VMID; here the registry is asked what the saga's own journal cannot know.
 */
import { reason } from '@felhom/protocol';
import type { GuestUid, Reason, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRegistry } from './guest-record.ts';
import { judgeVolumes } from './provenance.ts';
import type { DestroyGuestWarrant } from './warrant.ts';

export interface Compensation {
  readonly sagaId: string;
  readonly vmid: Vmid;
  readonly uid: GuestUid;
  /** Volumes that the saga's own journal says it allocated. */
  readonly allocated: readonly VolumeId[];
  /** What lies under this VMID now: config, pending, unused entries and root's listing together. */
  readonly found: readonly VolumeId[];
  /** A listing before the create call, by somebody who sees everything, showed no volume [R2]. */
  readonly emptyBefore: boolean;
}

export type CompensationDecision =
  { readonly is: 'warrant'; readonly warrant: DestroyGuestWarrant } | { readonly is: 'refused'; readonly why: Reason };

/** Asked anew for every attempt; an answer is never kept, because the world moves. */
export function compensationWarrants(registry: Pick<GuestRegistry, 'byUid' | 'byVmid'>): {
  forCompensation(compensation: Compensation): CompensationDecision;
} {
  return {
    forCompensation(asked) {
      const record = registry.byUid(asked.uid);
      const other = registry.byVmid(asked.vmid);
      const no = (because: string): CompensationDecision => ({
        is: 'refused',
        why: reason('gate.holds-data', `cannot take back guest ${asked.uid} (VMID ${asked.vmid}): ${because}`),
      });
      if (other !== undefined && other.uid !== asked.uid)
        return no(`the guest on record at this VMID is ${other.name} (${other.uid})`);
      if (record !== undefined && record.vmid !== asked.vmid)
        return no(`the guest is on record at VMID ${record.vmid}, not at this one`);
      if (record?.servedAt !== undefined) return no('it has served and holds data');
      const carriedOver = record?.volumes.filter((volume) => volume.carriedOver).map((volume) => volume.volid) ?? [];
      const decision = judgeVolumes({ ...asked, carriedOver });
      return decision.is === 'warranted'
        ? { is: 'warrant', warrant: decision.warrant }
        : { is: 'refused', why: decision.why };
    },
  };
}
