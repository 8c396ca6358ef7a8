import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Vmid, VolumeId } from '@felhom/protocol';
import { betweenLooksMs, bulkOf, judgeLook, judgeLoss } from './lost.ts';
import type { LossEvidence, LossLook, LossVerdict } from './lost.ts';

const [root, data, photos] = ['guests:vm-9000-disk-0', 'guests:vm-9000-disk-1', 'usb:9000/vm-9000-disk-2.raw'] as [
  VolumeId,
  VolumeId,
  VolumeId,
];
const volume = (key: string, name: string, volid: VolumeId, carriedOver = false) => ({
  key,
  name,
  volid,
  sizeGiB: 1,
  ctime: undefined,
  carriedOver,
});
const record = {
  vmid: 9000 as Vmid,
  volumes: [volume('rootfs', 'rootfs', root), volume('mp0', 'data', data), volume('mp1', 'photos', photos)],
};
const gone: LossLook = {
  at: 0,
  vmidFree: true,
  listed: [],
  permissions: '/pool/felhom VM.Audit',
  running: [],
  foreignDestroy: undefined,
};
const evidence: Omit<LossEvidence, 'looks'> = {
  record,
  bulk: new Set([photos]),
  permissionsThen: '/pool/felhom VM.Audit',
  permissionsSound: false,
};

const looks: readonly [string, Partial<LossLook>, LossVerdict['is']][] = [
  ['nothing is left', {}, 'lost'],
  ['its bulk survived', { listed: [photos] }, 'lost'],
  ['something has its VMID', { vmidFree: false }, 'not-visible'],
  ['something has its VMID and nothing can be listed', { vmidFree: false, listed: undefined }, 'not-visible'],
  ['nobody says whether its VMID is free', { vmidFree: undefined }, 'wait'],
  ['a storage does not answer', { listed: undefined }, 'wait'],
  ['its root is there', { listed: [root] }, 'config-gone'],
  ['a backed-up volume is there', { listed: [photos, data] }, 'config-gone'],
  [
    'a volume that nobody knows lies under its VMID',
    { listed: ['usb:9000/vm-9000-disk-9.raw' as VolumeId] },
    'config-gone',
  ],
  ['the task list cannot be read', { running: undefined }, 'wait'],
  ['a task works on it', { running: ['UPID:x'] }, 'wait'],
  ['the privileges cannot be read', { permissions: undefined }, 'wait'],
  ['the privileges are others', { permissions: '/pool/other VM.Audit' }, 'not-visible'],
  ['somebody destroyed it', { foreignDestroy: { by: 'root@pam', agoMs: 60_000 } }, 'destroyed'],
];
for (const [name, over, is] of looks) {
  test(`one look, ${name}: ${is}`, () => assert.equal(judgeLook({ ...gone, ...over }, evidence).is, is));
  // Neither look alone: what either of them finds forbids, and what an earlier one found makes it wait.
  if (is !== 'lost') {
    test(`first gone, then ${name}: ${is}`, () => {
      const last = { ...gone, ...over, at: betweenLooksMs };
      assert.equal(judgeLoss({ ...evidence, looks: [gone, last] }).is, is);
    });
    test(`first ${name}, then gone: wait`, () => {
      const last = { ...gone, at: betweenLooksMs };
      assert.equal(judgeLoss({ ...evidence, looks: [{ ...gone, ...over }, last] }).is, 'wait');
    });
  }
}

const times: readonly [number, LossVerdict['is']][] = [
  [0, 'wait'],
  [betweenLooksMs - 1, 'wait'],
  [betweenLooksMs, 'lost'],
];
for (const [at, is] of times)
  test(`two looks ${at} ms apart: ${is}`, () =>
    assert.equal(judgeLoss({ ...evidence, looks: [gone, { ...gone, at }] }).is, is));

test('a guest that was seen is there', () => assert.equal(judgeLoss({ ...evidence, looks: [] }).is, 'there'));

test('after a restart of the agent the self-check stands for what the token could see', () => {
  const fresh = { ...evidence, permissionsThen: undefined };
  assert.equal(judgeLook(gone, { ...fresh, permissionsSound: true }).is, 'lost');
  assert.equal(judgeLook(gone, { ...fresh, permissionsSound: false }).is, 'not-visible');
});

test('the surviving bulk is named', () => {
  const verdict = judgeLook({ ...gone, listed: [photos] }, evidence);
  assert.deepEqual(verdict, { is: 'lost', surviving: [photos] });
});

test('bulk is what desired state says so, and what was carried over; without desired state nothing else is', () => {
  const desired = {
    volumes: [
      { name: 'data', backup: true },
      { name: 'photos', backup: false },
    ],
  } as Parameters<typeof bulkOf>[1];
  assert.deepEqual(bulkOf(record, desired), new Set([photos]));
  assert.deepEqual(bulkOf(record, undefined), new Set());
  const carried = { volumes: [volume('mp0', 'data', data, true)] };
  assert.deepEqual(bulkOf(carried, undefined), new Set([data]));
});
