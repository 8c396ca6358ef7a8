import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HostVitals, Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { metricNames, metricsTable } from './metric-names.ts';
import type { MetricName } from './metric-names.ts';
import { renderMetrics } from './metrics.ts';

const now = Date.UTC(2026, 0, 10);
const hour = 3_600_000;
const uid = 'a'.repeat(26);

function reportWith(more: Readonly<Record<string, unknown>>): Report {
  return emptyReport({
    ...more,
  });
}

const backup = (more: object = {}) => ({
  guest: 'cloud',
  uid,
  tier: 'nightly',
  target: 'nas',
  state: 'ok',
  copies: 3,
  risks: [],
  ...more,
});
const guest = (name: string, status: string) => ({ name, status, drift: [], pending: [], held: false });
const tested = (verdict: string, grade: string, endedAt: number, more: object = {}) => ({
  evidence: {
    v: 1,
    host: 'alpha',
    test: 't',
    guest: uid,
    name: 'cloud',
    tier: 'nightly',
    backup: { id: 'b', archive: 'nas:x', sha256: '0'.repeat(64), takenAt: 1 },
    verdict,
    grade,
    text: '',
    startedAt: 1,
    endedAt,
    timings: {},
    ...more,
  },
  digest: '0'.repeat(64),
  signature: '',
});

const rows: readonly (readonly [name: string, more: Readonly<Record<string, unknown>>, has: readonly string[]])[] = [
  [
    'the age of the newest copy',
    {
      backups: [
        backup({ newest: { id: 'b', at: now - 2 * hour, consistency: 'app', mode: 'snapshot', sizeBytes: 5 } }),
      ],
    },
    [
      'felhom_backup_rpo_seconds{guest="cloud",tier="nightly"} 7200',
      'felhom_backup_size_bytes{guest="cloud",tier="nightly"} 5',
    ],
  ],
  [
    'the age of the newest proven one',
    { backups: [backup({ proven: { id: 'b', at: now - hour, testedAt: now } })] },
    ['felhom_backup_proven_age_seconds{guest="cloud",tier="nightly"} 3600'],
  ],
  [
    'how long a restore takes',
    { backups: [backup({ rtoMs: 1500 })] },
    ['felhom_backup_rto_seconds{guest="cloud",tier="nightly"} 1.5'],
  ],
  [
    'the state, one sample per value',
    { backups: [backup({ state: 'late' })] },
    [
      'felhom_backup_state{guest="cloud",tier="nightly",state="late"} 1',
      'felhom_backup_state{guest="cloud",tier="nightly",state="ok"} 0',
    ],
  ],
  [
    'guests',
    { guests: [guest('cloud', 'running'), guest('web', 'missing')] },
    [
      'felhom_guest_up{guest="cloud"} 1',
      'felhom_guest_up{guest="web"} 0',
      'felhom_guest_status{guest="web",status="missing"} 1',
    ],
  ],
  [
    'bulk that nobody backs up',
    { bulk: [{ guest: 'cloud', volume: 'media', decision: 'undecided' }] },
    ['felhom_bulk_protected{guest="cloud",volume="media"} 0'],
  ],
  [
    'the newest test that was one, not one that was skipped since',
    {
      restoreTests: [
        tested('skipped', 'failed', now),
        tested('passed', 'proven', now - hour),
        tested('failed', 'booted', now - 2 * hour),
      ],
    },
    [
      'felhom_restore_test_verdict{guest="cloud",tier="nightly",verdict="passed"} 1',
      'felhom_restore_test_verdict{guest="cloud",tier="nightly",verdict="skipped"} 0',
      'felhom_restore_test_grade{guest="cloud",tier="nightly",grade="proven"} 1',
    ],
  ],
  [
    'an undo window',
    {
      restores: [
        { id: 'r', guest: 'cloud', uid, kind: 'overwrite', state: 'undoable', at: 1, until: now + hour, text: '' },
      ],
    },
    ['felhom_restore_undo_seconds_left{guest="cloud"} 3600'],
  ],
];
for (const [name, more, has] of rows)
  test(`metrics: ${name}`, () => {
    const lines = renderMetrics(reportWith(more), now).split('\n');
    for (const line of has) assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  });

test('what is not known has no sample', () => {
  const text = renderMetrics(reportWith({ backups: [backup({ state: 'none', copies: 0 })] }), now);
  assert.doesNotMatch(text, /rpo_seconds|proven_age|rto_seconds|last_pass/);
  assert.match(text, /^felhom_backup_copies\{guest="cloud",tier="nightly"\} 0$/m);
});

const sample = /^[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? -?[0-9.e+-]+$/;
test('every line is one of the format, also with hostile words; names are long and odd, never torn', () => {
  const evil = '"}\n# HELP x\\\u001b[2J\u202e\ud800';
  const text = renderMetrics(
    reportWith({
      versions: { agent: evil, node: '26', proxmox: '\\'.repeat(60) },
      backups: [backup({ tier: evil.slice(0, 40) })],
      bulk: [{ guest: 'cloud', volume: '"'.repeat(40), decision: 'undecided' }],
    }),
    now,
  );
  for (const line of text.trimEnd().split('\n'))
    if (!line.startsWith('# ')) assert.match(line, sample);
    else assert.match(line, /^# (?:HELP felhom_[a-z_]+ [^\n]+|TYPE felhom_[a-z_]+ gauge)$/);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u202e]/);
  assert.ok(text.isWellFormed());
});

test('no series occurs twice, whatever the report repeats', () => {
  const text = renderMetrics(
    reportWith({ backups: [backup(), backup()], guests: [guest('a', 'running'), guest('a', 'stopped')] }),
    now,
  );
  const series = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/ [^ ]+$/, ''));
  assert.equal(new Set(series).size, series.length);
});

const vitals: HostVitals = {
  at: now - 5_000,
  uptimeSeconds: 60,
  cpuPercent: 12.5,
  load1: 0.5,
  memory: { usedBytes: 1, totalBytes: 2 },
  rootDisk: { usedBytes: 3, totalBytes: 4 },
  pressure: { cpu: 1, memory: 2, io: 3 },
  hottestC: 45.5,
  targets: [{ name: 'nas', usedBytes: 5, totalBytes: 6 }],
};
const target = {
  name: 'nas',
  type: 'nfs',
  storage: 'nas',
  role: 'vzdump-target',
  class: 'slow',
  identity: 'nfs:a:/b',
  offsite: true,
  state: 'disconnected',
  since: now - hour,
  why: 'gone',
  flapping: true,
};

/** Everything that a report can say, so that every metric has a sample. */
const whole = reportWith({
  lastPassAt: now,
  guests: [guest('cloud', 'running')],
  findings: [
    { key: 'host.hot', severity: 'warning', subject: 'host', text: 'x', advice: { text: 'y' }, since: 1 },
    { key: 'disk.failed', severity: 'critical', subject: 'a', text: 'x', advice: { text: 'y' }, since: 1 },
    { key: 'disk.failed', severity: 'critical', subject: 'b', text: 'x', advice: { text: 'y' }, since: 1 },
  ],
  backups: [
    backup({
      newest: { id: 'b', at: now, consistency: 'app', mode: 'snapshot', sizeBytes: 5 },
      proven: { id: 'b', at: now, testedAt: now },
      rtoMs: 1,
      nextAt: now,
    }),
  ],
  bulk: [{ guest: 'cloud', volume: 'mp1', decision: 'controller', newestAt: now }],
  restoreTests: [tested('passed', 'healthy', now)],
  restores: [{ id: 'r', guest: 'cloud', uid, kind: 'overwrite', state: 'undoable', at: now, until: now, text: '' }],
  targets: [target],
  disks: [{ device: 'sda', model: 'M', serial: 'S', health: 'failed', wornPercent: 3 }],
  tunnel: { is: 'no-internet', since: 1, why: 'x' },
});

test('the host: state from the report, numbers from beside it', () => {
  const text = renderMetrics(whole, now, vitals);
  for (const line of [
    'felhom_findings_by_key{key="disk.failed"} 2',
    'felhom_target_state{target="nas",state="disconnected"} 1',
    'felhom_target_state{target="nas",state="attached"} 0',
    'felhom_target_flapping{target="nas"} 1',
    'felhom_target_used_bytes{target="nas"} 5',
    'felhom_tunnel_state{state="no-internet"} 1',
    'felhom_tunnel_state{state="up"} 0',
    'felhom_disk_health{disk="sda",model="M",serial="S",health="failed"} 1',
    'felhom_disk_worn_percent{disk="sda",model="M",serial="S"} 3',
    'felhom_host_cpu_percent 12.5',
    'felhom_host_pressure_percent{of="io"} 3',
    'felhom_host_hottest_celsius 45.5',
    `felhom_host_vitals_timestamp_seconds ${(now - 5_000) / 1000}`,
  ])
    assert.ok(text.split('\n').includes(line), line);
  const bare = renderMetrics(whole, now, { at: now, uptimeSeconds: 1, targets: [] });
  assert.ok(!/cpu_percent|pressure|hottest|memory/.test(bare), 'what is not known has no sample');
  assert.ok(!renderMetrics(whole, now).includes('felhom_host_'));
});

test('every name is documented with its labels, and every documented name is written', () => {
  const seen = new Map<string, Set<string>>();
  for (const line of renderMetrics(whole, now, vitals).split('\n')) {
    const sample = /^(felhom_\w+)(?:\{(.*)\})? /.exec(line);
    if (sample === null) continue;
    const labels = seen.get(sample[1] ?? '') ?? new Set<string>();
    for (const [, label] of (sample[2] ?? '').matchAll(/(\w+)="/g)) labels.add(label ?? '');
    seen.set(sample[1] ?? '', labels);
  }
  assert.deepEqual([...seen.keys()].toSorted(), Object.keys(metricNames).toSorted());
  for (const [name, { labels }] of Object.entries<MetricName>(metricNames))
    // A fresh host has no Proxmox version yet.
    assert.deepEqual(
      [...(seen.get(name) ?? [])],
      labels.filter((label) => label !== 'proxmox'),
      name,
    );
});

test('the documentation holds this very list', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../docs/how-to/metrics.md'), 'utf8');
  const plain = (text: string): string => text.replaceAll(/ {2,}/g, ' ').replaceAll(/-{3,}/g, '---');
  assert.ok(
    plain(page).includes(plain(metricsTable())),
    `put this list into docs/how-to/metrics.md:\n${metricsTable()}`,
  );
});

test('the dashboard that is shipped asks for documented names and labels only', () => {
  const file = join(import.meta.dirname, '../../../../packaging/grafana/felhom-host.json');
  const dashboard: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const texts: string[] = [];
  const walk = (value: unknown, key: string): void => {
    if (typeof value === 'string' && (key === 'expr' || key === 'query' || key === 'definition')) texts.push(value);
    else if (typeof value === 'object' && value !== null)
      for (const [name, one] of Object.entries(value)) walk(one, name);
  };
  walk(dashboard, '');
  const asked = new Set<string>();
  for (const text of texts)
    for (const [, name = '', filter] of text.matchAll(/\b(felhom_\w+)(?:\{([^}]*)\})?/g)) {
      asked.add(name);
      const known = (metricNames as Readonly<Record<string, MetricName>>)[name];
      assert.ok(known !== undefined, `${name} is not a metric of ours`);
      // Whoever scrapes adds these two.
      for (const [, label = ''] of (filter ?? '').matchAll(/(\w+)\s*[!=]~?/g))
        assert.ok([...known.labels, 'instance', 'job'].includes(label), `${name} has no label ${label}`);
    }
  assert.ok(asked.size >= 20, 'it shows something');
});
