/** What a round has to know of the node besides what the pass has seen. Reads only, and as little as will do. */
import type { StorageId, VolumeId } from '@felhom/protocol';
import type { BackupRecord, EffectiveTier } from '../catalogue/index.ts';
import type { Clock } from '../kernel/index.ts';
import type { PveTasks, StorageRow, StoreItem, Stores } from '../ports/proxmox.ts';

export interface LookNeeds {
  readonly stores: Stores;
  readonly tasks: PveTasks;
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>;
  readonly away: (storage: string) => unknown;
}

export interface Look {
  /** A vzdump of anybody runs on the node, or nobody could be asked. */
  readonly nodeBusy: boolean;
  /** Archives per storage, where it answered and is active; others are missing here, which is not empty. */
  readonly archives: ReadonlyMap<StorageId, readonly StoreItem[]>;
  /** Wall time at which they were asked for: what was written later is in none of them. */
  readonly listedAt: number;
  readonly storages: readonly StorageRow[] | undefined;
}

export interface Looker {
  look(tiers: readonly EffectiveTier[], signal: AbortSignal): Promise<Look>;
  /** What a storage listed last. */
  listed(storage: string): ReadonlySet<VolumeId> | undefined;
  /** Something was written or removed: the next look lists again. */
  refresh(): void;
}

/** Copies that can be read now; of a guest of which none can, all: it is not without copies, and what it needs is said. */
export function inReach(records: readonly BackupRecord[], away: LookNeeds['away']): readonly BackupRecord[] {
  const present = records.filter(({ storage }) => away(storage) === undefined);
  const served = new Set(present.map(({ guest }) => guest));
  return [...present, ...records.filter(({ guest }) => !served.has(guest))];
}

/** A listing makes Proxmox touch the storage; between backups nothing changes that anybody waits for. */
const listingAgeMs = 10 * 60_000;

export function createLooker({ stores, tasks, clock, away }: LookNeeds): Looker {
  let archives: ReadonlyMap<StorageId, readonly StoreItem[]> = new Map();
  let storages: readonly StorageRow[] | undefined;
  let listedAt: number | undefined;
  let listedWall = 0;
  let listedFor = '';

  const list = async (wanted: readonly StorageId[], signal: AbortSignal): Promise<void> => {
    listedWall = clock.now();
    const rows = await stores.list(signal);
    storages = rows.is === 'done' ? rows.value : undefined;
    const next = new Map<StorageId, readonly StoreItem[]>();
    for (const storage of wanted) {
      if (storages?.find((row) => row.storage === storage)?.active !== true) continue;
      const items = await stores.contents(storage, { content: 'backup' }, signal);
      if (items.is === 'done') next.set(storage, items.value);
    }
    archives = next;
    listedAt = clock.monotonicMs();
  };

  /** What was listed of a target that has gone since says nothing any more. */
  const present = (): typeof archives => new Map([...archives].filter(([storage]) => away(storage) === undefined));

  return {
    async look(tiers, signal) {
      const wanted = [...new Set(tiers.map(({ storage }) => storage))]
        .filter((storage) => away(storage) === undefined)
        .toSorted();
      const asked = wanted.join();
      if (wanted.length === 0) return { nodeBusy: false, archives: new Map(), listedAt: listedWall, storages };
      if (listedAt === undefined || asked !== listedFor || clock.monotonicMs() - listedAt >= listingAgeMs) {
        await list(wanted, signal);
        listedFor = asked;
      }
      const running = await tasks.find({ type: 'vzdump' }, signal);
      return {
        nodeBusy: running.is !== 'done' || running.value.some(({ endTime }) => endTime === undefined),
        archives: present(),
        listedAt: listedWall,
        storages,
      };
    },
    listed: (storage) => {
      const items = present().get(storage as StorageId);
      return items === undefined ? undefined : new Set(items.map(({ volid }) => volid));
    },
    refresh: () => {
      listedAt = undefined;
    },
  };
}
