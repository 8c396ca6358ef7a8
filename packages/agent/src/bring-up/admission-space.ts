/**
 * Whether storages have room for what a guest will allocate. Pure. Unknown is never zero and never enough: a storage
 * that cannot be read, or that a missing ACL hides, refuses.
 */
import type { DesiredGuest, StorageId } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { StorageRow } from '../ports/proxmox.ts';

const gib = 1024 ** 3;

export interface SpaceDemand {
  readonly storage: StorageId;
  readonly bytes: number;
}

export type SpaceVerdict =
  { readonly is: 'enough' } | { readonly is: 'refused'; readonly storage: StorageId; readonly text: string };

/** What a new guest allocates, per storage. */
export function demandOf(desired: Pick<DesiredGuest, 'rootfs' | 'volumes'>): readonly SpaceDemand[] {
  const bytes = new Map<StorageId, number>();
  for (const { storage, sizeGiB } of [desired.rootfs, ...desired.volumes])
    bytes.set(storage, (bytes.get(storage) ?? 0) + sizeGiB * gib);
  return [...bytes].map(([storage, sum]) => ({ storage, bytes: sum }));
}

/**
 * `allocatedBytes`: the sum of virtual sizes already promised per storage. Thin storages accept sizes beyond their
 * capacity and fail every guest on them later, and a restore onto a full one ends `OK` with a damaged file system;
 * so the room is checked before, against free bytes and against the overcommit.
 */
export function admitSpace(
  demands: readonly SpaceDemand[],
  storages: readonly StorageRow[],
  allocatedBytes: ReadonlyMap<StorageId, number>,
  limits: Pick<HostPolicy['limits'], 'spaceFactor' | 'overcommit'>,
): SpaceVerdict {
  for (const { storage, bytes } of demands) {
    const row = storages.find((candidate) => candidate.storage === storage);
    const no = (text: string): SpaceVerdict => ({ is: 'refused', storage, text });
    if (row === undefined) return no('it is not visible to the agent, so its free space is unknown');
    if (!row.enabled) return no('it is disabled');
    if (!row.active) return no('it is not active, so its free space is unknown');
    if (!row.content.includes('rootdir')) return no('it does not take container volumes (content rootdir)');
    if (!(row.totalBytes > 0) || !Number.isFinite(row.availableBytes)) return no('its free space is unknown');
    const wanted = bytes * limits.spaceFactor;
    if (row.availableBytes < wanted)
      return no(`it has ${inGiB(row.availableBytes)} free, ${inGiB(wanted)} are required`);
    const promised = (allocatedBytes.get(storage) ?? 0) + bytes;
    const capacity = row.totalBytes * limits.overcommit;
    if (promised > capacity)
      return no(`volumes of ${inGiB(promised)} would be promised on it, ${inGiB(capacity)} are allowed`);
  }
  return { is: 'enough' };
}

const inGiB = (bytes: number): string => `${(bytes / gib).toFixed(1)} GiB`;
