/** Everything that is the matter with the fleet now, as causes of alerts. Pure. */
import type { HostId } from '@felhom/protocol';
import type { Cause } from '../alerts/alert.ts';
import { clipped, span } from '../alerts/plain-text.ts';
import type { Liveness } from './judge.ts';
import type { MassIncident } from './mass-silence.ts';
import { mostPerHost } from './report-facts.ts';
import type { ReportedFacts, ReportedFinding } from './report-facts.ts';

export interface HostFacts {
  readonly hostId: HostId;
  readonly liveness: Liveness;
  /** Of the last report; `undefined`: there was none. */
  readonly report: ReportedFacts | undefined;
  readonly fork: { readonly since: number; readonly text: string } | undefined;
  /** The audit log or the statements of the host contradict each other. */
  readonly auditFork: { readonly since: number; readonly text: string } | undefined;
  readonly stale: { readonly since: number; readonly generation: number } | undefined;
}

const hour = 60 * 60_000;
const day = 24 * hour;
export const trustWarningMs = 30 * day;
const trustCriticalMs = 7 * day;

/** Alerts of their own that one kind of finding may have on a host. */
export const mostPerFinding = 5;

/** `now` is the hub's. Texts of hosts are cut and stay on their line. */
export function causesOf(hosts: readonly HostFacts[], mass: MassIncident | undefined, now: number): Cause[] {
  const inMass = new Set(mass?.members);
  return [
    ...(mass === undefined ? [] : [massCause(mass, hosts.length)]),
    ...hosts.flatMap((host) => [
      ...(host.liveness.is === 'silent' && !inMass.has(host.hostId) ? [silenceCause(host.hostId, host.liveness)] : []),
      ...markCauses(host),
      ...reportCauses(host, now),
    ]),
  ];
}

function massCause(mass: MassIncident, all: number): Cause {
  return {
    key: 'fleet:many-silent',
    source: 'fleet',
    severity: 'critical',
    title: `${mass.most} of ${all} hosts fell silent together`,
    text:
      'Many hosts stopped polling within one window: probably the network of the hub itself, its address or its ' +
      'certificate. No alert per host is sent for them.',
    next: 'look at the network of the hub from outside first; felhom hosts shows who still polls',
    afterMs: 0,
  };
}

function silenceCause(hostId: HostId, liveness: Extract<Liveness, { lastContactAt: number }>): Cause {
  return {
    key: `silence:${hostId}`,
    source: 'silence',
    host: hostId,
    severity: 'critical',
    title: `${hostId} is silent`,
    text: `The host did not poll within its window of ${span(liveness.windowMs)}. Its guests may well be serving.`,
    next: `look at the box and its network; when it is down on purpose: felhom alerts snooze ${hostId} --hours N`,
    lastContactAt: liveness.lastContactAt,
    afterMs: 0,
  };
}

function markCauses({ hostId, fork, auditFork, stale }: HostFacts): Cause[] {
  const mark = { source: 'mark', host: hostId, afterMs: 0 } as const;
  return [
    ...(fork === undefined
      ? []
      : [
          {
            ...mark,
            key: `fork:${hostId}`,
            severity: 'critical' as const,
            title: `${hostId}: two agents, or a journal that was rolled back`,
            text: clipped(fork.text, 1000),
            next: `find out which; felhom hosts rekey ${hostId}, then felhom hosts clear-fork ${hostId}`,
          },
        ]),
    ...(auditFork === undefined
      ? []
      : [
          {
            ...mark,
            key: `audit-fork:${hostId}`,
            severity: 'critical' as const,
            title: `${hostId}: its audit log contradicts itself`,
            text: clipped(auditFork.text, 1000),
            next: `felhom audit verify ${hostId} shows where; felhom hosts clear-audit-fork ${hostId} once settled, both tales are kept`,
          },
        ]),
    ...(stale === undefined
      ? []
      : [
          {
            ...mark,
            key: `stale:${hostId}`,
            severity: 'warning' as const,
            title: `${hostId}: the hub is behind the host`,
            text: `The host holds generation ${stale.generation}, which the hub does not have; nothing is served to it.`,
            next: `felhom desired resolve ${hostId} --keep agent|hub`,
          },
        ]),
  ];
}

function reportCauses({ hostId, report, liveness }: HostFacts, now: number): Cause[] {
  if (liveness.is === 'never-seen') return [];
  const about = { source: 'report', host: hostId } as const;
  if (report === undefined || report.is === 'unreadable')
    return [
      {
        ...about,
        key: `report:${hostId}`,
        severity: 'warning',
        title: `${hostId}: no report that this hub can read`,
        text: 'The host polls, but what is the matter with it cannot be seen here.',
        next: 'bring agent and hub to versions that go together',
        afterMs: hour,
      },
    ];
  const { parked, trustExpiresAt } = report;
  const found = findingCauses(hostId, report.findings);
  const findings = found.slice(0, mostPerHost);
  const stopped = parked.slice(0, mostPerHost).map((saga): Cause => ({
    ...about,
    key: `parked:${hostId}:${clipped(saga.id, 120)}`,
    severity: 'warning',
    title: clipped(`${hostId}: parked for over an hour: ${saga.id}`, 160),
    text: clipped(saga.text, 1000),
    next: clipped(`on the host: ${saga.next}`, 500),
    afterMs: hour,
  }));
  const unsaid = found.length + parked.length - findings.length - stopped.length;
  return [
    ...findings,
    ...stopped,
    ...(unsaid === 0
      ? []
      : [
          {
            ...about,
            key: `more:${hostId}`,
            severity: 'critical' as const,
            title: `${hostId}: more than ${mostPerHost} things are the matter`,
            text: `More is the matter than is sent one by one.`,
            next: `felhom status ${hostId} shows all of it`,
            afterMs: 0,
          },
        ]),
    ...(trustExpiresAt === undefined ? [] : trustCause(hostId, trustExpiresAt, now)),
  ];
}

/**
 * One alert per finding; where one trouble has many subjects, such as a backup server that is down for forty guests, the
 * rest of them is one more. The oldest keep theirs, so that a new one neither ends nor begins what was sent before.
 */
function findingCauses(hostId: HostId, found: readonly ReportedFinding[]): Cause[] {
  const causes: Cause[] = [];
  for (const [key, ofKey] of Map.groupBy(found, (one) => one.key)) {
    for (const { severity, subject, text, next, afterMs } of ofKey.slice(0, mostPerFinding))
      causes.push({
        source: 'report',
        host: hostId,
        key: `finding:${hostId}:${key}:${clipped(subject, 120)}`,
        severity,
        title: clipped(`${hostId}: ${key} (${subject})`, 160),
        text: clipped(text, 1000),
        next: clipped(next, 500),
        afterMs,
      });
    const rest = ofKey.slice(mostPerFinding);
    if (rest.length === 0) continue;
    causes.push({
      source: 'report',
      host: hostId,
      key: `findings:${hostId}:${key}`,
      severity: rest.some(({ severity }) => severity === 'critical') ? 'critical' : 'warning',
      title: clipped(`${hostId}: ${key} of ${rest.length} more`, 160),
      text: clipped(`${key} of ${rest.map(({ subject }) => subject).join(', ')}`, 1000),
      next: `felhom status ${hostId} shows all of it; so many at once often have one cause`,
      afterMs: Math.min(...rest.map(({ afterMs }) => afterMs)),
    });
  }
  return causes;
}

function trustCause(hostId: HostId, expiresAt: number, now: number): Cause[] {
  const left = expiresAt - now;
  if (left > trustWarningMs) return [];
  return [
    {
      key: `trust:${hostId}`,
      source: 'report',
      host: hostId,
      severity: left > trustCriticalMs ? 'warning' : 'critical',
      title: `${hostId}: its trust document ${left > 0 ? 'expires soon' : 'has expired'}`,
      text: `From ${new Date(expiresAt).toISOString()} on nothing but a renewal of the trust document counts on this host.`,
      next: `sign a trust document with a later end for ${hostId}`,
      afterMs: 0,
    },
  ];
}
