/** What open sagas are doing about copies, read from their own records: a queued one has none yet, only its parameters. */
import { z } from 'zod';
import type { GuestUid } from '@felhom/protocol';
import { foldSaga } from '../kernel/index.ts';
import type { Journal, SagaStatus } from '../kernel/index.ts';

const about = z.object({
  guest: z.object({ uid: z.string() }).optional(),
  tier: z.string().optional(),
  backup: z.object({ archive: z.string() }).optional(),
});

export interface UnderWay {
  readonly id: string;
  readonly name: string;
  readonly guest: GuestUid | undefined;
  readonly tier: string | undefined;
  /** The archive that it reads or removes. */
  readonly archive: string | undefined;
  readonly parked: boolean;
}

/**
 * Archives that something relies on. Not what is being pruned: whether retention lets it go is asked from within, and
 * its own turn must not keep it.
 */
export const archivesInUse = (work: readonly Pick<UnderWay, 'name' | 'archive'>[]): ReadonlySet<string> =>
  new Set(work.flatMap(({ name, archive }) => (name === 'prune-backup' ? [] : (archive ?? []))));

export function underWay(journal: Pick<Journal, 'recordsOf'>, status: readonly SagaStatus[]): readonly UnderWay[] {
  return status.map(({ id, name, parked }) => {
    const params = about.safeParse(foldSaga(journal.recordsOf(id))?.params);
    const { guest, tier, backup } = params.success ? params.data : {};
    return {
      id,
      name,
      guest: guest?.uid as GuestUid | undefined,
      tier,
      archive: backup?.archive,
      parked: parked !== undefined,
    };
  });
}

/** Storages that heavy work is on, or is queued for. */
export const heldStorages = (status: readonly SagaStatus[]): ReadonlySet<string> =>
  new Set(status.flatMap(({ lanes }) => lanes.flatMap((lane) => /^storage:(.*)$/.exec(lane)?.[1] ?? [])));
