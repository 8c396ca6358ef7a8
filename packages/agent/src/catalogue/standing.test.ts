import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportedBackup, reportedBulk, reportedCopy } from '@felhom/protocol';
import type { DesiredVolume, Digest, ReportedBackup, StorageId } from '@felhom/protocol';
import { standings } from './standing.ts';
import type { Standing, StandingGuest, StandingInput } from './standing.ts';
import { at, day, hour, nameOf, provenAt, record, tierOf, uidOf } from './test/builders.ts';

const now = at('2026-11-26T12:00:00Z');
const slot = at('2026-11-26T03:00:00Z');

const cloud: StandingGuest = {
  uid: uidOf('a'),
  name: nameOf('cloud'),
  tiers: [tierOf('03:00')],
  since: now - 100 * day,
  canHoldStill: true,
  appConsistent: true,
  volumes: [],
};
function standingOf(more: Partial<StandingInput> = {}, guest: Partial<StandingGuest> = {}): Standing {
  const standing = standings({
    now,
    guests: [{ ...cloud, ...guest }],
    records: [record('one', slot, { proven: provenAt(now - day) })],
    decisions: [],
    failures: [],
    bulkCopies: [],
    tests: [],
    policy: { provenAlarmDays: 14 },
    floors: { keepDays: 7 },
    keepsAll: new Map(),
    listed: [],
    ...more,
  });
  for (const line of standing.backups) reportedBackup.parse(line);
  for (const line of standing.bulk) reportedBulk.parse(line);
  for (const line of standing.copies) reportedCopy.parse(line);
  return standing;
}
const found = ({ findings }: Standing): string[] =>
  findings.map(({ key, severity, subject }) => `${severity} ${key} ${subject}`);
const failure = { guest: uidOf('a'), tier: 'nightly', attempts: 2, at: now - hour, text: 'the storage is full' };

test('age of the newest and of the newest proven copy, and how long a restore takes', () => {
  const standing = standingOf({
    records: [
      record('one', slot, { capturedAt: slot + 5000 }),
      record('two', slot - day, { proven: provenAt(now - hour) }),
    ],
  });
  const [line] = standing.backups;
  assert.equal(line?.state, 'ok');
  assert.equal(line.rpoMs, 9 * hour - 5000);
  assert.equal(line.provenAgeMs, 33 * hour);
  assert.equal(line.rtoMs, 90_000);
  assert.equal(line.copies, 2);
  assert.deepEqual(found(standing), []);
  assert.deepEqual(
    standing.copies.map(({ proven }) => proven),
    [false, true],
  );
});

const states: readonly {
  name: string;
  more: Partial<StandingInput>;
  state: ReportedBackup['state'];
  findings: readonly string[];
}[] = [
  {
    name: 'none at all',
    more: { records: [] },
    state: 'none',
    findings: ['critical backup.none cloud/nightly', 'critical backup.unproven cloud/nightly'],
  },
  {
    name: 'late',
    more: { records: [record('one', slot - day, { proven: provenAt(now) })] },
    state: 'late',
    findings: ['warning backup.late cloud/nightly'],
  },
  {
    name: 'not late within two hours',
    more: { records: [record('one', slot - day, { proven: provenAt(now) })], now: slot + 2 * hour },
    state: 'ok',
    findings: [],
  },
  {
    name: 'a newer one that is corrupt is late and named',
    more: {
      records: [
        record('one', slot, { integrity: { at: now, is: 'corrupt', text: 'ends early' } }),
        record('two', slot - day, { proven: provenAt(now) }),
      ],
    },
    state: 'late',
    findings: ['warning backup.late cloud/nightly', 'critical backup.bad-copy cloud/nightly'],
  },
  {
    name: 'failing',
    more: { failures: [failure] },
    state: 'failing',
    findings: ['critical backup.failing cloud/nightly'],
  },
  {
    name: 'failed before the newest good one',
    more: { failures: [{ ...failure, at: slot - hour }] },
    state: 'ok',
    findings: [],
  },
  {
    name: 'unproven',
    more: { records: [record('one', slot)] },
    state: 'unproven',
    findings: ['critical backup.unproven cloud/nightly'],
  },
  {
    name: 'proven too long ago',
    more: { records: [record('one', slot), record('two', slot - day, { proven: provenAt(now - 15 * day) })] },
    state: 'unproven',
    findings: ['critical backup.unproven cloud/nightly'],
  },
  {
    name: 'fewer listed than taken, below the floor',
    more: {
      records: [record('one', slot, { proven: provenAt(now) }), record('two', slot - day)],
      listed: [{ guest: uidOf('a'), tier: 'nightly', copies: 1 }],
    },
    state: 'ok',
    findings: ['critical backup.shrunk cloud/nightly'],
  },
  {
    name: 'taken in another mode and without its apps held still',
    more: { records: [record('one', slot, { proven: provenAt(now), mode: 'suspend', consistency: 'crash' })] },
    state: 'ok',
    findings: ['warning backup.not-a-snapshot cloud/nightly', 'warning backup.crash-consistent cloud/nightly'],
  },
  {
    name: 'a storage that prunes by itself; one of which it is not known',
    more: { keepsAll: new Map([['second' as StorageId, false]]) },
    state: 'ok',
    findings: ['critical backup.storage-prunes second'],
  },
];
for (const row of states)
  test(`state: ${row.name}`, () => {
    const standing = standingOf(row.more);
    assert.equal(standing.backups[0]?.state, row.state);
    assert.deepEqual(found(standing), row.findings);
  });

test('a new guest has time for its first backup and its first test', () => {
  assert.deepEqual(found(standingOf({ records: [] }, { since: now - hour })), ['info backup.none cloud/nightly']);
});

test('a guest on no tier is named', () => {
  assert.deepEqual(found(standingOf({}, { tiers: [] })), ['critical backup.none cloud']);
});

test('the last test that restored and booted measures the restore, also one that went wrong later', () => {
  const evidence = {
    v: 1 as const,
    host: 'box' as never,
    test: 't',
    guest: uidOf('a'),
    name: nameOf('cloud'),
    tier: 'nightly',
    backup: { id: 'x', archive: 'second:x' as never, sha256: 'a'.repeat(64) as Digest, takenAt: slot },
    verdict: 'failed' as const,
    grade: 'damaged' as const,
    text: '',
    startedAt: now,
    endedAt: now,
    timings: { restoreMs: 30_000, bootMs: 4000 },
  };
  assert.equal(standingOf({ tests: [evidence] }).backups[0]?.rtoMs, 34_000);
  const short = { ...evidence, timings: { restoreMs: 30_000 } };
  assert.equal(standingOf({ tests: [short] }).backups[0]?.rtoMs, 90_000);
});

const bulkVolume: DesiredVolume = {
  name: 'media',
  path: '/srv/media',
  storage: 'bulk' as StorageId,
  sizeGiB: 100,
  backup: false,
};
const bulks: readonly {
  name: string;
  volume: DesiredVolume;
  copied?: true;
  decision: string;
  findings: readonly string[];
}[] = [
  {
    name: 'undecided',
    volume: bulkVolume,
    decision: 'undecided',
    findings: ['critical backup.bulk-undecided cloud/media'],
  },
  {
    name: 'acknowledged',
    volume: { ...bulkVolume, ownBackup: { is: 'none', acknowledged: true } },
    decision: 'none-acknowledged',
    findings: [],
  },
  {
    name: 'by the controller, none yet',
    volume: { ...bulkVolume, ownBackup: { is: 'controller', target: 'usb' } },
    decision: 'controller',
    findings: ['critical backup.bulk-none cloud/media'],
  },
  {
    name: 'by the controller',
    volume: { ...bulkVolume, ownBackup: { is: 'controller', target: 'usb' } },
    copied: true,
    decision: 'controller',
    findings: [],
  },
];
for (const row of bulks)
  test(`bulk volume: ${row.name}`, () => {
    const bulkCopies = row.copied ? [{ guest: uidOf('a'), volume: 'media', newestAt: now - hour, checkedAt: now }] : [];
    const standing = standingOf(
      { bulkCopies },
      { volumes: [row.volume, { ...bulkVolume, name: 'hot', backup: true }] },
    );
    assert.deepEqual(
      standing.bulk.map(({ volume, decision, rpoMs }) => [volume, decision, rpoMs]),
      [['media', row.decision, row.copied ? hour : undefined]],
    );
    assert.deepEqual(found(standing), row.findings);
  });
