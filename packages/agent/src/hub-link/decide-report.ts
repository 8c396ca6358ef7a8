/** Whether a poll carries the whole report, or says that the last one stands. Pure. */
import type { Digest } from '@felhom/protocol';

/** Longest that a metered host leaves the hub with a report in which something that does not matter has changed. */
export const meteredReportMs = 3_600_000;

/** Two digests of one report: of its state, and of that part of it that matters even where bytes are paid for. */
export interface ReportDigests {
  readonly state: Digest;
  readonly matter: Digest;
}

/** The last report that the hub took in, and when, in wall time of the host. */
export interface SaidReport extends ReportDigests {
  readonly at: number;
}

export type ReportDecision =
  | { readonly is: 'report' }
  /** `standing`: what the heartbeat names, so that hub and operators hold what the host signs. */
  | { readonly is: 'heartbeat'; readonly standing: Digest };

/** `said`: `undefined` while the hub has none, or asked for it. A clock that was set makes a report due, never silence. */
export function decideReport(
  metered: boolean,
  said: SaidReport | undefined,
  current: ReportDigests,
  now: number,
): ReportDecision {
  if (said === undefined) return { is: 'report' };
  if (said.state === current.state) return { is: 'heartbeat', standing: said.state };
  if (!metered || said.matter !== current.matter) return { is: 'report' };
  return Math.abs(now - said.at) >= meteredReportMs ? { is: 'report' } : { is: 'heartbeat', standing: said.state };
}
