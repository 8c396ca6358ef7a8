import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest, GuestName, GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import { reportedRestore } from '@felhom/protocol';
import { reportedRestoreOf } from './report.ts';
import { createRestoreStore, keptVmids } from './restore-store.ts';
import type { RestoreRecord } from './restore-store.ts';
import { decideWindow } from './window.ts';

const record: RestoreRecord = {
  id: 'restore-overwrite-1',
  kind: 'overwrite',
  guest: { uid: 'a'.repeat(26) as GuestUid, name: 'photos' as GuestName },
  state: 'undoable',
  at: 1_000,
  until: 5_000,
  backup: { archive: 'backup:backup/x.tar.zst' as VolumeId, sha256: 'ab'.repeat(32) as Digest },
  jobId: 'job-1',
  old: {
    vmid: 9000 as Vmid,
    incarnation: 1,
    marker: 'm',
    golden: 'debian-13',
    createdAt: 1,
    servedAt: 1,
    volumes: [
      { key: 'rootfs', name: 'rootfs', volid: 'guests:vm-9000-disk-0' as VolumeId, sizeGiB: 2, carriedOver: false },
    ],
    before: { running: true, onboot: true, protection: false, linksDown: { net0: false } },
  },
  new: { vmid: 9001 as Vmid, incarnation: 2 },
  bulk: [{ key: 'mp1', path: '/srv/photos', volid: 'bulk:9001/vm-9001-disk-0.raw' as VolumeId }],
  outageMs: 12_345,
};

const cases = [
  ['open, with room where it lies', record, { now: 4_999, short: new Set(['bulk']) }, 'keep'],
  ['ended', record, { now: 5_000, short: new Set(['bulk']) }, 'finish-due'],
  ['open, room runs short', record, { now: 4_999, short: new Set(['guests']) }, 'ask'],
  ['ended and short', record, { now: 5_000, short: new Set(['guests']) }, 'finish-due'],
  ['open, nothing known to be short', record, { now: 4_999, short: new Set<string>() }, 'keep'],
  ['undone', { ...record, state: 'undone' }, { now: 9_000, short: new Set(['guests']) }, undefined],
  ['finished', { ...record, state: 'finished' }, { now: 9_000, short: new Set(['guests']) }, undefined],
] as const;

for (const [name, restore, moment, expected] of cases)
  test(`window ${name}: ${expected ?? 'none'}`, () =>
    assert.equal(decideWindow([restore], moment).get(record.id), expected));

test('a report names what finishing frees and what undoing does not bring back', () => {
  const told = reportedRestoreOf(record);
  assert.deepEqual(reportedRestore.parse(told), told);
  assert.deepEqual(told.lossSet, ['guests:vm-9000-disk-0']);
  assert.match(told.text, /Files written to \/srv\/photos since 1970-01-01T00:00:01.000Z stay as they are/);
  assert.match(told.text, /out of service for 13 s/);
  assert.equal(reportedRestoreOf({ ...record, state: 'undone' }).lossSet, undefined);
});

test('the store keeps what it was given; only guests that wait are kept; an unreadable record throws', () => {
  const documents = new Map<string, { key: string; v: number; body: unknown }>();
  const store = createRestoreStore({
    get: (key) => documents.get(key),
    put: (document) => void documents.set(document.key, document),
    remove: (key) => void documents.delete(key),
    list: (prefix) => [...documents.values()].filter(({ key }) => key.startsWith(prefix)),
  });
  store.put(record);
  assert.deepEqual(store.byId(record.id), record);
  assert.deepEqual([...keptVmids(store)], [9000]);
  assert.equal(store.undoableOf(record.guest.uid).length, 1);
  store.put({ ...record, state: 'finished' });
  assert.deepEqual([...keptVmids(store)], []);
  documents.set('restore/x', { key: 'restore/x', v: 1, body: {} });
  assert.throws(() => store.all(), /cannot read restore\/x/);
});
