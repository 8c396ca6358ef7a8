/** When the guest that a restore replaced is freed. Pure. */
import type { RestoreRecord } from './restore-store.ts';
import { isKept } from './restore-store.ts';

export interface WindowMoment {
  /** Wall time of the host, milliseconds since the epoch. */
  readonly now: number;
  /** Free bytes of the fullest storage that kept volumes lie on; `undefined`: not known, which presses nobody. */
  readonly freeBytes: number | undefined;
  /** What must stay free there. */
  readonly reserve: number;
}

/**
 *   keep        the window is open
 *   finish-due  it has ended: the restore's own signature covers that the old guest is freed now [R16]
 *   ask         it is open and room runs short: people may end it early, by a signed job and by nothing else
 */
export type WindowDecision = 'keep' | 'finish-due' | 'ask';

export function decideWindow(
  records: readonly RestoreRecord[],
  { now, freeBytes, reserve }: WindowMoment,
): ReadonlyMap<string, WindowDecision> {
  const short = freeBytes !== undefined && freeBytes < reserve;
  return new Map(
    records.filter(isKept).map((record) => {
      if (record.until !== undefined && now >= record.until) return [record.id, 'finish-due'] as const;
      return [record.id, short ? 'ask' : 'keep'] as const;
    }),
  );
}
