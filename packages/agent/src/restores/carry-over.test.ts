import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StorageId, VolumeId } from '@felhom/protocol';
import { parseDisk } from '../guests/pve-config.ts';
import type { DiskView } from '../guests/pve-config.ts';
import type { StorageRow } from '../ports/proxmox.ts';
import { whereabouts } from './carry-over.ts';
import type { SeenSide } from './carry-over.ts';
import { carryPlan } from './carry-plan.ts';
import type { CarryItem } from './carry-plan.ts';

const volid = (text: string): VolumeId => text as VolumeId;
const photos = volid('bulk:9000/vm-9000-disk-0.raw');
const renamed = volid('bulk:9001/vm-9001-disk-0.raw');
const item: CarryItem = {
  key: 'mp1',
  path: '/srv/photos',
  storage: 'bulk' as StorageId,
  volid: photos,
  line: `${photos},mp=/srv/photos,backup=0,size=4G`,
};
const [homeRoot, awayRoot] = [volid('guests:vm-9000-disk-0'), volid('guests:vm-9001-disk-0')];
const carry = { items: [item], homeRest: [homeRoot], awayRest: [awayRoot] };

const side = (root: VolumeId, mount: VolumeId | undefined, listed: readonly VolumeId[]): SeenSide => ({
  view: {
    disks: [
      parseDisk('rootfs', `${root},size=2G`),
      ...(mount === undefined ? [] : [parseDisk('mp1', `${mount},mp=/srv/photos,backup=0,size=4G`)]),
    ],
    unused: [],
  },
  listed: [root, ...listed],
});

const states = [
  ['in the source', side(homeRoot, photos, [photos]), side(awayRoot, undefined, []), 'at home'],
  [
    'renamed, named by the source still',
    side(homeRoot, photos, []),
    side(awayRoot, undefined, [renamed]),
    'adrift away stale',
  ],
  ['renamed and unreferenced', side(homeRoot, undefined, []), side(awayRoot, undefined, [renamed]), 'adrift away'],
  ['in the target', side(homeRoot, undefined, []), side(awayRoot, renamed, [renamed]), 'at away'],
  [
    'in the target, named by the source still',
    side(homeRoot, photos, []),
    side(awayRoot, renamed, [renamed]),
    'at away stale',
  ],
  ['on its way back', side(homeRoot, undefined, [photos]), side(awayRoot, undefined, []), 'adrift home'],
  ['nowhere', side(homeRoot, undefined, []), side(awayRoot, undefined, []), 'astray'],
  ['named by both and nowhere', side(homeRoot, photos, []), side(awayRoot, renamed, []), 'astray'],
  ['in both', side(homeRoot, photos, [photos]), side(awayRoot, renamed, [renamed]), 'astray'],
  [
    'one of two that could be it',
    side(homeRoot, undefined, []),
    side(awayRoot, undefined, [renamed, volid('bulk:9001/vm-9001-disk-1.raw')]),
    'astray',
  ],
  [
    'lost, and something of another storage lies about',
    side(homeRoot, undefined, []),
    side(awayRoot, undefined, [volid('guests:vm-9001-disk-7')]),
    'astray',
  ],
] as const;

for (const [name, home, away, expected] of states)
  test(`a volume ${name} is ${expected}`, () => {
    const found = whereabouts(carry, { home, away }).get('mp1') ?? assert.fail();
    const text = found.is === 'astray' ? 'astray' : `${found.is} ${found.side}${found.stale ? ' stale' : ''}`;
    assert.equal(text, expected);
  });

test('of two volumes missing on one storage neither is guessed; of two storages each is told', () => {
  const other: CarryItem = { ...item, key: 'mp2', path: '/srv/films', volid: volid('bulk:9000/vm-9000-disk-1.raw') };
  const [home, away] = [side(homeRoot, undefined, []), side(awayRoot, undefined, [renamed])];
  assert.deepEqual(
    [...whereabouts({ ...carry, items: [item, other] }, { home, away }).values()].map(({ is }) => is),
    ['astray', 'astray'],
  );
  const elsewhere: CarryItem = { ...other, storage: 'usb' as StorageId };
  const films = volid('usb:9001/vm-9001-disk-0.raw');
  assert.deepEqual(
    [
      ...whereabouts(
        { ...carry, items: [item, elsewhere] },
        { home, away: side(awayRoot, undefined, [renamed, films]) },
      ).values(),
    ].map(({ is }) => is),
    ['adrift', 'adrift'],
  );
});

const storage = (type: string, extra: Partial<StorageRow> = {}): StorageRow => ({
  storage: 'bulk' as StorageId,
  type,
  content: ['rootdir'],
  active: true,
  enabled: true,
  totalBytes: 1,
  availableBytes: 1,
  ...extra,
});
const disk = (volume: string, options = 'size=4G'): DiskView =>
  parseDisk('mp1', `${volume},mp=/srv/photos,backup=0,${options}`);

const plans = [
  ['a raw image in a directory', disk(photos), storage('dir'), [], undefined],
  ['a plain directory', disk('bulk:9000/subvol-9000-disk-0.subvol', 'size=0T'), storage('dir'), [], /plain directory/],
  ['a thin volume', disk('bulk:vm-9000-disk-0'), storage('lvmthin'), [], undefined],
  ['a dataset', disk('bulk:subvol-9000-disk-0'), storage('zfspool'), [], undefined],
  ['a storage that is off', disk(photos), storage('dir', { active: false }), [], /not online/],
  ['a storage that nobody sees', disk(photos), { ...storage('dir'), storage: 'x' as StorageId }, [], /not visible/],
  ['a kind of storage that is not known', disk(photos), storage('iscsi'), [], /not known to rename/],
  ['a guest with a snapshot', disk(photos), storage('dir'), ['before'], /snapshot before/],
  ['a path of the host', disk('/mnt/usb'), storage('dir'), [], /path or device/],
] as const;

for (const [name, mount, row, snapshots, problem] of plans)
  test(`handing over ${name}: ${problem === undefined ? 'possible' : 'refused'}`, () => {
    const rootfs = parseDisk('rootfs', 'guests:vm-9000-disk-0,size=2G');
    const plan = carryPlan('photos', { view: { disks: [rootfs, mount] }, storages: [row], snapshots });
    if (problem === undefined) assert.deepEqual(plan.is === 'possible' && plan.items.map(({ key }) => key), ['mp1']);
    else assert.match(plan.is === 'refused' ? plan.why.text : '', problem);
  });

test('a guest without bulk has nothing to hand over, and snapshots are no matter', () => {
  const rootfs = parseDisk('rootfs', 'guests:vm-9000-disk-0,size=2G');
  const plan = carryPlan('photos', { view: { disks: [rootfs] }, storages: [], snapshots: ['before'] });
  assert.deepEqual(plan, { is: 'possible', items: [] });
});
