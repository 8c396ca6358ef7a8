/**
 * Hosts as operators see them. Derived at the moment of asking, from receipt times on the hub's clock. Pure. Whether a
 * host is there is judged where the alerts judge it.
 */
import { heldReference, hostEpoch, parseVersionedJson, reportAsOf, reportKind } from '@felhom/protocol';
import type { HostDetail, HostState, HostSummary, HeldReference, Report, SignedStatement } from '@felhom/protocol';
import type { Liveness } from '../liveness/judge.ts';
import type { HostRow } from '../store/store.ts';
import { readHeartbeat } from './heartbeat.ts';

/** `liveness` is that of the watch at `now`. */
export interface HostViews {
  summarise(host: HostRow, liveness: Liveness, now: number): HostSummary;
  detail(host: HostRow, kept: KeptBesides, liveness: Liveness, now: number): HostDetail;
}

/** What the hub keeps of a host beside its row. */
export interface KeptBesides {
  readonly statement: SignedStatement | undefined;
  readonly mailbox: { readonly waiting: number; readonly taken: number };
  /** Of the epoch that the host is in. */
  readonly auditCopy: { readonly count: number; readonly full: boolean };
}

/**
 * Keeps the last parsed report per host, because a dashboard asks every second and reports change seldom. Kept by its
 * text: whoever changes the database changes no digest, and an idle host sends no other report for a day.
 */
export function createHostViews(): HostViews {
  const parsed = new Map<string, { text: string; report: Report | undefined }>();
  const reportOf = (host: HostRow): Report | undefined => {
    if (host.report === undefined) return undefined;
    const known = parsed.get(host.hostId);
    if (known?.text === host.report.text) return known.report;
    const report = readReport(host.report.text);
    parsed.set(host.hostId, { text: host.report.text, report });
    return report;
  };
  return {
    summarise: (host, liveness, now) => summaryOf(host, reportOf(host), liveness, now),
    detail: (host, kept, liveness, now) => detailOf(host, kept, reportOf(host), liveness, now),
  };
}

function detailOf(
  host: HostRow,
  { statement, mailbox, auditCopy }: KeptBesides,
  report: Report | undefined,
  liveness: Liveness,
  now: number,
): HostDetail {
  const epoch = hostEpoch.safeParse(host.contact?.hostEpoch);
  const heartbeat = readHeartbeat(host.contact, liveness);
  // The host's clock, as far as the hub can tell without asking it again.
  const hostNow = now + (heartbeat?.at === undefined ? 0 : heartbeat.at - (host.contact?.at ?? now));
  return {
    ...summaryOf(host, report, liveness, now),
    ...(report === undefined || host.report === undefined
      ? {}
      : { report: reportAsOf(report, hostNow, heartbeat?.lastPassAt), reportAt: host.report.at }),
    ...(heartbeat === undefined ? {} : { heartbeat }),
    ...(host.stale === undefined
      ? {}
      : {
          stale: {
            lineage: host.stale.lineage,
            generation: host.stale.generation,
            since: host.stale.since,
            hasText: host.stale.text !== undefined,
          },
        }),
    ...(host.fork === undefined ? {} : { fork: host.fork }),
    ...(host.auditFork === undefined ? {} : { auditFork: host.auditFork }),
    ...(statement === undefined ? {} : { statement }),
    ...(epoch.success ? { hostEpoch: epoch.data } : {}),
    mailbox,
    auditCopy,
  };
}

function summaryOf(host: HostRow, report: Report | undefined, liveness: Liveness, now: number): HostSummary {
  const { contact, desired, snoozedUntil } = host;
  const held = readHeld(host);
  return {
    hostId: host.hostId,
    state: stateOf(host, report, liveness),
    createdAt: host.createdAt,
    ...(contact === undefined ? {} : { lastContactAt: contact.at, agentVersion: contact.agentVersion }),
    ...(desired === undefined ? {} : { desired: { lineage: desired.lineage, generation: desired.generation } }),
    ...(held === undefined ? {} : { held }),
    guests: {
      total: report?.guests.length ?? 0,
      running: report?.guests.filter((guest) => guest.status === 'running').length ?? 0,
      drifted: report?.guests.filter((guest) => guest.drift.length > 0).length ?? 0,
    },
    sagas: report?.sagas.length ?? 0,
    parked: report?.parked.length ?? 0,
    findings: {
      total: report?.findings.length ?? 0,
      worst: worstOf(report),
    },
    backups: {
      lines: report?.backups.length ?? 0,
      ok: report?.backups.filter(({ state }) => state === 'ok').length ?? 0,
      unprotectedBulk: report?.bulk.filter(hasNoCopy).length ?? 0,
    },
    blocked: report?.blocked.length ?? 0,
    jobsToSign: report?.jobs.filter(({ state, missing }) => state === 'waiting' && missing > 0).length ?? 0,
    converged: report?.converged ?? false,
    hold: report?.hold ?? false,
    ...(snoozedUntil === undefined || snoozedUntil <= now ? {} : { snoozedUntil }),
  };
}

/** What its owner accepted is told in the report and troubles nobody. */
const hasNoCopy = ({ decision, newestAt }: Report['bulk'][number]): boolean =>
  decision === 'undecided' || (decision === 'controller' && newestAt === undefined);

/** One word per host, the most pressing first. Green only after an authenticated contact that is recent. */
function stateOf(host: HostRow, report: Report | undefined, liveness: Liveness): HostState {
  if (liveness.is === 'never-seen' || liveness.is === 'silent') return liveness.is;
  if (host.stale !== undefined) return 'stale-hub';
  if (host.fork !== undefined || host.auditFork !== undefined) return 'forked';
  if (liveness.is !== 'up') return liveness.is;
  if (report === undefined) return 'no-report';
  if (report.parked.length > 0 || worstOf(report) === 'critical') return 'needs-attention';
  if (report.sagas.length > 0) return 'working';
  if (report.blocked.length > 0 || worstOf(report) === 'warning') return 'needs-attention';
  return report.converged ? 'ok' : 'working';
}

function worstOf(report: Report | undefined): 'none' | 'info' | 'warning' | 'critical' {
  const found = new Set(report?.findings.map((finding) => finding.severity));
  if (found.has('critical')) return 'critical';
  if (found.has('warning')) return 'warning';
  return found.has('info') ? 'info' : 'none';
}

/** A report of another release that this one cannot read shows as no report, not as an empty one. */
function readReport(text: string): Report | undefined {
  const parsed = parseVersionedJson(reportKind, text);
  return parsed.is === 'ok' ? parsed.value : undefined;
}

function readHeld(host: HostRow): HeldReference | undefined {
  if (host.contact === undefined) return undefined;
  try {
    return heldReference.safeParse(JSON.parse(host.contact.held)).data;
  } catch {
    // One damaged row must not take the whole fleet out of sight.
    return undefined;
  }
}
