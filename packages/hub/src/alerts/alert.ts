/** What an alert is, while it is decided over and as it is kept. Pure. */
import { alertSeverity, hostId, routeName } from '@felhom/protocol';
import type { AlertSeverity, AlertView, HostId } from '@felhom/protocol';
import { z } from 'zod';

/**
 * Where a cause comes from, which decides when its absence means that it is over:
 * silence (of one host), fleet (many hosts at once), mark (the hub's own note on a host), report (words of the host),
 * route (a way over which alerts go out).
 */
export const alertSources = ['silence', 'fleet', 'mark', 'report', 'route'] as const;
export type AlertSource = (typeof alertSources)[number];

/** Something that is the matter now, derived anew in every round. */
export interface Cause {
  /** Stable for as long as it lasts and whenever it comes back: alerts are told apart by it and by nothing else. */
  readonly key: string;
  readonly source: AlertSource;
  readonly host?: HostId;
  /** For `route`: the route that fails, which is not used to say so. */
  readonly route?: string;
  readonly severity: AlertSeverity;
  readonly title: string;
  readonly text: string;
  readonly next: string;
  readonly lastContactAt?: number;
  /** How long it has to last on the hub's clock before anybody is told, milliseconds. */
  readonly afterMs: number;
}

const time = z.number().int();

/** As kept. `pending` lasts not long enough yet; an acknowledgement is kept beside it, because people write that. */
export const alert = z.strictObject({
  v: z.literal(1),
  id: z.string(),
  cause: z.string(),
  source: z.enum(alertSources),
  host: hostId.optional(),
  route: routeName.optional(),
  severity: alertSeverity,
  title: z.string(),
  text: z.string(),
  next: z.string(),
  lastContactAt: time.optional(),
  state: z.enum(['pending', 'open', 'closed']),
  since: time,
  openedAt: time.optional(),
  /** From when on the cause was gone without a gap. */
  clearSince: time.optional(),
  closedAt: time.optional(),
  /** How many levels of routes were told. */
  levels: z.number().int().min(0),
  levelAt: time,
});
export type Alert = z.output<typeof alert>;

export interface Acknowledgement {
  readonly at: number;
  readonly by: string;
}

export type KeptAlert = Alert & { readonly ack?: Acknowledgement | undefined };

export type NoticeKind = 'opened' | 'raised' | 'escalated' | 'recovered';

/** One thing to be told about an alert. */
export interface Notice {
  readonly kind: NoticeKind;
  readonly alert: Alert;
  /** How often the same cause ended lately. */
  readonly lately: number;
}

export function toAlertView(kept: KeptAlert): AlertView {
  return {
    id: kept.id,
    cause: kept.cause,
    ...(kept.host === undefined ? {} : { host: kept.host }),
    severity: kept.severity,
    title: kept.title,
    text: kept.text,
    next: kept.next,
    since: kept.since,
    openedAt: kept.openedAt ?? kept.since,
    ...(kept.closedAt === undefined ? {} : { closedAt: kept.closedAt }),
    ...(kept.lastContactAt === undefined ? {} : { lastContactAt: kept.lastContactAt }),
    ...(kept.ack === undefined ? {} : { ack: kept.ack }),
    levels: kept.levels,
  };
}
