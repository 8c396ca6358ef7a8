import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest, GuestUid, StorageId, Vmid, VolumeId } from '@felhom/protocol';
import type { BackupRecord } from '../catalogue/backup-record.ts';
import type { StoreItem } from '../ports/proxmox.ts';
import { findingOfMode, findingsOfArchives, sortArchives } from './foreign.ts';
import { formatNotes } from './notes.ts';
import { recordOfTest } from './test/records.ts';

const uid = 'abcdefghijklmnopqrstuvwxy2' as GuestUid;
const storage = 'backup' as StorageId;
const record = (name: string, extra: Partial<BackupRecord> = {}): BackupRecord =>
  recordOfTest({ guest: uid, archive: `backup:backup/${name}` as VolumeId, ...extra });
const item = (name: string, vmid: number, notes?: string): StoreItem => ({
  volid: `backup:backup/${name}` as VolumeId,
  content: 'backup',
  vmid,
  sizeBytes: 1,
  ctime: 1,
  notes,
  protected: false,
});
const seen = {
  storage,
  complete: true,
  listedAt: Number.POSITIVE_INFINITY,
  guests: [{ uid, vmid: 100 as Vmid }],
  records: [record('known'), record('gone'), record('elsewhere', { storage: 'usb' as StorageId })],
  items: [
    item('known', 100, formatNotes(uid, 'abcdefgh234567aa')),
    item('broken-off', 100, formatNotes(uid, 'abcdefgh234567bb')),
    item('of-an-earlier-vmid', 99, formatNotes(uid, 'abcdefgh234567cc')),
    item('theirs', 100, 'nightly'),
    item('without-notes', 100),
    item('of-a-stranger', 200),
    item('golden', 9900, 'golden'),
  ],
};

test('what lies on a storage is sorted against the catalogue', () => {
  const sorted = sortArchives(seen);
  const names = (of: readonly { item: StoreItem }[]) => of.map(({ item: { volid } }) => volid.split('/')[1]);
  assert.deepEqual(names(sorted.foreign), ['theirs', 'without-notes']);
  assert.deepEqual(names(sorted.unrecorded), ['broken-off', 'of-an-earlier-vmid']);
  assert.deepEqual(
    sorted.missing.map(({ archive }) => archive),
    ['backup:backup/gone'],
  );
  assert.deepEqual(
    findingsOfArchives(sorted).map(({ code }) => code),
    ['backup.missing', 'backup.unrecorded', 'backup.unrecorded', 'backup.foreign', 'backup.foreign'],
  );
});

test('an empty list that may be a missing right makes nothing missing', () => {
  assert.deepEqual(sortArchives({ ...seen, items: [], complete: false }).missing, []);
  assert.equal(sortArchives({ ...seen, items: [] }).missing.length, 2);
  const { takenAt } = record('any');
  assert.deepEqual(sortArchives({ ...seen, items: [], listedAt: takenAt }).missing, [], 'written after the list');
});

test('a backup that was not taken from a snapshot is said to be so', () => {
  assert.equal(
    findingOfMode(record('x', { mode: 'suspend', sha256: 'cd'.repeat(32) as Digest }))?.code,
    'backup.fell-back',
  );
  for (const mode of ['snapshot', 'stop'] as const) assert.equal(findingOfMode(record('x', { mode })), undefined);
});
