/** Whether there is room for a second guest beside the one that is. Unknown is never enough. */
import { reason } from '@felhom/protocol';
import type { StorageId } from '@felhom/protocol';
import { admitSpace } from '../bring-up/index.ts';
import { storageOf } from '../guests/pve-config.ts';
import { done, refused } from '../kernel/saga.ts';
import type { Outcome } from '../kernel/saga.ts';
import type { StorageRow } from '../ports/proxmox.ts';
import type { RestoreNeeds } from './needs.ts';

const gib = 1024 ** 3;

export function roomFor(
  needs: Pick<RestoreNeeds, 'registry' | 'policy' | 'restores'>,
  cannot: string,
  room: readonly { readonly storage: StorageId; readonly sizeGiB: number }[],
  storages: readonly StorageRow[],
): Outcome<void> {
  const demands = new Map<StorageId, number>();
  for (const { storage, sizeGiB } of room) demands.set(storage, (demands.get(storage) ?? 0) + sizeGiB * gib);
  const promised = new Map<StorageId, number>();
  const volumes = [
    ...needs.registry.all().flatMap((record) => record.volumes),
    ...needs.restores.all().flatMap((record) => (record.state === 'undoable' ? (record.old?.volumes ?? []) : [])),
  ];
  for (const { volid, sizeGiB } of volumes)
    promised.set(storageOf(volid), (promised.get(storageOf(volid)) ?? 0) + sizeGiB * gib);
  const space = admitSpace(
    [...demands].map(([storage, bytes]) => ({ storage, bytes })),
    storages,
    promised,
    needs.policy().limits,
  );
  return space.is === 'enough'
    ? done(undefined)
    : refused(reason('guest.no-space', `${cannot}: no room on storage ${space.storage}: ${space.text}`));
}
