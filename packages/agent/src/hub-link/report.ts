/** Cuts what the agent knows to the bounds of the wire. Telemetry is shed before anything else is [design: bounds]. */
import { report, reportBounds } from '@felhom/protocol';
import type { Report } from '@felhom/protocol';

/** Bytes of a report as JSON, below what one poll may carry together with the held document. */
export const maxReportBytes = 2_097_152;

/** The report before its lists are cut. */
export type ReportFacts = Omit<Report, 'v' | 'cut'>;

/**
 * The newest entries of every list survive; texts are shortened with "…". The result always passes the schema; an
 * entry that does not even then (a bug elsewhere) is dropped and counted, so that it cannot silence the host.
 */
export function fitReport(facts: ReportFacts): Report {
  let shrink = 1;
  let fitted = cutTo(facts, shrink);
  while (Buffer.byteLength(JSON.stringify(fitted), 'utf8') > maxReportBytes && shrink < 1024) {
    shrink *= 2;
    fitted = cutTo(facts, shrink);
  }
  return fitted;
}

function cutTo(facts: ReportFacts, shrink: number): Report {
  const { guests, sagas, parked, findings, blocked, jobs, strangers, audit } = report.shape;
  const { backups, bulk, copies, restoreTests, restores, queue, targets, disks } = report.shape;
  const most = (bound: number) => Math.max(1, Math.floor(bound / shrink));
  const kept = {
    guests: keep(facts.guests, most(reportBounds.guests), guests.element),
    sagas: keep(facts.sagas, most(reportBounds.sagas), sagas.element),
    parked: keep(facts.parked, most(reportBounds.parked), parked.element),
    findings: keep(facts.findings, most(reportBounds.findings), findings.element),
    blocked: keep(facts.blocked, most(reportBounds.blocked), blocked.element),
    jobs: keep(facts.jobs, most(reportBounds.jobs), jobs.element),
    strangers: keep(facts.strangers, most(reportBounds.strangers), strangers.element),
    audit: keep(facts.audit, most(reportBounds.audit), audit.element),
    backups: keep(facts.backups, most(reportBounds.backups), backups.unwrap().element),
    bulk: keep(facts.bulk, most(reportBounds.bulk), bulk.unwrap().element),
    copies: keep(facts.copies, most(reportBounds.copies), copies.unwrap().element, 'newest-first'),
    restoreTests: keep(
      facts.restoreTests,
      most(reportBounds.restoreTests),
      restoreTests.unwrap().element,
      'newest-first',
    ),
    restores: keep(facts.restores, most(reportBounds.restores), restores.unwrap().element),
    queue: keep(facts.queue, most(reportBounds.queue), queue.unwrap().element),
    targets: keep(facts.targets, most(reportBounds.targets), targets.unwrap().element),
    disks: keep(facts.disks, most(reportBounds.disks), disks.unwrap().element),
  };
  return {
    ...facts,
    v: 1,
    guests: kept.guests.kept,
    sagas: kept.sagas.kept,
    parked: kept.parked.kept,
    findings: kept.findings.kept,
    blocked: kept.blocked.kept,
    jobs: kept.jobs.kept,
    strangers: kept.strangers.kept,
    audit: kept.audit.kept,
    backups: kept.backups.kept,
    bulk: kept.bulk.kept,
    copies: kept.copies.kept,
    restoreTests: kept.restoreTests.kept,
    restores: kept.restores.kept,
    queue: kept.queue.kept,
    targets: kept.targets.kept,
    disks: kept.disks.kept,
    cut: {
      guests: kept.guests.cut,
      sagas: kept.sagas.cut,
      parked: kept.parked.cut,
      findings: kept.findings.cut,
      blocked: kept.blocked.cut,
      jobs: kept.jobs.cut,
      strangers: kept.strangers.cut,
      audit: kept.audit.cut,
      backups: kept.backups.cut,
      bulk: kept.bulk.cut,
      copies: kept.copies.cut,
      restoreTests: kept.restoreTests.cut,
      restores: kept.restores.cut,
      queue: kept.queue.cut,
      targets: kept.targets.cut,
      disks: kept.disks.cut,
    },
  };
}

interface Checks<T> {
  safeParse(raw: unknown): { success: true; data: T } | { success: false; error: { issues: readonly Issue[] } };
}
interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly maximum?: unknown;
}

function keep<T>(
  list: readonly T[],
  most: number,
  schema: Checks<T>,
  order: 'newest-last' | 'newest-first' = 'newest-last',
): { kept: T[]; cut: number } {
  const kept: T[] = [];
  for (const entry of order === 'newest-first' ? list.slice(0, most) : list.slice(-most)) {
    const fitted = fitEntry(entry, schema);
    if (fitted !== undefined) kept.push(fitted);
  }
  return { kept, cut: list.length - kept.length };
}

/** Shortens exactly the strings and lists that the schema calls too long. */
function fitEntry<T>(entry: T, schema: Checks<T>): T | undefined {
  const first = schema.safeParse(entry);
  if (first.success) return first.data;
  const copy: unknown = structuredClone(entry);
  for (const issue of first.error.issues) {
    if (issue.code !== 'too_big' || typeof issue.maximum !== 'number') return undefined;
    shortenAt(copy, issue.path, issue.maximum);
  }
  const second = schema.safeParse(copy);
  return second.success ? second.data : undefined;
}

function shortenAt(root: unknown, path: readonly PropertyKey[], most: number): void {
  const last = path.at(-1);
  if (last === undefined) return;
  let holder: unknown = root;
  for (const key of path.slice(0, -1)) holder = isRecord(holder) ? holder[key] : undefined;
  if (!isRecord(holder)) return;
  const value = holder[last];
  if (typeof value === 'string') holder[last] = `${value.slice(0, most - 1)}…`;
  else if (Array.isArray(value)) holder[last] = value.slice(-most);
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}
