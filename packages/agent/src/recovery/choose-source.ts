/**
 * From which backup a lost guest comes back. Pure.
 *
 * Proven ones first; of these the fastest tier, and there the newest. A slower tier wins only where its copy is more than
 * a day newer: a day of a customer's work is worth more than the hours that a slow restore takes, an hour of it is not.
 * Without a proven one the newest unproven is better than none, and it is said.
 */
import type { BackupRecord } from '../catalogue/index.ts';
import type { HostPolicy } from '../host-policy.ts';

export interface SourceChoice {
  readonly chosen: BackupRecord | undefined;
  readonly proven: boolean;
  /** Left out, and why, in words; newest first. */
  readonly skipped: readonly { readonly record: BackupRecord; readonly why: string }[];
}

const worthWaitingForMs = 24 * 3_600_000;

/** `records`: of one guest, over all its VMIDs [R30]. */
export function chooseSource(
  records: readonly BackupRecord[],
  targets: HostPolicy['backups']['targets'],
): SourceChoice {
  const newestFirst = records.toSorted((a, b) => b.takenAt - a.takenAt);
  const skipped: { record: BackupRecord; why: string }[] = [];
  const usable: BackupRecord[] = [];
  for (const record of newestFirst) {
    const why = whyUnusable(record);
    if (why === undefined) usable.push(record);
    else skipped.push({ record, why });
  }
  const proven = usable.filter((record) => record.proven !== undefined);
  const candidates = proven.length > 0 ? proven : usable;
  return { chosen: best(candidates, targets), proven: proven.length > 0, skipped };
}

function best(
  newestFirst: readonly BackupRecord[],
  targets: HostPolicy['backups']['targets'],
): BackupRecord | undefined {
  const fast = newestFirst.find((record) => classOf(record, targets) === 'fast');
  const [newest] = newestFirst;
  if (fast === undefined || newest === undefined) return newest;
  return newest.takenAt - fast.takenAt > worthWaitingForMs ? newest : fast;
}

/** By where it lies: a tier may have pointed elsewhere when it was taken. A storage that is no target any more is slow. */
export function classOf(
  record: Pick<BackupRecord, 'storage'>,
  targets: HostPolicy['backups']['targets'],
): 'fast' | 'slow' {
  return Object.values(targets).some(({ storage, class: speed }) => storage === record.storage && speed === 'fast')
    ? 'fast'
    : 'slow';
}

function whyUnusable({ integrity, failedTest, proven, risk }: BackupRecord): string | undefined {
  if (integrity !== undefined && integrity.is !== 'ok') return `${integrity.is}: ${integrity.text}`;
  if (failedTest !== undefined && failedTest.at >= (proven?.at ?? 0)) return `its last test failed: ${failedTest.text}`;
  if (!risk.tokenCanRestore || risk.refusals.length > 0)
    return `the agent cannot restore it: ${risk.refusals[0] ?? 'only root can'}`;
  return undefined;
}
