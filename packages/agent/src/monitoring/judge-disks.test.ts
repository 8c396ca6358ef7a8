import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskRow } from '../ports/host-facts.ts';
import { badSpotsOf, identityOf, judgeDisks, reportedDisks } from './judge-disks.ts';
import type { BadSpots } from './judge-disks.ts';
import { policy } from './test/looks.ts';

const disk = (change: Partial<DiskRow> = {}): DiskRow => ({
  device: 'sda',
  model: 'WDC WD40',
  serial: 'WX1',
  health: 'passed',
  wornPercent: undefined,
  ...change,
});

function judge(rows: readonly DiskRow[], spots: readonly BadSpots[] = [], before = new Map<string, number>()) {
  const bySpot = new Map(spots.map((spot, at): [string, BadSpots] => [rows[at]?.device ?? '', spot]));
  const { findings, memory } = judgeDisks(rows, bySpot, before, policy, 5);
  return { told: findings.map(({ key, severity, subject }) => `${severity} ${key} ${subject}`), memory, findings };
}

test('what a disk may be', () => {
  const rows: readonly [DiskRow, readonly BadSpots[], readonly string[]][] = [
    [disk(), [], []],
    [disk({ health: 'unknown' }), [], []],
    [disk({ health: 'failed' }), [], ['critical disk.failed WDC WD40 WX1']],
    [disk({ wornPercent: 89 }), [], []],
    [disk({ wornPercent: 90 }), [], ['warning disk.worn WDC WD40 WX1']],
    [disk(), [{ given: 12, waiting: 0 }], []],
    [disk(), [{ given: 0, waiting: 1 }], ['warning disk.unreadable-sectors WDC WD40 WX1']],
    [disk({ serial: 'unknown', health: 'failed' }), [], ['critical disk.failed sda']],
  ];
  for (const [row, spots, want] of rows) assert.deepEqual(judge([row], spots).told, want);
});

test('sectors that were given up long ago are old news; those that follow are not, wherever the disk is by now', () => {
  const first = judge([disk()], [{ given: 12, waiting: 0 }]);
  const moved = disk({ device: 'sdc' });
  assert.deepEqual(judge([moved], [{ given: 12, waiting: 0 }], new Map(first.memory)).told, []);
  const grown = judge([moved], [{ given: 13, waiting: 0 }], new Map(first.memory));
  assert.deepEqual(grown.told, ['warning disk.sectors-lost WDC WD40 WX1']);
  assert.equal(grown.findings[0]?.advice.command, 'smartctl -a /dev/sdc');
  // It stays told, and a look at which the disk said nothing forgets nothing.
  const silent = judge([moved], [], new Map(grown.memory));
  assert.deepEqual(judge([moved], [{ given: 13, waiting: 0 }], new Map(silent.memory)).told, grown.told);
});

test('what smartctl prints', () => {
  const ata = (values: Readonly<Record<number, number>>) =>
    JSON.stringify({
      ata_smart_attributes: {
        table: Object.entries(values).map(([id, value]) => ({ id: Number(id), raw: { value } })),
      },
    });
  assert.deepEqual(badSpotsOf(ata({ 1: 9, 5: 3, 197: 2, 198: 4 })), { given: 3, waiting: 4 });
  assert.deepEqual(badSpotsOf(ata({ 9: 1 })), { given: 0, waiting: 0 });
  const nvme = { nvme_smart_health_information_log: { media_errors: 7 } };
  assert.deepEqual(badSpotsOf(JSON.stringify(nvme)), { given: 7, waiting: 0 });
  for (const text of ['', '{', '{}', '[]', '{"ata_smart_attributes":{"table":[{"id":"5"}]}}'])
    assert.equal(badSpotsOf(text), undefined, text);
});

test('as the report shows them', () => {
  const rows = [disk({ device: 'sdb', wornPercent: 3 }), disk({ serial: 'unknown', model: 'unknown' })];
  assert.deepEqual(reportedDisks(rows), [
    { device: 'sda', model: '', serial: '', health: 'passed' },
    { device: 'sdb', model: 'WDC WD40', serial: 'WX1', health: 'passed', wornPercent: 3 },
  ]);
  assert.equal(identityOf(disk({ model: 'unknown' })), 'WX1');
});
