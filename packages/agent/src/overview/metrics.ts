/**
 * The report as Prometheus text (exposition format 0.0.4). Pure, and from the report alone: what is not told there is no
 * metric either, and nothing that is not known has a sample, because a 0 would read as good news.
 *
 *   felhom_info{agent,proxmox}                        1
 *   felhom_last_pass_timestamp_seconds                end of the last pass
 *   felhom_converged                                  1: nothing left to do and nothing in the way
 *   felhom_findings{severity}                         how many
 *   felhom_sagas_parked                               work that waits for a person
 *   felhom_report_cut{list}                           entries that did not fit into the report, and so not in here
 *   felhom_guest_up{guest}                            1: running
 *   felhom_guest_status{guest,status}                 1 for the status it has
 *   felhom_backup_state{guest,tier,state}             1 for the state it has: ok, late, none, failing, unproven
 *   felhom_backup_rpo_seconds{guest,tier}             age of the newest good copy
 *   felhom_backup_proven_age_seconds{guest,tier}      age of the newest copy that a restore-test proved
 *   felhom_backup_rto_seconds{guest,tier}             how long the last measured restore took
 *   felhom_backup_size_bytes{guest,tier}              size of the newest copy
 *   felhom_backup_copies{guest,tier}                  good copies
 *   felhom_backup_next_timestamp_seconds{guest,tier}  when the next one is due
 *   felhom_bulk_protected{guest,volume}               1: a copy of it by its controller is known
 *   felhom_bulk_rpo_seconds{guest,volume}             age of that copy
 *   felhom_restore_test_verdict{guest,tier,verdict}   1 for the verdict of the newest: passed, failed, unproven, skipped
 *   felhom_restore_test_grade{guest,tier,grade}       1 for how far it got
 *   felhom_restore_test_timestamp_seconds{guest,tier} when it ended
 *   felhom_restore_undo_seconds_left{guest}           until the guest as it was is freed
 *   felhom_queue_waiting                              heavy work that waits for its turn
 *
 * Ages are counted at `now`, the host's own clock, also while no round looks at the backups. Label values are names of guests, tiers and volumes, never
 * texts, so their number is bounded by the report and their length by `longestLabel`.
 */
import { restoreGrades, restoreVerdict, reportedBackup, reportedGuest, severities } from '@felhom/protocol';
import type { Report, ReportedRestoreTest } from '@felhom/protocol';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

const longestLabel = 80;

/** `now`: wall time of the host in milliseconds. */
export function renderMetrics(report: Report, now: number): string {
  const { backups, bulk, guests, versions } = report;
  const tier = ({ guest, tier: name }: { readonly guest: string; readonly tier: string }) => ({ guest, tier: name });
  const age = (at: number | undefined) => (at === undefined ? undefined : Math.max(0, (now - at) / 1000));
  const newest = newestTests(report.restoreTests);
  const testOf = ({ evidence }: ReportedRestoreTest) => ({ guest: evidence.name, tier: evidence.tier });
  return [
    gauge('felhom_info', 'Versions of this host.', [
      [{ agent: versions.agent, ...(versions.proxmox === undefined ? {} : { proxmox: versions.proxmox }) }, 1],
    ]),
    gauge('felhom_last_pass_timestamp_seconds', 'End of the last pass.', known([[{}, seconds(report.lastPassAt)]])),
    gauge('felhom_converged', '1: nothing left to do and nothing in the way.', [[{}, Number(report.converged)]]),
    gauge(
      'felhom_findings',
      'Findings by severity.',
      severities.map((severity) => [{ severity }, report.findings.filter((one) => one.severity === severity).length]),
    ),
    gauge('felhom_sagas_parked', 'Work that waits for a person.', [[{}, report.parked.length]]),
    gauge(
      'felhom_report_cut',
      'Entries that did not fit into the report.',
      Object.entries(report.cut).map(([list, count]) => [{ list }, count]),
    ),
    gauge(
      'felhom_guest_up',
      '1: the guest runs.',
      guests.map(({ name, status }) => [{ guest: name }, Number(status === 'running')]),
    ),
    gauge(
      'felhom_guest_status',
      '1 for the status that the guest has.',
      guests.flatMap(({ name, status }) =>
        oneOf(reportedGuest.shape.status.options, status, 'status', { guest: name }),
      ),
    ),
    gauge(
      'felhom_backup_state',
      '1 for the state of the backups of a guest on a tier.',
      backups.flatMap((line) => oneOf(reportedBackup.shape.state.options, line.state, 'state', tier(line))),
    ),
    gauge(
      'felhom_backup_rpo_seconds',
      'Age of the newest good copy.',
      known(backups.map((line) => [tier(line), age(line.newest?.at)])),
    ),
    gauge(
      'felhom_backup_proven_age_seconds',
      'Age of the newest copy that a restore-test proved.',
      known(backups.map((line) => [tier(line), age(line.proven?.at)])),
    ),
    gauge(
      'felhom_backup_rto_seconds',
      'How long the last measured restore took.',
      known(backups.map((line) => [tier(line), seconds(line.rtoMs)])),
    ),
    gauge(
      'felhom_backup_size_bytes',
      'Size of the newest good copy.',
      known(backups.map((line) => [tier(line), line.newest?.sizeBytes])),
    ),
    gauge(
      'felhom_backup_copies',
      'Good copies.',
      backups.map((line) => [tier(line), line.copies]),
    ),
    gauge(
      'felhom_backup_next_timestamp_seconds',
      'When the next backup is due.',
      known(backups.map((line) => [tier(line), seconds(line.nextAt)])),
    ),
    gauge(
      'felhom_bulk_protected',
      '1: a copy of the bulk volume by its controller is known.',
      bulk.map(({ guest, volume, newestAt }) => [{ guest, volume }, Number(newestAt !== undefined)]),
    ),
    gauge(
      'felhom_bulk_rpo_seconds',
      'Age of the newest copy of the bulk volume.',
      known(bulk.map(({ guest, volume, newestAt }) => [{ guest, volume }, age(newestAt)])),
    ),
    gauge(
      'felhom_restore_test_verdict',
      '1 for the verdict of the newest restore-test.',
      newest.flatMap((test) => oneOf(restoreVerdict.options, test.evidence.verdict, 'verdict', testOf(test))),
    ),
    gauge(
      'felhom_restore_test_grade',
      '1 for how far the newest restore-test got.',
      newest.flatMap((test) => oneOf(restoreGrades, test.evidence.grade, 'grade', testOf(test))),
    ),
    gauge(
      'felhom_restore_test_timestamp_seconds',
      'When the newest restore-test ended.',
      known(newest.map((test) => [testOf(test), seconds(test.evidence.endedAt)])),
    ),
    gauge(
      'felhom_restore_undo_seconds_left',
      'Until the guest as it was before a restore is freed.',
      known(
        report.restores
          .filter(({ state }) => state === 'undoable')
          .map(({ guest, until }) => [{ guest }, until === undefined ? undefined : Math.max(0, (until - now) / 1000)]),
      ),
    ),
    gauge('felhom_queue_waiting', 'Heavy work that waits for its turn.', [
      [{}, report.queue.filter(({ waitsFor }) => waitsFor.length > 0).length],
    ]),
  ].join('');
}

/** Of each guest and tier; a skipped one counts only where there is no other. */
function newestTests(tests: readonly ReportedRestoreTest[]): readonly ReportedRestoreTest[] {
  const newest = new Map<string, ReportedRestoreTest>();
  const rank = ({ evidence }: ReportedRestoreTest): number => (evidence.verdict === 'skipped' ? 0 : 1);
  for (const test of tests) {
    const key = `${test.evidence.name} ${test.evidence.tier}`;
    const before = newest.get(key);
    const better =
      before === undefined ||
      rank(test) > rank(before) ||
      (rank(test) === rank(before) && test.evidence.endedAt > before.evidence.endedAt);
    if (better) newest.set(key, test);
  }
  return [...newest.values()];
}

/** One sample per possible value, so that an alert rule need not know which ones are absent. */
function oneOf(all: readonly string[], is: string, label: string, more: Labels): readonly Sample[] {
  return all.map((value) => [{ ...more, [label]: value }, Number(value === is)]);
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);

function known(samples: readonly (readonly [labels: Labels, value: number | undefined])[]): readonly Sample[] {
  return samples.flatMap(([labels, value]): Sample[] => (value === undefined ? [] : [[labels, value]]));
}

/** Two samples of one name and the same labels would void the whole scrape: the first one counts. */
function gauge(name: string, help: string, samples: readonly Sample[]): string {
  const lines = new Map<string, number>();
  for (const [labels, value] of samples) {
    const text = Object.entries(labels)
      .map(([label, of]) => `${label}="${escaped(of)}"`)
      .join(',');
    const series = text === '' ? name : `${name}{${text}}`;
    if (!lines.has(series)) lines.set(series, value);
  }
  if (lines.size === 0) return '';
  const body = [...lines].map(([series, value]) => `${series} ${value}\n`).join('');
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${body}`;
}

/** Cut first, so that no escape is cut in half. Other control characters have no escape in the format. */
function escaped(value: string): string {
  return value
    .slice(0, longestLabel)
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll(/\p{Cc}|\p{Cf}|\p{Cs}/gu, '\u{fffd}');
}
