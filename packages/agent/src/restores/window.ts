/** When the guest that a restore replaced is freed. Pure. */
import { storageOf } from '../guests/pve-config.ts';
import type { RestoreRecord } from './restore-store.ts';
import { isKept } from './restore-store.ts';

export interface WindowMoment {
  /** Wall time of the host, milliseconds since the epoch. */
  readonly now: number;
  /** Storages with less free room than the policy's reserve; one that nobody knows presses nobody. */
  readonly short: ReadonlySet<string>;
}

/**
 *   keep        the window is open
 *   finish-due  it has ended: the restore's own signature covers that the old guest is freed now [R16]
 *   ask         it is open and room runs short: people may end it early, by a signed job and by nothing else
 */
export type WindowDecision = 'keep' | 'finish-due' | 'ask';

export function decideWindow(
  records: readonly RestoreRecord[],
  { now, short }: WindowMoment,
): ReadonlyMap<string, WindowDecision> {
  return new Map(
    records.filter(isKept).map((record) => {
      if (record.until !== undefined && now >= record.until) return [record.id, 'finish-due'] as const;
      const presses = record.old.volumes.some(({ volid }) => short.has(storageOf(volid)));
      return [record.id, presses ? 'ask' : 'keep'] as const;
    }),
  );
}
