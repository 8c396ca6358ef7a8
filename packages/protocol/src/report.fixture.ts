/** For tests: a report of a host with which nothing is the matter. */
import { report } from './report.ts';
import type { Report } from './report.ts';

/** `more` takes the place of what it names. Whatever the schema gains, tests need not repeat. */
export function emptyReport(more: Readonly<Record<string, unknown>> = {}): Report {
  return report.parse({
    v: 1,
    versions: { agent: '0.1.0', node: '26' },
    startedAt: 1,
    converged: true,
    hold: false,
    guests: [],
    sagas: [],
    parked: [],
    findings: [],
    blocked: [],
    jobs: [],
    strangers: [],
    trust: { is: 'none' },
    breakGlass: { is: 'closed' },
    audit: [],
    cut: { guests: 0, sagas: 0, parked: 0, findings: 0, blocked: 0, jobs: 0, strangers: 0, audit: 0 },
    ...more,
  });
}
