/** Undo windows of restores: what people are told of them. */
import type { Finding } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { RestoreRecord, WindowDecision } from '../restores/index.ts';
import type { Look } from './look.ts';

/** Ends the undo window of the restore of this saga, which the restore's own signature covers [R16]. */
export type FinishWindow = (saga: string, signal: AbortSignal) => Promise<void>;

export function windowFindings(
  records: readonly RestoreRecord[],
  decisions: ReadonlyMap<string, WindowDecision>,
  now: number,
): readonly Finding[] {
  return records.flatMap((record): Finding[] => {
    if (decisions.get(record.id) !== 'ask') return [];
    return [
      {
        key: 'restore.window-presses',
        severity: 'warning',
        subject: record.guest.name,
        text: `the guest as it was before the restore of ${record.guest.name} takes room that runs short`,
        advice: {
          text: 'End the undo window early by a signed job, or make room.',
          command: `felhom job finish HOST ${record.id}`,
        },
        since: now,
      },
    ];
  });
}

/** Storages with less room than the policy's reserve. */
export const shortOfRoom = ({ storages = [] }: Look, { backups }: HostPolicy): ReadonlySet<string> =>
  new Set(
    storages.flatMap(({ storage, active, totalBytes, availableBytes }) =>
      active && totalBytes > 0 && availableBytes * 100 < totalBytes * backups.reservePercent ? [storage] : [],
    ),
  );
