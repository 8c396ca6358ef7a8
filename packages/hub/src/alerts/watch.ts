/**
 * The watch over the fleet: a loop that judges, writes, and lets messages go out. Every round reads what is kept and
 * what the clock says; nothing that matters lives in memory, so that a restart neither repeats nor forgets.
 *
 * Read in this order: ../liveness/judge, ../liveness/mass-silence, ../liveness/causes, plan-alerts, plan-deliveries,
 * plan-round, courier, this file.
 */
import type { AlertList, AlertTested, HostId } from '@felhom/protocol';
import type { RandomBytes } from '../credentials.ts';
import { continueUp, judge } from '../liveness/judge.ts';
import type { HubUp, Liveness, LivenessSettings, WatchedContact } from '../liveness/judge.ts';
import { readReportFacts } from '../liveness/report-facts.ts';
import type { ReportedFacts } from '../liveness/report-facts.ts';
import { toAlertView } from './alert.ts';
import type { AlertStore, WatchedHost, WatchRecord } from './alert-store.ts';
import { createCourier } from './courier.ts';
import { createHeartbeat } from './heartbeat.ts';
import { flapWindowMs } from './plan-alerts.ts';
import { planRound } from './plan-round.ts';
import type { RoundSettings } from './plan-round.ts';
import { routeHealth } from './route-health.ts';
import { createSenders } from './routes/senders.ts';
import { senderLimits } from './routes/sender.ts';
import type { SenderLimits } from './routes/sender.ts';
import { rankedRoutes } from './settings.ts';
import type { AlertSettings, HeartbeatSettings } from './settings.ts';

export interface WatchNeeds {
  readonly store: AlertStore;
  readonly now: () => number;
  readonly random: RandomBytes;
  readonly log: {
    info(fields: object, text: string): void;
    warn(fields: object, text: string): void;
    error(fields: object, text: string): void;
  };
}

export interface WatchOptions {
  readonly pollAfterSeconds: number;
  readonly alerts: AlertSettings;
  readonly heartbeat: HeartbeatSettings | undefined;
  readonly limits?: SenderLimits;
}

export interface Watch {
  /** Judges and writes once, and starts what is due. Throws where the database does. */
  round(signal: AbortSignal): Promise<void>;
  /** Rounds until aborted; then ends what is on its way and resolves. */
  run(sleep: Sleep, signal: AbortSignal): Promise<void>;
  /** When no message and no heartbeat is on its way. */
  idle(): Promise<void>;
  /** Whether a host is there, as the alerts see it. */
  readonly liveness: (host: WatchedContact, now: number) => Liveness;
  view(): Promise<AlertList>;
  test(route: string, signal: AbortSignal): Promise<AlertTested | undefined>;
}

/** Resolves after so many milliseconds, or at once when aborted. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

const roundEveryMs = 5000;
/** A gap between two rounds beyond this was the hub's own absence. */
const largestGapMs = 30_000;
/** How often a round without news is written down. */
const writeEveryMs = 20_000;
/** The most that the policy of an agent allows. */
const longestPauseSeconds = 900;
const hour = 60 * 60_000;
const shownRecent = 50;

export function createWatch({ store, now, random, log }: WatchNeeds, options: WatchOptions): Watch {
  const mintId = (bytes: number) => Buffer.from(random(bytes)).toString('hex');
  const draw = () => Buffer.from(random(4)).readUInt32BE() / 2 ** 32;
  const { routes, levels } = rankedRoutes(options.alerts);
  const liveness: LivenessSettings = {
    pollAfterSeconds: options.pollAfterSeconds,
    slackSeconds: options.alerts.slackSeconds,
    longestPauseSeconds,
  };
  const settings: RoundSettings = {
    liveness,
    routes,
    levels,
    escalateAfterMs: options.alerts.escalateAfterMinutes * 60_000,
  };
  const limits = options.limits ?? senderLimits;
  const warn = (fields: object, text: string) => log.warn(fields, text);
  const courier = createCourier({ store, senders: createSenders(options.alerts, limits), now, draw, mintId, warn });
  const heartbeat = createHeartbeat(options.heartbeat, { now, warn }, limits);
  /** By their text: whoever mends a row of the database changes no digest, and an idle host sends no other report. */
  const parsed = new Map<HostId, { readonly text: string | undefined; readonly facts: ReportedFacts }>();
  let up: HubUp | undefined;
  let lastRoundAt: number | undefined;
  let writtenAt: number | undefined;

  async function readReports(hosts: readonly WatchedHost[]): Promise<ReadonlyMap<HostId, ReportedFacts>> {
    const reports = new Map<HostId, ReportedFacts>();
    for (const { hostId, reportDigest } of hosts) {
      if (reportDigest === undefined) continue;
      const text = await store.reportText(hostId);
      let known = parsed.get(hostId);
      if (known === undefined || known.text !== text) {
        known = { text, facts: text === undefined ? { is: 'unreadable' } : readReportFacts(text) };
        parsed.set(hostId, known);
      }
      reports.set(hostId, known.facts);
    }
    return reports;
  }

  /** After a restart the memory says how long the hub was away; without one it may have been long. */
  function upNow(record: WatchRecord, at: number): HubUp {
    if (up !== undefined && lastRoundAt !== undefined) return continueUp(up, lastRoundAt, at, largestGapMs);
    const { memory } = record;
    const awayMs = memory === undefined ? longestPauseSeconds * 1000 : Math.abs(at - memory.roundAt);
    return { since: at, awayMs, pollAfterSecondsBefore: memory?.pollAfterSeconds ?? liveness.pollAfterSeconds };
  }

  const load = () => store.load({ closedAfter: now() - flapWindowMs, sentAfter: now() - hour });

  /** Asked between two rounds, also right after a sleep. Where no loop runs, the hub's own absence is not known. */
  function livenessOf(host: WatchedContact, at: number): Liveness {
    const known =
      up === undefined || lastRoundAt === undefined
        ? { since: 0, awayMs: 0, pollAfterSecondsBefore: liveness.pollAfterSeconds }
        : continueUp(up, lastRoundAt, at, largestGapMs);
    return judge(host, liveness, known, at);
  }

  async function round(signal: AbortSignal): Promise<void> {
    const record = await load();
    const reports = await readReports(record.hosts);
    const at = now();
    const next = upNow(record, at);
    if (up !== undefined && next !== up)
      log.warn({ gapSeconds: Math.round(next.awayMs / 1000) }, 'the hub was away; every host gets its window anew');
    up = next;
    lastRoundAt = at;
    const { changes, notices, news } = planRound({ now: at, up, record, reports }, settings, mintId);
    if (news || heartbeat.isDue() || writtenAt === undefined || Math.abs(at - writtenAt) >= writeEveryMs) {
      await store.commit(changes);
      writtenAt = at;
    }
    for (const { kind, alert } of notices)
      log.warn({ alert: alert.id, cause: alert.cause, severity: alert.severity }, `alert ${kind}`);
    courier.kick(signal);
    const mute =
      routes.length > 0 && routes.every(({ name }) => routeHealth(record.routes.get(name), at) === 'failing');
    if (!mute) heartbeat.beat(signal);
  }

  async function idle(): Promise<void> {
    await courier.idle();
    await heartbeat.idle();
  }

  return {
    round,
    idle,
    liveness: livenessOf,
    async run(sleep, signal) {
      let failing = false;
      while (!signal.aborted) {
        try {
          await round(signal);
          failing = false;
        } catch (error) {
          if (!failing)
            log.error({ err: error }, 'a round of the watch failed; it is tried again, without a heartbeat');
          failing = true;
        }
        await sleep(roundEveryMs, signal);
      }
      await idle();
    },
    async view() {
      const record = await load();
      const at = now();
      const watchedAt = lastRoundAt ?? record.memory?.roundAt;
      return {
        v: 1,
        now: at,
        ...(watchedAt === undefined ? {} : { watchedAt }),
        open: record.alerts.filter(({ state }) => state === 'open').map(toAlertView),
        recent: (await store.recent(shownRecent)).map(toAlertView),
        routes: routes.map(({ name, route }) => {
          const of = record.routes.get(name);
          return {
            name,
            kind: route.type,
            health: routeHealth(of, at),
            ...(of?.lastSuccessAt === undefined ? {} : { lastSuccessAt: of.lastSuccessAt }),
            ...(of?.lastFailure === undefined ? {} : { lastFailure: of.lastFailure }),
            failures: of?.failures ?? 0,
            waiting: of?.waiting ?? 0,
            held: of?.held ?? 0,
            lost: of?.lost ?? 0,
          };
        }),
        heartbeat: heartbeat.view(),
        hosts: record.hosts.map((host) => {
          const judged = livenessOf(host, at);
          return {
            hostId: host.hostId,
            state: judged.is,
            ...(host.contactAt === undefined ? {} : { lastContactAt: host.contactAt }),
            windowSeconds: Math.ceil(judged.windowMs / 1000),
            ...(host.expectSeconds === undefined ? {} : { expectSeconds: host.expectSeconds }),
            ...((host.snoozedUntil ?? 0) > at ? { snoozedUntil: host.snoozedUntil } : {}),
          };
        }),
      };
    },
    test: (route, signal) => courier.test(route, signal),
  };
}
