/** How a route is doing; a route that fails for long is the matter itself. Pure. */
import type { RouteView } from '@felhom/protocol';
import type { Cause } from './alert.ts';
import type { RouteRecord } from './alert-store.ts';
import { clipped, moment } from './plain-text.ts';
import type { RankedRoute } from './plan-deliveries.ts';

/** Failing without a success in between for so long is an alert on the other routes. */
export const routeFailingMs = 30 * 60_000;
/** A message that could not be delivered for so long is given up. */
export const giveUpMs = 24 * 60 * 60_000;

export function routeHealth(record: RouteRecord | undefined, now: number): RouteView['health'] {
  if (record === undefined) return 'untried';
  if (record.failingSince !== undefined) return now - record.failingSince >= routeFailingMs ? 'failing' : 'degraded';
  return record.lastSuccessAt === undefined ? 'untried' : 'ok';
}

export function routeCauses(
  routes: readonly RankedRoute[],
  records: ReadonlyMap<string, RouteRecord>,
  now: number,
): Cause[] {
  return routes.flatMap(({ name }): Cause[] => {
    const record = records.get(name);
    if (record?.failingSince === undefined || routeHealth(record, now) !== 'failing') return [];
    const last = record.lastSuccessAt === undefined ? 'never yet' : moment(record.lastSuccessAt);
    return [
      {
        key: `route:${name}`,
        source: 'route',
        route: name,
        severity: 'critical',
        title: `the alert route ${name} does not deliver`,
        text:
          `Nothing went through since ${moment(record.failingSince)}; the last success was ${last}. ` +
          `The last failure: ${clipped(record.lastFailure?.text ?? 'unknown', 300)}.`,
        next: `felhom alerts test ${name} after the cause is mended`,
        afterMs: 0,
      },
    ];
  });
}

/**
 * When to try a message again, in milliseconds from now; `draw` is uniform in [0, 1). 10 s, 20 s, … up to 15 min, each
 * spread by half. `lost`: it would be too old by then.
 */
export function nextTry(attempts: number, createdAt: number, now: number, draw: number): { dueAt: number } | 'lost' {
  const wait = Math.min(15 * 60_000, 10_000 * 2 ** Math.min(20, attempts)) * (0.5 + draw);
  const dueAt = Math.round(now + wait);
  return dueAt - createdAt > giveUpMs ? 'lost' : { dueAt };
}
