/** What of a report can be the matter, in few words. A report is parsed once per digest; most rounds parse none. */
import { parseVersionedJson, reportKind } from '@felhom/protocol';

export interface ReportFacts {
  readonly is: 'read';
  readonly critical: readonly {
    readonly key: string;
    readonly subject: string;
    readonly text: string;
    readonly next: string;
  }[];
  readonly parked: readonly { readonly id: string; readonly text: string; readonly next: string }[];
  /** When the trust document expires, by its own word; `undefined`: there is none. */
  readonly trustExpiresAt: number | undefined;
}
export type ReportedFacts = ReportFacts | { readonly is: 'unreadable' };

/** Most causes of one kind that one host may have; the rest is counted in the last one. A host is not trusted. */
export const mostPerHost = 20;

export function readReportFacts(text: string): ReportedFacts {
  const parsed = parseVersionedJson(reportKind, text);
  if (parsed.is !== 'ok') return { is: 'unreadable' };
  const report = parsed.value;
  return {
    is: 'read',
    critical: report.findings
      .filter(({ severity }) => severity === 'critical')
      .map(({ key, subject, text: said, advice }) => ({
        key,
        subject,
        text: said,
        next: advice.command === undefined ? advice.text : `${advice.text}: ${advice.command}`,
      })),
    parked: report.parked.map((saga) => ({
      id: saga.id,
      text: `${saga.name}${saga.guest === undefined ? '' : ` of ${saga.guest}`} stopped at ${saga.step}: ${saga.why.text}`,
      next: saga.command,
    })),
    trustExpiresAt: report.trust.is === 'held' ? report.trust.document.expiresAt : undefined,
  };
}
