/** The record of a watch in memory, for tests that run for simulated weeks. Same meaning as the tables. */
import type { HostId } from '@felhom/protocol';
import type { KeptAlert } from './alert.ts';
import type { HeldDelivery, NewDelivery, RouteRecord, WatchChanges, WatchedHost, WatchRecord } from './alert-store.ts';

export interface KeptRecord {
  readonly hosts: Map<HostId, WatchedHost>;
  /** Every message that left the outbox, oldest first; delivering always works. */
  readonly delivered: NewDelivery[];
  load(now: number): WatchRecord;
  commit(changes: WatchChanges): void;
}

const hour = 3_600_000;

export function keptRecord(hosts: readonly WatchedHost[]): KeptRecord {
  const byId = new Map(hosts.map((host) => [host.hostId, host]));
  const alerts = new Map<string, KeptAlert>();
  let closures: { readonly cause: string; readonly at: number }[] = [];
  const routes = new Map<string, RouteRecord>();
  const delivered: NewDelivery[] = [];
  let recent: NewDelivery[] = [];
  let held: HeldDelivery[] = [];
  let memory: WatchRecord['memory'];
  const routeOf = (name: string): RouteRecord =>
    routes.get(name) ?? {
      lastSuccessAt: undefined,
      lastFailure: undefined,
      failures: 0,
      failingSince: undefined,
      testedAt: undefined,
      digestAt: undefined,
      lost: 0,
      waiting: 0,
      held: 0,
    };
  return {
    hosts: byId,
    delivered,
    load(now) {
      closures = closures.filter(({ at }) => at > now - 6 * hour);
      recent = recent.filter(({ createdAt }) => createdAt > now - hour);
      return {
        hosts: [...byId.values()],
        alerts: [...alerts.values()],
        closures: countBy(closures.map(({ cause }) => cause)),
        routes: new Map(routes),
        sent: countBy(recent.map(({ route }) => route)),
        held,
        memory,
      };
    },
    commit(changes) {
      for (const id of changes.removedAlerts) alerts.delete(id);
      for (const alert of changes.alerts) {
        const ack = alerts.get(alert.id)?.ack;
        if (alert.state !== 'closed') alerts.set(alert.id, ack === undefined ? alert : { ...alert, ack });
        else {
          alerts.delete(alert.id);
          closures.push({ cause: alert.cause, at: alert.closedAt ?? 0 });
        }
      }
      const released = new Set(changes.releasedHeld);
      held = held.filter(({ id }) => !released.has(id));
      for (const one of changes.deliveries)
        if (one.heldBy !== undefined) held = [...held, { ...one, heldBy: one.heldBy }];
        else {
          delivered.push(one);
          recent.push(one);
          routes.set(one.route, { ...routeOf(one.route), lastSuccessAt: one.createdAt });
        }
      for (const { route, addLost, ...set } of changes.routes)
        routes.set(route, { ...routeOf(route), ...set, lost: routeOf(route).lost + (addLost ?? 0) });
      ({ memory } = changes);
    },
  };
}

function countBy(keys: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
