/**
 * Alerts from causes: the state machine. Pure and total, so that a restart in the middle changes nothing: whatever is
 * not in the kept alerts did not happen.
 */
import type { AlertSeverity, HostId } from '@felhom/protocol';
import type { Alert, AlertSource, Cause, KeptAlert, Notice } from './alert.ts';

export interface AlertFacts {
  /** The hub's time in milliseconds. */
  readonly now: number;
  /** By key, each once. */
  readonly causes: readonly Cause[];
  /** Pending and open ones. */
  readonly alerts: readonly KeptAlert[];
  /** How often a cause ended within `flapWindowMs`. */
  readonly closures: ReadonlyMap<string, number>;
  /** Whether nobody can tell now if the cause still holds: it then neither begins nor ends. */
  readonly undecided: (alert: Alert) => boolean;
  /** Nothing about these opens or escalates. */
  readonly snoozed: ReadonlySet<HostId>;
  /** How many levels of routes there are, and after how long without an acknowledgement the next one is told. */
  readonly levels: number;
  readonly escalateAfterMs: number;
  readonly mintId: () => string;
}

export interface AlertPlan {
  readonly changed: readonly Alert[];
  /** Ids of pending ones that passed by themselves. */
  readonly removed: readonly string[];
  readonly notices: readonly Notice[];
}

export const flapWindowMs = 6 * 60 * 60_000;
const longestSettleMs = 60 * 60_000;

/** How long a cause has to be gone before its alert ends. */
const settleMs = { silence: 60_000, fleet: 60_000, mark: 0, report: 180_000, route: 0 } as const satisfies Record<
  AlertSource,
  number
>;

/** Twice as long with every time that it ended lately: what flaps stays one alert until it is steady. */
export function settleTime(source: AlertSource, lately: number): number {
  return Math.min(longestSettleMs, settleMs[source] * 2 ** Math.min(12, lately));
}

export function planAlerts(facts: AlertFacts): AlertPlan {
  const changed: Alert[] = [];
  const removed: string[] = [];
  const notices: Notice[] = [];
  const kept = new Map(facts.alerts.map((one) => [one.cause, one]));
  const seen = new Set<string>();
  const tell = (kind: Notice['kind'], alert: Alert) =>
    void notices.push({ kind, alert, lately: facts.closures.get(alert.cause) ?? 0 });

  for (const cause of facts.causes) {
    if (seen.has(cause.key)) continue;
    seen.add(cause.key);
    const before = kept.get(cause.key);
    const asleep = cause.host !== undefined && facts.snoozed.has(cause.host);
    if (before === undefined && asleep) continue;
    let alert: Alert = before === undefined ? begin(cause, facts) : describe(withoutAck(before), cause);
    if (alert.state === 'pending') {
      if (!asleep && !facts.undecided(alert) && facts.now - alert.since >= cause.afterMs) {
        alert = { ...alert, state: 'open', openedAt: facts.now, levels: 1, levelAt: facts.now };
        tell('opened', alert);
      }
    } else if (before !== undefined && weight(cause.severity) > weight(before.severity)) {
      alert = { ...alert, levelAt: facts.now };
      tell('raised', alert);
    } else if (!asleep && escalates(alert, before, facts)) {
      alert = { ...alert, levels: alert.levels + 1, levelAt: facts.now };
      tell('escalated', alert);
    }
    if (before === undefined || !same(before, alert)) changed.push(alert);
  }
  for (const before of facts.alerts) {
    if (seen.has(before.cause)) continue;
    const { clearSince, ...standing } = withoutAck(before);
    if (facts.undecided(before)) {
      if (clearSince !== undefined) changed.push(standing);
      continue;
    }
    if (before.state === 'pending') {
      removed.push(before.id);
      continue;
    }
    const since = Math.min(clearSince ?? facts.now, facts.now);
    const settle = settleTime(before.source, facts.closures.get(before.cause) ?? 0);
    if (facts.now - since >= settle) {
      const closed: Alert = { ...standing, state: 'closed', clearSince: since, closedAt: facts.now };
      changed.push(closed);
      tell('recovered', closed);
    } else if (since !== clearSince) changed.push({ ...standing, clearSince: since });
  }
  return { changed, removed, notices };
}

const weight = (severity: AlertSeverity): number => (severity === 'critical' ? 1 : 0);

function escalates(alert: Alert, before: KeptAlert | undefined, facts: AlertFacts): boolean {
  return (
    alert.severity === 'critical' &&
    before?.ack === undefined &&
    alert.levels < facts.levels &&
    facts.now - alert.levelAt >= facts.escalateAfterMs
  );
}

function begin(cause: Cause, { now, mintId }: AlertFacts): Alert {
  return {
    v: 1,
    id: mintId(),
    cause: cause.key,
    source: cause.source,
    ...(cause.host === undefined ? {} : { host: cause.host }),
    ...(cause.route === undefined ? {} : { route: cause.route }),
    severity: cause.severity,
    title: cause.title,
    text: cause.text,
    next: cause.next,
    ...(cause.lastContactAt === undefined ? {} : { lastContactAt: cause.lastContactAt }),
    state: 'pending',
    since: now,
    levels: 0,
    levelAt: now,
  };
}

/** What is said of it now. An open one keeps the worst that was said: its end is told to whoever heard that. */
function describe(before: Alert, cause: Cause): Alert {
  const { clearSince: _clearSince, ...alert } = before;
  const milder = alert.state === 'open' && weight(cause.severity) < weight(alert.severity);
  return {
    ...alert,
    severity: milder ? alert.severity : cause.severity,
    title: cause.title,
    text: cause.text,
    next: cause.next,
    ...(cause.lastContactAt === undefined ? {} : { lastContactAt: cause.lastContactAt }),
  };
}

function withoutAck(kept: KeptAlert): Alert {
  const { ack: _ack, ...alert } = kept;
  return alert;
}

function same(before: KeptAlert, after: Alert): boolean {
  return (
    before.state === after.state &&
    before.severity === after.severity &&
    before.levels === after.levels &&
    before.levelAt === after.levelAt &&
    before.title === after.title &&
    before.text === after.text &&
    before.next === after.next &&
    before.lastContactAt === after.lastContactAt &&
    before.clearSince === after.clearSince
  );
}
