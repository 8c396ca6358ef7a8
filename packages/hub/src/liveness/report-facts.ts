/** What of a report can be the matter, in few words. A report is parsed once per text; most rounds parse none. */
import { parseVersionedJson, reportKind } from '@felhom/protocol';
import type { Finding } from '@felhom/protocol';

export interface ReportedFinding {
  readonly key: string;
  readonly severity: 'critical' | 'warning';
  readonly subject: string;
  readonly text: string;
  readonly next: string;
  /** Of one that passes by itself more often than not: how long it has to last. */
  readonly afterMs: number;
}

export interface ReportFacts {
  readonly is: 'read';
  /** Critical ones, and milder ones that somebody has to hear of. The oldest first. */
  readonly findings: readonly ReportedFinding[];
  readonly parked: readonly { readonly id: string; readonly text: string; readonly next: string }[];
  /** When the trust document expires, by its own word; `undefined`: there is none. */
  readonly trustExpiresAt: number | undefined;
}
export type ReportedFacts = ReportFacts | { readonly is: 'unreadable' };

/** Most causes of one kind that one host may have; the rest is counted in the last one. A host is not trusted. */
export const mostPerHost = 20;

const hour = 60 * 60_000;
/** Warnings that are sent, although nobody has to get up for them: after how long. All other warnings wait to be read. */
const sentWarnings: ReadonlyMap<string, number> = new Map([
  ['backup.late', 0],
  ['recovery.came-back', 0],
  ['guest.perhaps-lost', hour],
]);

/** Where the first is said of a subject, the others are the same trouble once more. */
const sameTrouble: readonly (readonly [said: string, implied: readonly string[]])[] = [
  ['backup.failing', ['backup.none', 'backup.late']],
  ['backup.none', ['backup.unproven']],
  ['guest.lost-without-backup', ['guest.lost', 'guest.missing']],
  ['guest.lost', ['guest.missing']],
];

export function readReportFacts(text: string): ReportedFacts {
  const parsed = parseVersionedJson(reportKind, text);
  if (parsed.is !== 'ok') return { is: 'unreadable' };
  const report = parsed.value;
  return {
    is: 'read',
    findings: worthSending(report.findings),
    parked: report.parked.map((saga) => ({
      id: saga.id,
      text: `${saga.name}${saga.guest === undefined ? '' : ` of ${saga.guest}`} stopped at ${saga.step}: ${saga.why.text}`,
      next: saga.command,
    })),
    trustExpiresAt: report.trust.is === 'held' ? report.trust.document.expiresAt : undefined,
  };
}

function worthSending(all: readonly Finding[]): readonly ReportedFinding[] {
  const sent = all.filter(
    ({ key, severity }) => severity === 'critical' || (severity === 'warning' && sentWarnings.has(key)),
  );
  const said = new Set(sent.map(({ key, subject }) => `${key} ${subject}`));
  const implied = ({ key, subject }: Finding): boolean =>
    sameTrouble.some(([first, others]) => others.includes(key) && said.has(`${first} ${subject}`));
  return sent
    .filter((finding) => !implied(finding))
    .toSorted((a, b) => a.since - b.since || compare(a.key, b.key) || compare(a.subject, b.subject))
    .map(({ key, severity, subject, text, advice }) => ({
      key,
      severity: severity === 'critical' ? 'critical' : 'warning',
      subject,
      text,
      next: advice.command === undefined ? advice.text : `${advice.text}: ${advice.command}`,
      afterMs: severity === 'critical' ? 0 : (sentWarnings.get(key) ?? 0),
    }));
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
