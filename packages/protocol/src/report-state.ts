/**
 * What of a report is *state*, and what only ages. A report names times; how long ago they were is for the reader to say,
 * by a clock that is right at the moment of reading. So an idle host's report stays the same for as long as nothing
 * happens, its digest with it, and a heartbeat is all that it sends.
 */
import { digestOfText } from './desired-state.ts';
import type { Digest } from './ids.ts';
import { report } from './report.ts';
import type { Report } from './report.ts';

/** Without what changes by itself: ages, and the time of the last pass, which travels in the heartbeat. */
export function stateOfReport(value: Report): Report {
  const { lastPassAt: _, backups, bulk, ...rest } = value;
  return {
    ...rest,
    backups: backups.map(({ rpoMs: _rpo, provenAgeMs: _proven, ...line }) => line),
    bulk: bulk.map(({ rpoMs: _rpo, ...line }) => line),
  };
}

/** Digest of the state in it. Key order is the schema's, because every report passes through the schema. */
export function digestOfReport(value: Report): Digest {
  return digestOfText(JSON.stringify(report.parse(stateOfReport(value))));
}

/**
 * The report with its ages as of `now`, milliseconds on the host's clock; ages that were in it are forgotten. `lastPassAt`
 * as the heartbeat told it.
 */
export function reportAsOf(value: Report, now: number, lastPassAt?: number): Report {
  // Whose clock it is may be anybody's: an age stays one that the schema takes.
  const age = (at: number) => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.trunc(now) - at));
  const state = stateOfReport(value);
  return {
    ...state,
    ...(lastPassAt === undefined ? {} : { lastPassAt }),
    backups: state.backups.map((line) => ({
      ...line,
      ...(line.newest === undefined ? {} : { rpoMs: age(line.newest.at) }),
      ...(line.proven === undefined ? {} : { provenAgeMs: age(line.proven.at) }),
    })),
    bulk: state.bulk.map((line) => ({
      ...line,
      ...(line.newestAt === undefined ? {} : { rpoMs: age(line.newestAt) }),
    })),
  };
}

/**
 * What of the state is worth bytes that are paid for: findings that call for somebody, work that stopped, what waits for
 * a signature or was decided by one, and who may sign. All else of a metered host waits for its hourly report.
 */
export function matterOfReport(value: Report): Digest {
  const { findings, parked, blocked, jobs, restores, trust, breakGlass, hold } = value;
  return digestOfText(
    JSON.stringify({
      findings: findings
        .filter(({ severity }) => severity !== 'info')
        .map(({ key, severity, subject }) => [key, severity, subject].join(' '))
        .toSorted(),
      parked: parked.map(({ id }) => id).toSorted(),
      blocked: blocked.map((action) => action.digest).toSorted(),
      jobs: jobs.map(({ jobId, state, missing }) => [jobId, state, missing].join(' ')).toSorted(),
      restores: restores.map(({ id, state }) => [id, state].join(' ')).toSorted(),
      trust: trust.is === 'held' ? trust.digest : trust.is,
      breakGlass: breakGlass.is === 'open' ? breakGlass.until : breakGlass.is,
      hold,
    }),
  );
}
