/**
 * What vzdump leaves out: volumes whose copies the guest's controller makes and reports, or nobody makes [R25]. Until a
 * controller reports one, the volume counts as unprotected. The guest is the author of its reports: a lie harms it only.
 */
import { z } from 'zod';
import { guestUid } from '@felhom/protocol';
import type { DesiredGuest, GuestUid, LocalBody, Report } from '@felhom/protocol';
import type { Clock } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const bulkRecord = z.strictObject({
  guest: guestUid,
  volume: z.string().max(40),
  newestAt: time.optional(),
  checkedAt: time.optional(),
  failed: z.strictObject({ at: time, text: z.string().max(300) }).optional(),
});
export type BulkRecord = z.output<typeof bulkRecord>;
export type ReportedBulk = Report['bulk'][number];

export interface BulkReports {
  /** A copy that failed leaves the newest good one as it was. */
  put(guest: GuestUid, report: LocalBody<'bulk'>): void;
  of(guest: GuestUid, volume: string): BulkRecord | undefined;
  /** One line per volume that desired state leaves out of backups. */
  lines(guest: GuestUid, desired: Pick<DesiredGuest, 'name' | 'volumes'>): readonly ReportedBulk[];
  forget(guest: GuestUid): void;
}

export interface BulkNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>;
  readonly clock: Pick<Clock, 'now'>;
}

const prefix = 'bulk/';

export function createBulkReports({ documents, clock }: BulkNeeds): BulkReports {
  const keyOf = (guest: GuestUid, volume: string): string => `${prefix}${guest}/${volume}`;
  const of = (guest: GuestUid, volume: string): BulkRecord | undefined => {
    const stored = documents.get(keyOf(guest, volume));
    return stored === undefined ? undefined : bulkRecord.parse(stored.body);
  };
  return {
    of,
    put(guest, report) {
      const { volume } = report;
      const before = of(guest, volume);
      // A copy of tomorrow would never be late.
      const at = Math.min(report.at, Math.trunc(clock.now()));
      const latest = (one: number | undefined, other: number | undefined): { is?: number } => {
        const known = [one, other].filter((when) => when !== undefined);
        return known.length === 0 ? {} : { is: Math.max(...known) };
      };
      const newest = latest(before?.newestAt, report.failed === undefined ? at : undefined).is;
      const checked = latest(
        before?.checkedAt,
        report.checkedAt === undefined || report.failed !== undefined ? undefined : Math.min(report.checkedAt, at),
      ).is;
      const body: BulkRecord = {
        guest,
        volume,
        ...(newest === undefined ? {} : { newestAt: newest }),
        ...(checked === undefined ? {} : { checkedAt: checked }),
        ...(report.failed === undefined ? {} : { failed: { at, text: report.failed.slice(0, 300) } }),
      };
      documents.put({ key: keyOf(guest, volume), v: 1, body });
    },
    lines: (guest, desired) =>
      desired.volumes
        .filter(({ backup }) => !backup)
        .map(({ name, ownBackup }): ReportedBulk => {
          const known = of(guest, name);
          const decision = decisionOf(ownBackup);
          return {
            guest: desired.name,
            volume: name,
            decision,
            ...(ownBackup?.is === 'controller' ? { target: ownBackup.target } : {}),
            ...(known?.newestAt === undefined
              ? {}
              : { newestAt: known.newestAt, rpoMs: Math.max(0, Math.trunc(clock.now()) - known.newestAt) }),
            ...(known?.checkedAt === undefined ? {} : { checkedAt: known.checkedAt }),
          };
        }),
    forget(guest) {
      for (const { key } of documents.list(`${prefix}${guest}/`)) documents.remove(key);
    },
  };
}

export function decisionOf(ownBackup: DesiredGuest['volumes'][number]['ownBackup']): ReportedBulk['decision'] {
  if (ownBackup === undefined) return 'undecided';
  return ownBackup.is === 'controller' ? 'controller' : 'none-acknowledged';
}
