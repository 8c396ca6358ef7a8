/**
 * Every metric of this host: its name, its labels, what it says. The list in `docs/how-to/metrics.md` is this one, and a
 * metric that is not in it cannot be written. Names stay: people hang alarms on them.
 */
export interface MetricName {
  readonly labels: readonly string[];
  readonly help: string;
}

export const metricNames = {
  felhom_info: { labels: ['agent', 'proxmox'], help: 'Versions of this host; always 1.' },
  felhom_last_pass_timestamp_seconds: { labels: [], help: 'End of the last pass.' },
  felhom_converged: { labels: [], help: '1: nothing left to do and nothing in the way.' },
  felhom_findings: { labels: ['severity'], help: 'Findings by severity.' },
  felhom_findings_by_key: { labels: ['key'], help: 'Findings by their cause.' },
  felhom_sagas_parked: { labels: [], help: 'Work that waits for a person.' },
  felhom_report_cut: { labels: ['list'], help: 'Entries that did not fit into the report, and so not in here.' },
  felhom_guest_up: { labels: ['guest'], help: '1: the guest runs.' },
  felhom_guest_status: { labels: ['guest', 'status'], help: '1 for the status that the guest has.' },
  felhom_backup_state: {
    labels: ['guest', 'tier', 'state'],
    help: '1 for the state of the backups of a guest on a tier: ok, late, none, failing, unproven.',
  },
  felhom_backup_rpo_seconds: { labels: ['guest', 'tier'], help: 'Age of the newest good copy.' },
  felhom_backup_proven_age_seconds: {
    labels: ['guest', 'tier'],
    help: 'Age of the newest copy that a restore-test proved.',
  },
  felhom_backup_rto_seconds: { labels: ['guest', 'tier'], help: 'How long the last measured restore took.' },
  felhom_backup_size_bytes: { labels: ['guest', 'tier'], help: 'Size of the newest good copy.' },
  felhom_backup_copies: { labels: ['guest', 'tier'], help: 'Good copies.' },
  felhom_backup_next_timestamp_seconds: { labels: ['guest', 'tier'], help: 'When the next backup is due.' },
  felhom_bulk_protected: {
    labels: ['guest', 'volume'],
    help: '1: a copy of the bulk volume by its controller is known.',
  },
  felhom_bulk_rpo_seconds: { labels: ['guest', 'volume'], help: 'Age of the newest copy of the bulk volume.' },
  felhom_restore_test_verdict: {
    labels: ['guest', 'tier', 'verdict'],
    help: '1 for the verdict of the newest restore-test: passed, failed, unproven, skipped.',
  },
  felhom_restore_test_grade: {
    labels: ['guest', 'tier', 'grade'],
    help: '1 for how far the newest restore-test got.',
  },
  felhom_restore_test_timestamp_seconds: { labels: ['guest', 'tier'], help: 'When the newest restore-test ended.' },
  felhom_restore_undo_seconds_left: {
    labels: ['guest'],
    help: 'Until the guest as it was before a restore is freed.',
  },
  felhom_queue_waiting: { labels: [], help: 'Heavy work that waits for its turn.' },
  felhom_target_state: {
    labels: ['target', 'state'],
    help: '1 for the state of the storage target: attached, disconnected, decommissioned.',
  },
  felhom_target_state_since_timestamp_seconds: { labels: ['target'], help: 'Since when it is in this state.' },
  felhom_target_flapping: { labels: ['target'], help: '1: it comes and goes.' },
  felhom_target_used_bytes: { labels: ['target'], help: 'Used on the storage target.' },
  felhom_target_total_bytes: { labels: ['target'], help: 'Size of the storage target.' },
  felhom_tunnel_state: {
    labels: ['state'],
    help: '1 for the state of the tunnel: none, up, down, no-internet, unknown.',
  },
  felhom_disk_health: {
    labels: ['disk', 'model', 'serial', 'health'],
    help: "1 for the disk's own verdict (SMART): passed, failed, unknown.",
  },
  felhom_disk_worn_percent: {
    labels: ['disk', 'model', 'serial'],
    help: "Percent of an SSD's life that is used up.",
  },
  felhom_host_vitals_timestamp_seconds: { labels: [], help: 'When the numbers of the host below were taken.' },
  felhom_host_uptime_seconds: { labels: [], help: 'Since the host came up.' },
  felhom_host_cpu_percent: { labels: [], help: 'Share of the processors that is busy.' },
  felhom_host_load1: { labels: [], help: 'Processes that run or wait, over a minute.' },
  felhom_host_memory_used_bytes: { labels: [], help: 'Memory that could not be given to others at once.' },
  felhom_host_memory_total_bytes: { labels: [], help: 'Memory of the host.' },
  felhom_host_root_disk_used_bytes: { labels: [], help: 'Used on the file system that / is on.' },
  felhom_host_root_disk_total_bytes: { labels: [], help: 'Size of the file system that / is on.' },
  felhom_host_pressure_percent: {
    labels: ['of'],
    help: 'Part of the last minute in which something waited for it: cpu, memory, io.',
  },
  felhom_host_hottest_celsius: { labels: [], help: 'The hottest sensor.' },
} as const satisfies Readonly<Record<string, MetricName>>;

export type Metric = keyof typeof metricNames;

/** As it stands in the documentation. */
export function metricsTable(): string {
  const rows = Object.entries<MetricName>(metricNames).map(
    ([name, { labels, help }]) => `| \`${name}\` | ${labels.map((label) => `\`${label}\``).join(' ')} | ${help} |`,
  );
  return ['| name | labels | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}
