/** Guests in our range that are not ours, as an operator has to see them before signing that one of them shall be. */
import { volumeId } from '@felhom/protocol';
import type { ReportedStranger, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { GuestView, SeenConfig } from '../guests/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { GuestRow } from '../ports/proxmox.ts';

export interface StrangersInput {
  /** Guests that a saga of ours is making are not among `seen`. */
  readonly observation: {
    readonly rows: ReadonlyMap<Vmid, GuestRow>;
    readonly seen: ReadonlyMap<Vmid, SeenConfig>;
  };
  readonly registry: readonly Pick<GuestRecord, 'uid' | 'name' | 'vmid'>[];
  /** `undefined`: it does not read, so nobody knows which range is ours. */
  readonly policy: Pick<HostPolicy, 'vmids'> | undefined;
}

/** Most of a report's shape; what has more volumes is not shown, because it could not be signed for as a whole. */
const mostVolumes = 64;

/** By VMID. What cannot be read is left out: there is no digest that a signature could hold on to. */
export function strangersOf({ observation, registry, policy }: StrangersInput): ReportedStranger[] {
  if (policy === undefined) return [];
  const { from, to } = policy.vmids.guests;
  const ours = new Set(registry.map((record) => record.vmid));
  return [...observation.seen]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([vmid, seen]): ReportedStranger[] => {
      const row = observation.rows.get(vmid);
      if (seen.is !== 'present' || row === undefined || ours.has(vmid) || vmid < from || vmid > to) return [];
      const volumes = volumesToAdopt(seen.view);
      if (volumes.length === 0 || volumes.length > mostVolumes) return [];
      return [
        {
          vmid,
          name: (seen.view.hostname ?? row.name).slice(0, 200),
          configDigest: seen.view.digest.slice(0, 64),
          volumes: [...volumes],
          why: whyNotOurs(seen.view, registry),
        },
      ];
    });
}

function whyNotOurs({ marker }: GuestView, registry: StrangersInput['registry']): string {
  if (marker === undefined) return 'it carries no marker: nobody here made it, or its notes were edited';
  const namesake = registry.find((record) => record.uid === marker.uid);
  return namesake === undefined
    ? `it carries the marker of a guest that is not on record (${marker.uid})`
    : `it carries the marker of guest ${namesake.name}, which is at VMID ${namesake.vmid}: it came from an archive of it`;
}

/** Every volume that its config names, unused ones too, sorted; bind mounts and devices are no volumes. */
export function volumesToAdopt(view: GuestView): readonly VolumeId[] {
  const named = [...view.disks.map((disk) => disk.volid), ...view.unused];
  return [...new Set(named)].filter((volid) => volumeId.safeParse(volid).success).toSorted();
}
