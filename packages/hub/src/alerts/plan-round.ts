/**
 * One round of the dead-man's switch, decided whole over facts: who is there, what is the matter, which alerts follow,
 * and which messages. Pure; what it answers is written in one transaction.
 */
import type { HostId } from '@felhom/protocol';
import { causesOf } from '../liveness/causes.ts';
import { expectedWindowMs, graceMs, judge } from '../liveness/judge.ts';
import type { HubUp, Liveness, LivenessSettings } from '../liveness/judge.ts';
import { followMass } from '../liveness/mass-silence.ts';
import type { ReportedFacts } from '../liveness/report-facts.ts';
import type { Alert, Notice } from './alert.ts';
import type { WatchChanges, WatchRecord } from './alert-store.ts';
import { planAlerts } from './plan-alerts.ts';
import { planDeliveries } from './plan-deliveries.ts';
import type { RankedRoute } from './plan-deliveries.ts';
import { routeCauses } from './route-health.ts';

export interface RoundFacts {
  /** Read after the record was, so that no receipt in it is of the future. */
  readonly now: number;
  readonly up: HubUp;
  readonly record: WatchRecord;
  /** Of the hosts that sent a report. */
  readonly reports: ReadonlyMap<HostId, ReportedFacts>;
}

export interface RoundSettings {
  readonly liveness: LivenessSettings;
  readonly routes: readonly RankedRoute[];
  readonly levels: number;
  readonly escalateAfterMs: number;
}

export interface RoundPlan {
  readonly changes: WatchChanges;
  readonly notices: readonly Notice[];
  /** Whether there is more to write than that the round was. */
  readonly news: boolean;
}

/** How long ended alerts and delivered messages are kept. */
const keptMs = 30 * 24 * 60 * 60_000;

export function planRound(facts: RoundFacts, settings: RoundSettings, mintId: (bytes: number) => string): RoundPlan {
  const { now, up, record } = facts;
  const judged = new Map(record.hosts.map((host) => [host.hostId, judge(host, settings.liveness, up, now)]));
  const snoozed = new Set(
    record.hosts.filter(({ snoozedUntil }) => (snoozedUntil ?? 0) > now).map(({ hostId }) => hostId),
  );
  const silences = new Set(
    record.alerts.filter(({ source, state }) => source === 'silence' && state === 'open').map(({ host }) => host),
  );
  const mass = followMass(
    record.memory?.mass,
    [...judged]
      .filter(([hostId]) => !snoozed.has(hostId))
      .map(([hostId, liveness]) => ({ hostId, liveness, alerted: silences.has(hostId) })),
    now,
    (awayMs) => graceAfterMass(settings.liveness, awayMs),
  );
  const causes = [
    ...causesOf(
      record.hosts.map((host) => ({
        hostId: host.hostId,
        liveness: judged.get(host.hostId) ?? judge(host, settings.liveness, up, now),
        report: facts.reports.get(host.hostId),
        fork: host.fork,
        auditFork: host.auditFork,
        stale: host.stale,
      })),
      mass,
      now,
    ),
    ...routeCauses(settings.routes, record.routes, now),
  ];
  const { changed, removed, notices } = planAlerts({
    now,
    causes,
    alerts: record.alerts,
    closures: record.closures,
    undecided: (alert) => isUndecided(alert, judged),
    snoozed,
    levels: settings.levels,
    escalateAfterMs: settings.escalateAfterMs,
    mintId: () => mintId(8),
  });
  const deliveries = planDeliveries({
    now,
    notices,
    routes: settings.routes,
    records: record.routes,
    sent: record.sent,
    held: record.held,
    mintId: () => mintId(16),
  });
  const massChanged = JSON.stringify(mass) !== JSON.stringify(record.memory?.mass);
  return {
    changes: {
      alerts: changed,
      removedAlerts: removed,
      ...deliveries,
      memory: {
        v: 1,
        roundAt: now,
        pollAfterSeconds: settings.liveness.pollAfterSeconds,
        ...(mass === undefined ? {} : { mass }),
      },
      forgetBefore: now - keptMs,
    },
    notices,
    news:
      massChanged ||
      changed.length + removed.length + deliveries.deliveries.length + deliveries.routes.length > 0 ||
      deliveries.releasedHeld.length > 0,
  };
}

/** Hosts come back one by one, the later the longer they had to back off; nobody is blamed for it meanwhile. */
function graceAfterMass(liveness: LivenessSettings, awayMs: number): number {
  const window = expectedWindowMs(liveness, undefined);
  const pollAfterSecondsBefore = liveness.pollAfterSeconds;
  return graceMs({ expectSeconds: undefined }, liveness, { awayMs: awayMs + window, pollAfterSecondsBefore });
}

/** Of a host that is not heard nothing is known: its silence does not end, and neither does what it last reported. */
function isUndecided(alert: Alert, judged: ReadonlyMap<HostId, Liveness>): boolean {
  const liveness = alert.host === undefined ? undefined : judged.get(alert.host);
  if (liveness === undefined || (alert.source !== 'silence' && alert.source !== 'report')) return false;
  if (alert.source === 'silence') return liveness.is === 'late' || liveness.is === 'unknown';
  return liveness.is !== 'up' && liveness.is !== 'never-seen';
}
