import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
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

test('the names that are documented are those that there are', async () => {
  const { readFileSync } = await import('node:fs');
  const source = readFileSync(new URL('metrics.ts', import.meta.url), 'utf8');
  const documented = [...source.matchAll(/^ \* {3}(felhom_[a-z_]+)/gm)].map(([, name]) => name);
  const made = [...source.matchAll(/gauge\(\s*'(felhom_[a-z_]+)'/g)].map(([, name]) => name);
  assert.deepEqual(documented, made);
});
