/** Which copy a job names, and what can be said of it: from the host's own report, by its bytes [R8]. Pure. */
import type { ReportedCopy } from '@felhom/protocol';
import { formatBytes, formatDuration } from '@felhom/terminal';
import { timeText } from '../time-text.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { guestNamed, notShown, option, requiredOption, usage } from './job-file.ts';
import type { Given } from './job-file.ts';

export interface BackupBytes {
  readonly archive: string;
  readonly sha256: string;
}

export const backupOptions = [
  ['--backup <which>', 'newest, newest-proven, or the id that felhom backups shows'],
  ['--tier <tier>', 'only copies of this tier'],
  ['--archive <volume>', 'instead of --backup: volume id of a copy that the report does not list'],
  ['--sha256 <digest>', 'with --archive: SHA-256 of its bytes'],
] as const;

/** Shortest part of an id or of a digest that may stand for it. */
const shortest = 6;

export function backupGiven(host: VerifiedHost, guest: string, given: Given): BackupBytes {
  const archive = option(given, 'archive');
  if (archive !== undefined) return { archive, sha256: requiredOption(given, 'sha256') };
  const { archive: found, sha256 } = copyNamed(host, guest, requiredOption(given, 'backup'), option(given, 'tier'));
  return { archive: found, sha256 };
}

function copyNamed(host: VerifiedHost, guest: string, which: string, tier: string | undefined): ReportedCopy {
  const { uid } = guestNamed(host, guest);
  const copies = host.report.copies
    .filter((copy) => copy.uid === uid && (tier === undefined || copy.tier === tier))
    .toSorted((a, b) => b.at - a.at);
  const where = tier === undefined ? '' : ` on tier ${tier}`;
  const next = `felhom backups ${host.hostId} --guest ${guest} lists those that there are`;
  if (which !== 'newest' && which !== 'newest-proven') {
    const exact = copies.filter(({ id }) => id === which);
    const begun = copies.filter(({ id, sha256 }) => id.startsWith(which) || sha256.startsWith(which));
    const found = exact.length > 0 ? exact : which.length < shortest ? [] : begun;
    if (found.length > 1) throw usage(`${JSON.stringify(which)} stands for ${found.length} backups of ${guest}`);
    if (found[0] !== undefined) return found[0];
    throw notShown(`${host.hostId} reports no backup ${JSON.stringify(which)} of ${guest}${where}`, next);
  }
  const proven = which === 'newest-proven';
  const newest = copies.find((copy) => !proven || copy.proven);
  // The list of copies may be cut where there are many; the line of the tier still tells which one is the newest.
  const told = host.report.backups
    .filter((line) => line.uid === uid && (tier === undefined || line.tier === tier))
    .flatMap((line) => (proven ? line.proven : line.newest) ?? [])
    .reduce((latest, { at }) => Math.max(latest, at), 0);
  if (newest !== undefined && newest.at >= told) return newest;
  if (told > 0)
    throw notShown(
      `the newest${proven ? ' proven' : ''} backup of ${guest}${where}, of ${timeText(told)}, is not among the copies that ${host.hostId} reports`,
      'name it by --archive and --sha256, from felhom-agent on the host',
    );
  throw notShown(`${host.hostId} reports no${proven ? ' proven' : ''} backup of ${guest}${where}`, next);
}

/** The copy with exactly these bytes, as far as the host reports it. */
export function copyOf(host: VerifiedHost, { archive, sha256 }: BackupBytes): ReportedCopy | undefined {
  return host.report.copies.find((copy) => copy.archive === archive && copy.sha256 === sha256);
}

/** "backup ID on tier nas, taken 2026-01-09 03:00:00 UTC, 21 h before now". */
export function backupWords(host: VerifiedHost, backup: BackupBytes): string {
  const copy = copyOf(host, backup);
  if (copy === undefined) return `backup ${backup.archive}, which the host does not report`;
  return `backup ${copy.id} of tier ${copy.tier}, taken ${timeText(copy.at)} UTC (${ageOf(host, copy)} old)`;
}

const ageOf = (host: VerifiedHost, { at }: ReportedCopy): string => formatDuration(Math.max(0, host.statement.at - at));

/** What somebody who restores from it should know. */
export function copyNotes(host: VerifiedHost, backup: BackupBytes): readonly string[] {
  const bytes = `It is ${backup.archive} with SHA-256 ${backup.sha256}; other bytes under that name are refused.`;
  const copy = copyOf(host, backup);
  if (copy === undefined)
    return [bytes, 'Whether it was ever proven, how old it is and whose it is cannot be told from the report.'];
  const line = host.report.backups.find(({ uid, tier }) => uid === copy.uid && tier === copy.tier);
  const took =
    line?.rtoMs === undefined ? '' : ` Restoring took ${formatDuration(line.rtoMs)} when it was last tested.`;
  return [
    bytes,
    copy.proven
      ? `A restore-test proved it.${took}`
      : `NO restore-test has proven this copy: it may not come back as it was.${took}`,
    copy.consistency === 'app'
      ? `Its apps were held still when it was taken; ${formatBytes(copy.sizeBytes)}.`
      : `It was taken without its apps held still, as after a power cut; ${formatBytes(copy.sizeBytes)}.`,
  ];
}
