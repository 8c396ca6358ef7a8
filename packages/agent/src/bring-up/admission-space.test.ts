import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { StorageId } from '@felhom/protocol';
import type { StorageRow } from '../ports/proxmox.ts';
import { admitSpace, demandOf } from './admission-space.ts';

const gib = 1024 ** 3;
const local = 'local' as StorageId;
const row: StorageRow = {
  storage: local,
  type: 'dir',
  content: ['rootdir'],
  active: true,
  enabled: true,
  totalBytes: 100 * gib,
  availableBytes: 50 * gib,
};
const limits = { spaceFactor: 2, overcommit: 1 };

const rows: readonly {
  name: string;
  rows?: readonly StorageRow[];
  gib?: number;
  allocated?: number;
  limits?: { spaceFactor: number; overcommit: number };
  expect: RegExp | 'enough';
}[] = [
  { name: 'twice fits exactly', gib: 25, expect: 'enough' },
  { name: 'twice does not fit', gib: 26, expect: /50\.0 GiB free, 52\.0 GiB are required/ },
  { name: 'the factor is the policy’s', gib: 50, limits: { spaceFactor: 1, overcommit: 1 }, expect: 'enough' },
  { name: 'promised beyond capacity', gib: 20, allocated: 81, expect: /101\.0 GiB would be promised/ },
  {
    name: 'promised up to the overcommit',
    gib: 20,
    allocated: 81,
    limits: { spaceFactor: 2, overcommit: 2 },
    expect: 'enough',
  },
  { name: 'not visible is not zero and not enough', rows: [], expect: /not visible/ },
  { name: 'not active', rows: [{ ...row, active: false }], expect: /not active/ },
  { name: 'disabled', rows: [{ ...row, enabled: false }], expect: /disabled/ },
  { name: 'no container volumes', rows: [{ ...row, content: ['backup'] }], expect: /rootdir/ },
  { name: 'zeros of an unreadable storage', rows: [{ ...row, totalBytes: 0, availableBytes: 0 }], expect: /unknown/ },
  { name: 'no number', rows: [{ ...row, availableBytes: Number.NaN }], expect: /unknown/ },
];
for (const { name, rows: storages = [row], gib: wanted = 1, allocated = 0, limits: limit = limits, expect } of rows)
  test(`space: ${name}`, () => {
    const demand = [{ storage: local, bytes: wanted * gib }];
    const verdict = admitSpace(demand, storages, new Map([[local, allocated * gib]]), limit);
    if (expect === 'enough') assert.equal(verdict.is, 'enough');
    else assert.match(verdict.is === 'refused' ? verdict.text : '', expect);
  });

test('demand is summed per storage', () => {
  const volume = { name: 'a', path: '/a', storage: local, sizeGiB: 2, backup: true };
  const demand = demandOf({
    rootfs: { storage: local, sizeGiB: 8 },
    volumes: [volume, { ...volume, name: 'b', path: '/b', storage: 'usb' as StorageId }],
  });
  assert.deepEqual(demand, [
    { storage: 'local', bytes: 10 * gib },
    { storage: 'usb', bytes: 2 * gib },
  ]);
});
