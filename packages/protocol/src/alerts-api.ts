/** What the hub and the operator's tools say to each other about alerts: the shapes of `/v1/alerts`. */
import { z } from 'zod';
import { hostId } from './ids.ts';

/** Milliseconds since the epoch on the hub's clock. */
const time = z.number().int().min(0);
const count = z.number().int().min(0);
const shortText = z.string().max(200);

export const alertSeverities = ['warning', 'critical'] as const;
export const alertSeverity = z.enum(alertSeverities);
export type AlertSeverity = z.output<typeof alertSeverity>;

/** The name of a route in the configuration of the hub. */
export const routeName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'lower-case letters, digits and -, at most 40');

export const alertView = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** What the alert is about, the same for as long as it lasts and whenever it comes back. */
  cause: z.string().max(400),
  host: hostId.optional(),
  severity: alertSeverity,
  title: shortText,
  /** What is the matter; may hold words of the host. */
  text: z.string().max(2000),
  /** What to do next. */
  next: z.string().max(1000),
  /** When the hub first saw the cause. */
  since: time,
  openedAt: time,
  closedAt: time.optional(),
  /** Of the host, as of the last word on this alert. */
  lastContactAt: time.optional(),
  /** Whoever said that they look after it; it escalates no further. */
  ack: z.strictObject({ at: time, by: shortText }).optional(),
  /** Levels of routes that were told, 0 for none. */
  levels: count,
});
export type AlertView = z.output<typeof alertView>;

export const routeKinds = ['webhook', 'smtp', 'ntfy'] as const;

/** How a route is doing. No address and no secret is in it. */
export const routeView = z.strictObject({
  name: routeName,
  kind: z.enum(routeKinds),
  /** untried: nothing was ever delivered; degraded: the last tries failed; failing: for so long that it is an alert. */
  health: z.enum(['ok', 'untried', 'degraded', 'failing']),
  lastSuccessAt: time.optional(),
  lastFailure: z.strictObject({ at: time, text: z.string().max(500) }).optional(),
  /** Failed tries in a row. */
  failures: count,
  /** Messages that wait to be delivered. */
  waiting: count,
  /** Messages that are held back for the digest after quiet hours or a flood. */
  held: count,
  /** Messages that were given up or did not fit, ever. */
  lost: count,
});
export type RouteView = z.output<typeof routeView>;

export const heartbeatView = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('off') }),
  z.strictObject({
    is: z.literal('on'),
    everySeconds: z.number().int().min(1),
    lastSuccessAt: time.optional(),
    lastFailure: z.strictObject({ at: time, text: z.string().max(500) }).optional(),
  }),
]);
export type HeartbeatView = z.output<typeof heartbeatView>;

export const watchedHostView = z.strictObject({
  hostId,
  /** unknown: the hub itself was away and gives the host time. */
  state: z.enum(['up', 'late', 'silent', 'unknown', 'never-seen']),
  lastContactAt: time.optional(),
  /** Silence that is longer than this is an alert. */
  windowSeconds: z.number().int().min(1),
  /** Set by an operator with `felhom alerts expect`. */
  expectSeconds: z.number().int().min(1).optional(),
  snoozedUntil: time.optional(),
});
export type WatchedHostView = z.output<typeof watchedHostView>;

/** GET /v1/alerts */
export const alertList = z.strictObject({
  v: z.literal(1),
  now: time,
  /** When a loop of the watch last ended a round, in this process or before; absent: never. */
  watchedAt: time.optional(),
  open: z.array(alertView),
  /** Newest first. */
  recent: z.array(alertView),
  routes: z.array(routeView),
  heartbeat: heartbeatView,
  hosts: z.array(watchedHostView),
});
export type AlertList = z.output<typeof alertList>;

/** POST /v1/alerts/:id/ack answers the alert. */
export const alertAcked = z.strictObject({ alert: alertView });

/** POST /v1/alerts/test: sends one message over a route at once, past quiet hours. */
export const alertTest = z.strictObject({ route: routeName });
export const alertTested = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('delivered'), delivery: z.string() }),
  z.strictObject({ is: z.literal('failed'), delivery: z.string(), text: z.string().max(500) }),
]);
export type AlertTested = z.output<typeof alertTested>;

export const longestSnoozeHours = 24 * 30;
/** POST /v1/hosts/:id/snooze: for so long no alert about the host opens or escalates. 0 ends it. */
export const hostSnooze = z.strictObject({ hours: z.number().min(0).max(longestSnoozeHours) });
export const hostSnoozed = z.strictObject({ hostId, snoozedUntil: time.optional() });

/** PUT /v1/hosts/:id/expect: the window of one host; null goes back to what follows from the poll interval. */
export const hostExpect = z.strictObject({ windowSeconds: z.number().int().min(60).max(2_592_000).nullable() });
export const hostExpected = z.strictObject({ hostId, expectSeconds: z.number().int().min(1).optional() });
