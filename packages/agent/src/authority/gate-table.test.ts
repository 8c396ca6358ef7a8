/** The table, repeated: an independent reading of the rule book, so that no row changes by accident. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { effects } from '../../test/gate-facts.ts';
import type { EffectKind } from './effects.ts';
import { effectRows, gateTable, isBuilt, rowOf } from './gate-table.ts';
import type { GateRow } from './gate-row.ts';

/** `line id verdict classes signers`; U unsigned, R ranged, S signed, F finding, N never, D document, X no field. */
const expected = `
desired-state
 1 guest-present            R -           1
 1 guest-lost               U -           1
 2 guest-absent             F -           1
 2 guest-removal            S Des         2
 3 guest-reappears          R -           1
 4 power-running            U -           1
 4 stale-mount              U -           1
 5 power-stopped            S Div         1
 6 capacity-up              R -           1
 7 capacity-down            S Div         1
 8 volume-grow              R Div         1
 9 volume-shrink            S Des         1
 9 volume-remove            S Des         1
 9 volume-move              S Dis         1
10 volume-new               R -           1
11 mount-options            S Div         1
12 backup-weaker            S Des         1
12 backup-stronger          U -           1
13 network                  S Dis/Div     1
14 hostname                 S Div         1
14 marker                   U -           1
14 display                  U -           1
15 root-equivalent          X -           1
15 start-settings           R -           1
16 target-new               S Dis         1
17 target-class             S Div         1
18 target-role              S Des         1
19 target-creds             U -           1
20 schedule                 R -           1
21 retention                R -           1
21 checkpoint-over          U -           1
22 bulk-unprotected         S Des         1
23 restore-test             R -           1
23 scratch-leftover         U -           1
24 controller-image         S Dep         1
24 controller-known         R -           1
24 controller-claim         U -           1
25 controller-config-new    U -           1
25 controller-config-change S Dis         1
26 reporting                R -           1
27 update-window            R -           1
28 host-ranges              N -           1
29 hold                     S Div         1
30 lineage                  F -           1
31 consent                  N -           1
32 unknown-field            D -           1
job
 1 job-restore-overwrite    S Des         1
 2 job-restore-in-place     S Des         2
 3 job-restore-copy         S Dis         1
 4 job-saga                 S Des         of-the-saga
 5 job-rollback             S Des         1
 6 job-decommission         S Des         2
 7 job-target-detach        S Des/Dis     1
 7 job-target-wipe          S Des/Dis     2
 8 job-backup-delete        S Des         1
 9 job-floor-lower          S Des         1
10 job-backup-force         S -           1
11 job-approve              S Des         of-the-saga
12 job-trust-change         S Des/Dis/Dep/Div highest-touched
13 job-break-glass-open     S Dis         1
13 job-break-glass-close    U -           1
14 job-hub-re-point         S Dis         2
15 job-downgrade            S Dep         1
16 job-adopt                S Des         1
17 job-cancel               S -           1
18 job-tunnel-change        S Dis         1
local-route
 1 route-read               U -           1
 2 route-snapshot           R -           1
 3 route-rollback           R -           1
 4 route-backup             R -           1
 5 route-redeem             R -           1
 6 route-manifest           R -           1
 7 route-consent            S Dis         1
 8 route-lookup             U -           1
 9 route-supervisor         R -           1
`;

const letters = {
  unsigned: 'U',
  ranged: 'R',
  signed: 'S',
  'finding-only': 'F',
  'never-from-hub': 'N',
  'refused-document': 'D',
  'not-in-schema': 'X',
} as const satisfies Record<GateRow['verdict'], string>;
const short = { destroy: 'Des', disclose: 'Dis', deploy: 'Dep', divert: 'Div' } as const;

test('every row of the rule book is here with its verdict, classes and signers', () => {
  let section = '';
  const lines = Object.entries<GateRow>(gateTable).flatMap(([id, row]) => {
    const head = row.section === section ? [] : [row.section];
    section = row.section;
    const classes = row.classes.map((effectClass) => short[effectClass]).join('/') || '-';
    return [...head, `${row.line} ${id} ${letters[row.verdict]} ${classes} ${row.signers}`];
  });
  const wanted = expected
    .trim()
    .split('\n')
    .map((line) => line.trim().replaceAll(/\s+/g, ' '));
  assert.deepEqual(lines, wanted);
});

test('each effect is decided by exactly one row, and a row that nothing can ask for is no field of any schema', () => {
  const kinds = Object.keys(effects).sort();
  assert.deepEqual(Object.keys(effectRows).sort(), kinds);
  const used = new Set<string>(Object.values(effectRows));
  const without = Object.keys(gateTable).filter((id) => !used.has(id));
  // Decided before any effect exists: by schemas, by adoption of documents, by the finding, by root's own file.
  assert.deepEqual(without, [
    'guest-absent',
    'guest-reappears',
    'root-equivalent',
    'host-ranges',
    'lineage',
    'consent',
    'unknown-field',
    'job-approve',
    'route-read',
    'route-lookup',
  ]);
});

test('an effect that this release can carry out has a row that is available now, and only those relax', () => {
  for (const [kind, effect] of Object.entries(effects) as [EffectKind, (typeof effects)[EffectKind]][])
    if (isBuilt(effect)) assert.equal(rowOf(kind).availableSince, 'now', kind);
  const relaxing = Object.entries<GateRow>(gateTable).filter(([, row]) => row.beforeServed === 'ranged');
  assert.deepEqual(
    relaxing.map(([id]) => id),
    ['power-stopped', 'capacity-down', 'mount-options', 'network', 'hostname'],
  );
  for (const [id, row] of relaxing) {
    assert.ok(row.classes.includes('divert'), id);
    assert.ok(!row.classes.includes('destroy') && !row.classes.includes('deploy'), id);
  }
});

test('a signed row says which gate it guards and never asks for fewer than one signature', () => {
  for (const [id, row] of Object.entries<GateRow>(gateTable)) {
    // A forced backup is signed for the quota alone, and to cancel a removal gives back.
    if (row.verdict === 'signed' && id !== 'job-backup-force' && id !== 'job-cancel')
      assert.ok(row.classes.length > 0, id);
    if (typeof row.signers === 'number') assert.ok(row.signers >= 1, id);
  }
});

test('only a hold, what makes a guest ours, and what is about copies of it goes by the record alone', () => {
  const byRecord = Object.entries<GateRow>(gateTable).filter(([, row]) => row.reaches === 'record');
  assert.deepEqual(
    byRecord.map(([id]) => id),
    [
      'guest-lost',
      'retention',
      'restore-test',
      'scratch-leftover',
      'hold',
      'job-restore-copy',
      'job-backup-delete',
      'job-adopt',
    ],
  );
});

test('starting, and whatever backs up, is outside the blast radius', () => {
  for (const kind of ['guest-start', 'guest-onboot-on', 'backup-on-demand', 'backup-force', 'marker-repair'] as const)
    assert.equal(rowOf(kind).blast, undefined, kind);
});

test('hold never stops a backup', () => {
  for (const kind of ['backup-on-demand', 'backup-force'] as const)
    assert.equal(rowOf(kind).underHold, 'goes-on', kind);
});

test('nobody but provenance mints', () => {
  const root = join(import.meta.dirname, '..');
  const importers = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .filter((path) => readFileSync(join(root, path), 'utf8').includes('/mint-warrant.ts'));
  assert.deepEqual(importers, [join('authority', 'provenance.ts')]);
});
