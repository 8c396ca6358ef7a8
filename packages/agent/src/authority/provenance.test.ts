import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { vmid, volumeId } from '@felhom/protocol';
import type { VolumeId } from '@felhom/protocol';
import {
  basis,
  dataVolume,
  foreignVolume,
  makeRecord,
  name,
  otherUid,
  rootVolume,
  seen,
  uid,
} from '../../test/gate-facts.ts';
import type { GuestRecord } from './guest-record.ts';
import { destroyWarrantFor, freeVolumesWarrantFor, removalWarrantFor, volumesInConfig } from './provenance.ts';
import type { DestroyBasis, SeenBeforeDestroy } from './provenance.ts';

const bulk = volumeId.parse('slow:vm-8000-disk-3');
const rows: readonly {
  name: string;
  basis?: Partial<DestroyBasis>;
  seen?: Partial<SeenBeforeDestroy>;
  expect: 'warranted' | 'gate.holds-data' | 'gate.foreign' | 'gate.not-seen';
}[] = [
  { name: 'all that is there was made by the saga', expect: 'warranted' },
  { name: 'less is there than was made: a half-done destroy', seen: { config: [], listed: [] }, expect: 'warranted' },
  { name: 'a volume more in the config', seen: { config: [rootVolume, bulk] }, expect: 'gate.holds-data' },
  { name: 'a volume more in a pending change', seen: { pending: [foreignVolume] }, expect: 'gate.holds-data' },
  { name: 'a volume more as unused', seen: { unused: [foreignVolume] }, expect: 'gate.holds-data' },
  { name: 'an orphan more in the listing', seen: { listed: [rootVolume, foreignVolume] }, expect: 'gate.holds-data' },
  { name: 'the listing could not be read', seen: { listed: undefined }, expect: 'gate.not-seen' },
  { name: 'bulk carried over, and there', basis: { carriedOver: [dataVolume] }, expect: 'gate.holds-data' },
  {
    name: 'bulk carried over that the saga counts as its own',
    basis: { allocated: [rootVolume, bulk], carriedOver: [bulk] },
    seen: { config: [rootVolume, bulk], listed: [rootVolume] },
    expect: 'gate.holds-data',
  },
  {
    name: 'bulk carried over that the saga counts as its own, and nobody sees',
    basis: { allocated: [rootVolume, bulk], carriedOver: [bulk] },
    seen: { config: [rootVolume], listed: [rootVolume] },
    expect: 'gate.holds-data',
  },
  {
    name: 'bulk carried over that has left again',
    basis: { carriedOver: [bulk] },
    expect: 'warranted',
  },
  {
    name: 'a volume that was there before the guest',
    basis: { listedBeforeCreate: [dataVolume] },
    expect: 'gate.holds-data',
  },
  { name: 'another VMID', seen: { vmid: vmid.parse(9001) }, expect: 'gate.foreign' },
  { name: 'no marker', seen: { marker: { is: 'missing' } }, expect: 'gate.foreign' },
  {
    name: 'the marker of another guest',
    seen: { marker: { is: 'present', uid: otherUid, incarnation: 1, n: 'n1' } },
    expect: 'gate.foreign',
  },
  {
    name: 'another incarnation',
    seen: { marker: { is: 'present', uid, incarnation: 2, n: 'n1' } },
    expect: 'gate.foreign',
  },
  { name: 'a stale marker', seen: { marker: { is: 'present', uid, incarnation: 1, n: 'n0' } }, expect: 'gate.foreign' },
];
for (const row of rows)
  test(`destroying: ${row.name} → ${row.expect}`, () => {
    const decision = destroyWarrantFor({ ...basis, ...row.basis }, { ...seen, ...row.seen });
    assert.equal(decision.is === 'park' ? decision.why.code : decision.is, row.expect);
    if (decision.is === 'park') assert.match(decision.why.text, /9000/);
  });

for (const [before, may] of [
  [[], true],
  [undefined, false],
  [[foreignVolume], false],
] as const)
  test(`unreferenced volumes may go only after an empty listing before the create call: ${String(before)}`, () => {
    const decision = destroyWarrantFor({ ...basis, listedBeforeCreate: before }, seen);
    assert.ok(decision.is === 'warranted');
    assert.equal(decision.warrant.mayDestroyUnreferenced, may);
  });

test('the warrant names exactly what the saga allocated, and cannot be widened afterwards', () => {
  const decision = destroyWarrantFor(basis, { ...seen, config: [rootVolume], listed: [rootVolume] });
  assert.ok(decision.is === 'warranted');
  assert.deepEqual(decision.warrant.volumes, [rootVolume, dataVolume]);
  assert.equal(Object.isFrozen(decision.warrant), true);
});

test('a surplus is named, so that a person knows where to look', () => {
  const decision = destroyWarrantFor(basis, { ...seen, unused: [bulk], listed: [foreignVolume] });
  assert.ok(decision.is === 'park');
  assert.deepEqual(decision.surplus, [foreignVolume, bulk].sort());
  for (const volume of decision.surplus) assert.ok(decision.why.text.includes(volume));
});

const volume = fc.integer({ min: 0, max: 6 }).map((n) => volumeId.parse(`fast:vm-9000-disk-${n}`));
const volumes = fc.uniqueArray(volume);

test('no warrant ever covers, or leaves out, a volume that is there', () => {
  fc.assert(
    fc.property(volumes, volumes, volumes, volumes, volumes, (allocated, config, unused, listed, carriedOver) => {
      const decision = destroyWarrantFor({ ...basis, allocated, carriedOver }, { ...seen, config, unused, listed });
      const there = [...config, ...unused, ...listed];
      const clean =
        there.every((v) => allocated.includes(v)) &&
        carriedOver.every((v) => !there.includes(v) && !allocated.includes(v));
      assert.equal(decision.is, clean ? 'warranted' : 'park');
      if (decision.is === 'warranted') assert.deepEqual(decision.warrant.volumes, [...allocated].sort());
    }),
  );
});

for (const [what, wanted, change, expected] of [
  ['what the saga allocated', [dataVolume], {}, 'warranted'],
  ['what it did not allocate', [bulk], {}, 'park'],
  ['both', [dataVolume, bulk], {}, 'park'],
  ['what was carried over', [dataVolume], { carriedOver: [dataVolume] }, 'park'],
  ['what was there before', [dataVolume], { listedBeforeCreate: [dataVolume] }, 'park'],
] as const satisfies readonly (readonly [string, readonly VolumeId[], Partial<DestroyBasis>, string])[])
  test(`freeing volumes of a guest that stays: ${what} → ${expected}`, () => {
    const there = { ...seen, unused: [bulk] };
    const decision = freeVolumesWarrantFor({ ...basis, ...change }, there, wanted);
    assert.equal(decision.is, expected);
    if (decision.is === 'warranted') assert.deepEqual(decision.warrant.volumes, wanted);
  });

const fresh = makeRecord({ servedAt: undefined });
const records: readonly { readonly name: string; readonly record: GuestRecord; readonly expect: string }[] = [
  { name: 'it never served', record: fresh, expect: 'warranted' },
  { name: 'it has served meanwhile', record: makeRecord(), expect: 'gate.holds-data' },
  { name: 'it is at another VMID', record: { ...fresh, vmid: vmid.parse(9001) }, expect: 'gate.foreign' },
  {
    name: 'a volume was carried over',
    record: { ...fresh, volumes: fresh.volumes.map((v) => ({ ...v, carriedOver: v.volid === dataVolume })) },
    expect: 'gate.holds-data',
  },
];
for (const row of records)
  test(`what the registry knows counts too: ${row.name} → ${row.expect}`, () => {
    const decision = destroyWarrantFor(basis, seen, row.record);
    assert.equal(decision.is === 'park' ? decision.why.code : decision.is, row.expect);
    const freed = freeVolumesWarrantFor(basis, seen, [dataVolume], row.record);
    // A volume that was added to a guest which serves may be taken back by the saga that added it.
    const expected = row.name === 'it has served meanwhile' ? 'warranted' : row.expect;
    assert.equal(freed.is === 'park' ? freed.why.code : freed.is, expected);
  });

const both = [rootVolume, dataVolume];
const all: SeenBeforeDestroy = { ...seen, config: both, pending: [], unused: [], listed: both };
const signedRows: readonly {
  readonly name: string;
  readonly record?: GuestRecord;
  readonly seen?: Partial<SeenBeforeDestroy>;
  readonly loss?: readonly VolumeId[];
  readonly expect: string;
}[] = [
  { name: 'all three are the same, and it served', expect: 'warranted' },
  { name: 'the order does not matter', loss: [dataVolume, rootVolume], expect: 'warranted' },
  { name: 'half of it freed already, the config whole', seen: { listed: [dataVolume] }, expect: 'warranted' },
  {
    name: 'a volume that was carried over, and signed for',
    record: { ...makeRecord(), volumes: makeRecord().volumes.map((v) => ({ ...v, carriedOver: true })) },
    expect: 'warranted',
  },
  { name: 'a volume more in the config', seen: { config: [...both, bulk] }, expect: 'gate.holds-data' },
  { name: 'a volume more in a pending change', seen: { pending: [bulk] }, expect: 'gate.holds-data' },
  { name: 'a volume more as unused', seen: { unused: [foreignVolume] }, expect: 'gate.holds-data' },
  { name: 'an orphan more in the listing', seen: { listed: [...both, foreignVolume] }, expect: 'gate.holds-data' },
  { name: 'one less signed for', loss: [rootVolume], expect: 'gate.holds-data' },
  { name: 'one more signed for', loss: [...both, bulk], expect: 'job.changed' },
  { name: 'nothing signed for', loss: [], expect: 'gate.holds-data' },
  {
    name: 'one that is not on record, there and signed for',
    seen: { config: [...both, bulk] },
    loss: [...both, bulk],
    expect: 'job.changed',
  },
  { name: 'one less there', seen: { config: [rootVolume], listed: [rootVolume] }, expect: 'job.changed' },
  { name: 'the listing could not be read', seen: { listed: undefined }, expect: 'gate.not-seen' },
  { name: 'another VMID', seen: { vmid: vmid.parse(9001) }, expect: 'gate.foreign' },
  { name: 'no marker', seen: { marker: { is: 'missing' } }, expect: 'gate.foreign' },
  {
    name: 'another incarnation',
    seen: { marker: { is: 'present', uid, incarnation: 2, n: 'n1' } },
    expect: 'gate.foreign',
  },
  { name: 'a stale marker', seen: { marker: { is: 'present', uid, incarnation: 1, n: 'n0' } }, expect: 'gate.foreign' },
];
for (const row of signedRows)
  test(`destroying on a signature: ${row.name} → ${row.expect}`, () => {
    const decision = removalWarrantFor(row.record ?? makeRecord(), { ...all, ...row.seen }, row.loss ?? both);
    assert.equal(decision.is === 'park' ? decision.why.code : decision.is, row.expect);
    if (decision.is === 'park') return assert.match(decision.why.text, /9000/);
    assert.deepEqual(decision.warrant.volumes, [...both].sort());
    assert.equal(decision.warrant.mayDestroyUnreferenced, false);
  });

test('no signed warrant is for other volumes than those there, on record and signed for', () => {
  fc.assert(
    fc.property(volumes, volumes, volumes, volumes, volumes, (signed, onRecord, config, unused, listed) => {
      const record = {
        ...makeRecord(),
        volumes: onRecord.map((volid, n) => ({
          key: `mp${n}`,
          name: `v${n}`,
          volid,
          sizeGiB: 1,
          ctime: 1,
          carriedOver: false,
        })),
      };
      const decision = removalWarrantFor(record, { ...all, config, unused, listed }, signed);
      const same = (a: readonly VolumeId[], b: readonly VolumeId[]) =>
        new Set(a).symmetricDifference(new Set(b)).size === 0;
      const clean = same(signed, [...config, ...unused, ...listed]) && same(signed, onRecord);
      assert.equal(decision.is, clean ? 'warranted' : 'park');
    }),
  );
});

test('volumes of a config: root, mounts and unused ones, never bind mounts or devices', () => {
  assert.deepEqual(
    volumesInConfig({
      rootfs: 'fast:vm-9000-disk-0,size=8G',
      mp0: 'volume=slow:9000/vm-9000-disk-1.raw,mp=/srv/data,backup=1',
      mp1: '/mnt/host,mp=/mnt',
      unused0: 'slow:vm-8000-disk-3',
      net0: 'name=eth0,bridge=vmbr0,hwaddr=aa:bb',
      description: 'mp9: fast:vm-1-disk-1',
      hostname: name,
    }),
    { config: ['fast:vm-9000-disk-0', 'slow:9000/vm-9000-disk-1.raw'], unused: ['slow:vm-8000-disk-3'] },
  );
});
