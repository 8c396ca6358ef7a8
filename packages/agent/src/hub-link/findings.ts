/** What is wrong with the way to the hub, as findings, and which of all findings cannot wait. Pure. */
import { explain } from '@felhom/protocol';
import type { Finding, Reason } from '@felhom/protocol';
import type { Held } from './adopt-desired.ts';

export interface LinkTrouble {
  readonly held: Held;
  /** Why the document offered last (by the hub or in the file) was not adopted. */
  readonly refusal: Reason | undefined;
  /** Why the hub was not reached; absent standalone. */
  readonly lastFailure?: Reason | undefined;
}

/** `now` is wall time in milliseconds and becomes `since`; `carrySince` keeps the older one. */
export function findingsOfLink(trouble: LinkTrouble, now: number): Finding[] {
  const found: Finding[] = [];
  if (trouble.held.is === 'unreadable') found.push(toFinding(trouble.held.why, 'critical', 'desired state', now));
  if (trouble.refusal !== undefined) found.push(toFinding(trouble.refusal, 'warning', 'desired state', now));
  if (trouble.lastFailure !== undefined) found.push(toFinding(trouble.lastFailure, 'warning', 'hub', now));
  return found;
}

/** What somebody is told of at once when it is new: what is critical, and work that stopped. One key each. */
export function urgentOf(
  findings: readonly Pick<Finding, 'key' | 'severity' | 'subject'>[],
  sagas: readonly { readonly id: string; readonly parked?: unknown }[],
): ReadonlySet<string> {
  return new Set([
    ...findings.flatMap(({ key, severity, subject }) => (severity === 'critical' ? [`${key} ${subject}`] : [])),
    ...sagas.flatMap(({ id, parked }) => (parked === undefined ? [] : [`parked ${id}`])),
  ]);
}

function toFinding(why: Reason, severity: Finding['severity'], subject: string, since: number): Finding {
  const advice = explain(why.code)?.advice ?? 'Read the log of the agent.';
  return { key: why.code, severity, subject, text: why.text.slice(0, 1000), advice: { text: advice }, since };
}
