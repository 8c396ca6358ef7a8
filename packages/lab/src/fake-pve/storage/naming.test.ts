import { test } from 'node:test';
import assert from 'node:assert/strict';
import { archiveBase, nextDiskName, parseArchiveName, parseDiskName, parsePbsName, splitVolid, utc } from './naming.ts';

const at = Date.UTC(2026, 10, 23, 23, 14, 24);

test('archives are named in local time and read back to the same instant', () => {
  const berlin = () => 60;
  assert.equal(archiveBase(100, at, utc), 'vzdump-lxc-100-2026_11_23-23_14_24');
  assert.equal(archiveBase(100, at, berlin), 'vzdump-lxc-100-2026_11_24-00_14_24');
  for (const offset of [utc, berlin]) {
    const name = parseArchiveName(`${archiveBase(100, at, offset)}.tar.zst`, offset);
    assert.deepEqual(name, { format: 'tar.zst', vmid: 100, subtype: 'lxc', ctime: at / 1000 });
  }
});

test('the hour that the end of summer time repeats gives one name to two instants', () => {
  const change = Date.UTC(2026, 9, 25, 1);
  const berlin = (when: number) => (when < change ? 120 : 60);
  const [before, after] = [change - 1_800_000, change + 1_800_000];
  assert.equal(archiveBase(100, before, berlin), archiveBase(100, after, berlin));
});

test('backup file names', () => {
  const cases: [string, unknown][] = [
    ['vzdump-lxc-100-2026_11_23-23_14_24.tar', { format: 'tar', vmid: 100, subtype: 'lxc', ctime: at / 1000 }],
    [
      'vzdump-qemu-100-2026_11_23-23_14_24.vma.zst',
      { format: 'vma.zst', vmid: 100, subtype: 'qemu', ctime: at / 1000 },
    ],
    ['golden.tar.zst', { format: 'tar.zst' }],
    ['vzdump-lxc-100-2026_11_23-23_14_24.log', undefined],
    ['vzdump-lxc-100-2026_11_23-23_14_24.tar.zst.notes', undefined],
    ['vzdump-lxc-100-2026_11_23-23_14_24.tar.dat', undefined],
  ];
  for (const [file, want] of cases) assert.deepEqual(parseArchiveName(file, utc), want, file);
});

test('PBS snapshots', () => {
  assert.deepEqual(parsePbsName('ct/100/2026-11-23T23:14:24Z'), {
    format: 'pbs-ct',
    vmid: 100,
    subtype: 'lxc',
    ctime: at / 1000,
  });
  assert.equal(parsePbsName('ct/100/yesterday'), undefined);
});

test('volume ids', () => {
  assert.deepEqual(splitVolid('felhom:100/vm-100-disk-0.raw'), { storage: 'felhom', name: '100/vm-100-disk-0.raw' });
  assert.equal(splitVolid('/srv/x'), undefined);
  assert.equal(splitVolid('a:x'), undefined);
  const raw = (name: string) => ({ vmid: 100, format: 'raw', name });
  const subvol = (name: string) => ({ vmid: 100, format: 'subvol', name });
  assert.deepEqual(parseDiskName('directory', '100/vm-100-disk-0.raw'), raw('100/vm-100-disk-0.raw'));
  assert.deepEqual(parseDiskName('directory', '100/subvol-100-disk-0.subvol'), subvol('100/subvol-100-disk-0.subvol'));
  assert.equal(parseDiskName('directory', '101/vm-100-disk-0.raw'), undefined);
  assert.equal(parseDiskName('directory', '100/../vm-100-disk-0.raw'), undefined);
  assert.deepEqual(parseDiskName('lvm', 'vm-100-disk-0'), raw('vm-100-disk-0'));
  assert.deepEqual(parseDiskName('zfs', 'subvol-100-disk-0'), subvol('subvol-100-disk-0'));
});

test('a new disk takes the lowest free number, whatever form holds the others', () => {
  const taken = [
    '100/vm-100-disk-0.raw',
    '100/subvol-100-disk-1.subvol',
    '100/vm-100-disk-3.raw',
    '101/vm-101-disk-2.raw',
  ];
  assert.equal(nextDiskName('directory', 100, 'raw', taken), '100/vm-100-disk-2.raw');
  assert.equal(nextDiskName('directory', 100, 'subvol', []), '100/subvol-100-disk-0.subvol');
  assert.equal(nextDiskName('lvm', 100, 'raw', ['vm-100-disk-0']), 'vm-100-disk-1');
  assert.equal(nextDiskName('zfs', 100, 'subvol', []), 'subvol-100-disk-0');
});
