/** Which route is sent what, now or later. Pure. */
import type { AlertSeverity } from '@felhom/protocol';
import type { Notice } from './alert.ts';
import type { HeldDelivery, NewDelivery, RouteRecord, WatchChanges } from './alert-store.ts';
import { digestMessage, noticeMessage, testMessage } from './message.ts';
import { isQuiet } from './quiet-hours.ts';
import type { Route } from './settings.ts';

export interface RankedRoute {
  readonly name: string;
  /** 0 is told first. */
  readonly rank: number;
  readonly route: Route;
}

export interface DeliveryFacts {
  readonly now: number;
  readonly notices: readonly Notice[];
  readonly routes: readonly RankedRoute[];
  readonly records: ReadonlyMap<string, RouteRecord>;
  /** Messages per route within the last hour. */
  readonly sent: ReadonlyMap<string, number>;
  readonly held: readonly HeldDelivery[];
  readonly mintId: () => string;
}

export type DeliveryPlan = Pick<WatchChanges, 'deliveries' | 'releasedHeld' | 'routes'>;

/** Shortest time between two digests after a flood. */
export const digestEveryMs = 10 * 60_000;
/** Most messages that one route holds back; what is more is lost and counted. */
const mostHeld = 500;

export function planDeliveries(facts: DeliveryFacts): DeliveryPlan {
  const plans = facts.routes.map((route) => planRoute(route, facts));
  return {
    deliveries: plans.flatMap(({ deliveries }) => deliveries),
    releasedHeld: plans.flatMap(({ releasedHeld }) => releasedHeld),
    routes: plans.flatMap(({ routes }) => routes),
  };
}

function planRoute(ranked: RankedRoute, facts: DeliveryFacts): DeliveryPlan {
  const { now, mintId } = facts;
  const { name, route } = ranked;
  const quiet = isQuiet(now, route.quietHours);
  const record = facts.records.get(name);
  const held = facts.held.filter((one) => one.route === name);
  const deliveries: NewDelivery[] = [];
  let sent = facts.sent.get(name) ?? 0;
  let holding = held.length;
  let lost = 0;
  for (const notice of facts.notices.filter((one) => concerns(one, ranked))) {
    const heldBy = quiet && notice.alert.severity !== 'critical' ? 'quiet' : sent >= route.perHour ? 'rate' : undefined;
    if (heldBy === undefined) sent += 1;
    else if (holding >= mostHeld) {
      lost += 1;
      continue;
    } else holding += 1;
    deliveries.push({ id: mintId(), route: name, createdAt: now, message: noticeMessage(notice, now), heldBy });
  }
  const released: string[] = [];
  let digestAt: number | undefined;
  for (const why of ['quiet', 'rate'] as const) {
    const waiting = held.filter(({ heldBy }) => heldBy === why);
    const ripe = why === 'quiet' ? !quiet : now - (record?.digestAt ?? 0) >= digestEveryMs;
    const [first] = waiting;
    if (!ripe || first === undefined) continue;
    const messages = waiting.map(({ message }) => message);
    const message = messages.length === 1 ? first.message : digestMessage(messages, why, record?.lost ?? 0, now);
    deliveries.push({ id: mintId(), route: name, createdAt: now, message, heldBy: undefined });
    released.push(...waiting.map(({ id }) => id));
    if (why === 'rate') digestAt = now;
  }
  const testDue = isTestDue(route, record, now);
  const tests = testDue === 'now' && !quiet;
  if (tests)
    deliveries.push({
      id: mintId(),
      route: name,
      createdAt: now,
      message: testMessage(name, false, now),
      heldBy: undefined,
    });
  const testedAt = tests || testDue === 'unknown' ? now : undefined;
  return {
    deliveries,
    releasedHeld: released,
    routes:
      testedAt === undefined && digestAt === undefined && lost === 0
        ? []
        : [
            {
              route: name,
              ...(testedAt === undefined ? {} : { testedAt }),
              ...(digestAt === undefined ? {} : { digestAt }),
              ...(lost === 0 ? {} : { addLost: lost }),
            },
          ],
  };
}

const weights = { warning: 0, critical: 1 } as const satisfies Record<AlertSeverity, number>;

function concerns({ kind, alert }: Notice, { name, rank, route }: RankedRoute): boolean {
  // That a route fails is said over every other one, whatever its level: there may be no second on the same.
  if (alert.source === 'route') return alert.route !== name;
  if (weights[alert.severity] < weights[route.minSeverity]) return false;
  return kind === 'escalated' ? rank === alert.levels - 1 : rank < alert.levels;
}

/** `unknown`: the route was never seen before; its clock starts now. */
function isTestDue(route: Route, record: RouteRecord | undefined, now: number): 'now' | 'later' | 'unknown' {
  if (record?.testedAt === undefined) return 'unknown';
  if (route.selfTestEveryHours === 0) return 'later';
  const last = Math.max(record.testedAt, record.lastSuccessAt ?? 0);
  return now - last >= route.selfTestEveryHours * 3_600_000 ? 'now' : 'later';
}
