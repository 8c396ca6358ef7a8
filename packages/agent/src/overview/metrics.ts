/**
 * The report as Prometheus text (exposition format 0.0.4). Pure, and from what the agent tells of itself alone: what is
 * not told there is no metric either, and nothing that is not known has a sample, because a 0 would read as good news.
 *
 * Names, labels and meanings stand in `metric-names.ts`. Ages are counted at `now`, the host's own clock, also while no
 * round looks at the backups. Label values are names of guests, tiers, volumes, targets and disks, never texts, so their
 * number is bounded by the report and their length by `longestLabel`.
 */
import {
  reportedBackup,
  reportedDisk,
  reportedGuest,
  reportedTunnel,
  restoreGrades,
  restoreVerdict,
  severities,
  targetStates,
} from '@felhom/protocol';
import type { HostVitals, Report, ReportedRestoreTest } from '@felhom/protocol';
import { metricNames } from './metric-names.ts';
import type { Metric, MetricName } from './metric-names.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

const longestLabel = 80;

/** `now`: wall time of the host in milliseconds. Of `vitals` only those that are of now are given. */
export function renderMetrics(report: Report, now: number, vitals?: HostVitals): string {
  const { backups, bulk, guests, versions } = report;
  const tier = ({ guest, tier: name }: { readonly guest: string; readonly tier: string }) => ({ guest, tier: name });
  const age = (at: number | undefined) => (at === undefined ? undefined : Math.max(0, (now - at) / 1000));
  const newest = newestTests(report.restoreTests);
  const testOf = ({ evidence }: ReportedRestoreTest) => ({ guest: evidence.name, tier: evidence.tier });
  return [
    gauge('felhom_info', [
      [{ agent: versions.agent, ...(versions.proxmox === undefined ? {} : { proxmox: versions.proxmox }) }, 1],
    ]),
    gauge('felhom_last_pass_timestamp_seconds', known([[{}, seconds(report.lastPassAt)]])),
    gauge('felhom_converged', [[{}, Number(report.converged)]]),
    gauge(
      'felhom_findings',
      severities.map((severity) => [{ severity }, report.findings.filter((one) => one.severity === severity).length]),
    ),
    gauge('felhom_findings_by_key', byKey(report.findings)),
    gauge('felhom_sagas_parked', [[{}, report.parked.length]]),
    gauge(
      'felhom_report_cut',
      Object.entries(report.cut).map(([list, count]) => [{ list }, count]),
    ),
    gauge(
      'felhom_guest_up',
      guests.map(({ name, status }) => [{ guest: name }, Number(status === 'running')]),
    ),
    gauge(
      'felhom_guest_status',
      guests.flatMap(({ name, status }) =>
        oneOf(reportedGuest.shape.status.options, status, 'status', { guest: name }),
      ),
    ),
    gauge(
      'felhom_backup_state',
      backups.flatMap((line) => oneOf(reportedBackup.shape.state.options, line.state, 'state', tier(line))),
    ),
    gauge('felhom_backup_rpo_seconds', known(backups.map((line) => [tier(line), age(line.newest?.at)]))),
    gauge('felhom_backup_proven_age_seconds', known(backups.map((line) => [tier(line), age(line.proven?.at)]))),
    gauge('felhom_backup_rto_seconds', known(backups.map((line) => [tier(line), seconds(line.rtoMs)]))),
    gauge('felhom_backup_size_bytes', known(backups.map((line) => [tier(line), line.newest?.sizeBytes]))),
    gauge(
      'felhom_backup_copies',
      backups.map((line) => [tier(line), line.copies]),
    ),
    gauge('felhom_backup_next_timestamp_seconds', known(backups.map((line) => [tier(line), seconds(line.nextAt)]))),
    gauge(
      'felhom_bulk_protected',
      bulk.map(({ guest, volume, newestAt }) => [{ guest, volume }, Number(newestAt !== undefined)]),
    ),
    gauge(
      'felhom_bulk_rpo_seconds',
      known(bulk.map(({ guest, volume, newestAt }) => [{ guest, volume }, age(newestAt)])),
    ),
    gauge(
      'felhom_restore_test_verdict',
      newest.flatMap((test) => oneOf(restoreVerdict.options, test.evidence.verdict, 'verdict', testOf(test))),
    ),
    gauge(
      'felhom_restore_test_grade',
      newest.flatMap((test) => oneOf(restoreGrades, test.evidence.grade, 'grade', testOf(test))),
    ),
    gauge(
      'felhom_restore_test_timestamp_seconds',
      known(newest.map((test) => [testOf(test), seconds(test.evidence.endedAt)])),
    ),
    gauge(
      'felhom_restore_undo_seconds_left',
      known(
        report.restores
          .filter(({ state }) => state === 'undoable')
          .map(({ guest, until }) => [{ guest }, until === undefined ? undefined : Math.max(0, (until - now) / 1000)]),
      ),
    ),
    gauge('felhom_queue_waiting', [[{}, report.queue.filter(({ waitsFor }) => waitsFor.length > 0).length]]),
    ...hostState(report),
    ...(vitals === undefined ? [] : hostNumbers(vitals)),
  ].join('');
}

function hostState({ targets, tunnel, disks }: Report): readonly string[] {
  const disk = ({ device, model, serial }: Report['disks'][number]) => ({ disk: device, model, serial });
  return [
    gauge(
      'felhom_target_state',
      targets.flatMap(({ name, state }) => oneOf(targetStates, state, 'state', { target: name })),
    ),
    gauge(
      'felhom_target_state_since_timestamp_seconds',
      known(targets.map(({ name, since }) => [{ target: name }, seconds(since)])),
    ),
    gauge(
      'felhom_target_flapping',
      targets.map(({ name, flapping }) => [{ target: name }, Number(flapping)]),
    ),
    gauge('felhom_tunnel_state', oneOf(tunnelStates, tunnel.is, 'state', {})),
    gauge(
      'felhom_disk_health',
      disks.flatMap((one) => oneOf(reportedDisk.shape.health.options, one.health, 'health', disk(one))),
    ),
    gauge('felhom_disk_worn_percent', known(disks.map((one) => [disk(one), one.wornPercent]))),
  ];
}

function hostNumbers(vitals: HostVitals): readonly string[] {
  const { memory, rootDisk, pressure, targets } = vitals;
  const one = (value: number | undefined): readonly Sample[] => known([[{}, value]]);
  return [
    gauge('felhom_host_vitals_timestamp_seconds', one(seconds(vitals.at))),
    gauge('felhom_host_uptime_seconds', one(vitals.uptimeSeconds)),
    gauge('felhom_host_cpu_percent', one(vitals.cpuPercent)),
    gauge('felhom_host_load1', one(vitals.load1)),
    gauge('felhom_host_memory_used_bytes', one(memory?.usedBytes)),
    gauge('felhom_host_memory_total_bytes', one(memory?.totalBytes)),
    gauge('felhom_host_root_disk_used_bytes', one(rootDisk?.usedBytes)),
    gauge('felhom_host_root_disk_total_bytes', one(rootDisk?.totalBytes)),
    gauge(
      'felhom_host_pressure_percent',
      Object.entries(pressure ?? {}).map(([of, percent]) => [{ of }, percent]),
    ),
    gauge('felhom_host_hottest_celsius', one(vitals.hottestC)),
    gauge(
      'felhom_target_used_bytes',
      targets.map(({ name, usedBytes }) => [{ target: name }, usedBytes]),
    ),
    gauge(
      'felhom_target_total_bytes',
      targets.map(({ name, totalBytes }) => [{ target: name }, totalBytes]),
    ),
  ];
}

const tunnelStates: readonly string[] = reportedTunnel.options.map(({ shape }) => shape.is.value);

/** How many findings there are of each cause. */
function byKey(findings: Report['findings']): readonly Sample[] {
  const counts = new Map<string, number>();
  for (const { key } of findings) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, count]) => [{ key }, count]);
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
function gauge(name: Metric, samples: readonly Sample[]): string {
  const { help }: MetricName = metricNames[name];
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
