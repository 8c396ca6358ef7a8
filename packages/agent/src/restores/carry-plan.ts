/**
 * Which bulk volumes go along when a guest is restored, and whether Proxmox can hand them over: known before the first
 * step, because a volume that is refused half-way is one that nobody's config names. Pure.
 */
import { reason } from '@felhom/protocol';
import type { Reason, StorageId, VolumeId } from '@felhom/protocol';
import { formatProperties } from '../guests/property-string.ts';
import { isVolumeId } from '../guests/pve-config.ts';
import type { DiskView, GuestView } from '../guests/pve-config.ts';
import type { StorageRow } from '../ports/proxmox.ts';

/** One volume that is handed over, and back on trouble. It keeps its config key. */
export interface CarryItem {
  readonly key: string;
  /** Mount path in the guest. */
  readonly path: string;
  readonly storage: StorageId;
  /** As it was when it was planned; a hand-over renames it. */
  readonly volid: VolumeId;
  /** The raw config value, with all options of the mount. */
  readonly line: string;
}

export type CarryPlan =
  { readonly is: 'possible'; readonly items: readonly CarryItem[] } | { readonly is: 'refused'; readonly why: Reason };

export interface CarryFacts {
  readonly view: Pick<GuestView, 'disks'>;
  readonly storages: readonly StorageRow[];
  /** Names of its snapshots: one holds every volume that the guest had then. */
  readonly snapshots: readonly string[];
}

/** What a restore leaves alone: everything that its backup does not hold [R1]. */
export const bulkOf = (view: Pick<GuestView, 'disks'>): readonly DiskView[] =>
  view.disks.filter((disk) => !disk.backup);

export function carryPlan(name: string, { view, storages, snapshots }: CarryFacts): CarryPlan {
  const no = (text: string): CarryPlan => ({
    is: 'refused',
    why: reason('restore.cannot-carry', `cannot carry the bulk volumes of guest ${name} over: ${text}`),
  });
  const bulk = bulkOf(view);
  const [snapshot] = snapshots;
  // PVE: "Cannot move volume used by a snapshot to another container".
  if (bulk.length > 0 && snapshot !== undefined)
    return no(`snapshot ${snapshot} holds them; drop the snapshots of the guest first`);
  for (const disk of bulk) {
    if (!isVolumeId(disk.volid)) return no(`${disk.path} is a path or device of the host and no volume`);
    const row = storages.find(({ storage }) => storage === disk.storage);
    if (row === undefined) return no(`storage ${disk.storage} of ${disk.path} is not visible to the agent`);
    if (!row.enabled || !row.active) return no(`storage ${disk.storage} of ${disk.path} is not online`);
    const problem = whyNotRenamed(row.type, disk);
    if (problem !== undefined) return no(`${disk.volid} (${disk.path}) ${problem}`);
  }
  return {
    is: 'possible',
    items: bulk.map((disk) => ({
      key: disk.key,
      path: disk.path,
      storage: disk.storage,
      volid: disk.volid,
      line: formatProperties(disk.raw, 'volume'),
    })),
  };
}

/** Where a volume is a file. PVE: Storage/Plugin.pm, feature `rename` of raw, qcow2 and vmdk; not of a plain directory. */
const files = new Set(['dir', 'nfs', 'cifs', 'cephfs', 'glusterfs']);
/** Where it is a device or dataset of its own. PVE: feature `rename` of LvmThinPlugin, LVMPlugin, ZFSPoolPlugin, BTRFSPlugin, RBDPlugin. */
const blocks = new Set(['lvmthin', 'lvm', 'zfspool', 'btrfs', 'rbd']);

function whyNotRenamed(type: string, disk: DiskView): string | undefined {
  if (blocks.has(type)) return undefined;
  if (!files.has(type)) return `lies on a storage of type ${type}, which is not known to rename volumes`;
  if (/\.(?:raw|qcow2|vmdk)$/.test(disk.volid) && (disk.sizeGiB ?? 0) > 0) return undefined;
  return 'is a plain directory, which Proxmox cannot hand to another guest; move it into an image volume first';
}
