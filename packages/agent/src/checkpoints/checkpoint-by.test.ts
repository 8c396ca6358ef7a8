import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeId } from '@felhom/protocol';
import type { GuestConfigView } from '../ports/proxmox.ts';
import { viewOf } from '../guests/index.ts';
import { checkpointBy } from './checkpoint-by.ts';
import type { CheckpointQuestion } from './checkpoint-by.ts';
import { reattached } from './roll-back.saga.ts';
import { foundIn } from '../guests/snapshot-work.ts';

const view = (values: GuestConfigView['values']) => viewOf({ digest: '', lock: undefined, values });

const rootfs = 'guests:vm-101-disk-0,size=2G';
const data = 'guests:vm-101-disk-1,mp=/srv/data,backup=1,size=1G';
const photos = 'bulk:101/vm-101-disk-0.raw,mp=/srv/photos,backup=0,size=4G';
const films = 'guests:vm-101-disk-2,mp=/srv/films,size=4G';

const plain: CheckpointQuestion = {
  view: view({ rootfs, mp0: data }),
  snapshotPossible: true,
  held: 0,
  most: 3,
  quickTier: 'local',
};

const table: readonly (readonly [string, Partial<CheckpointQuestion>, string, RegExp])[] = [
  ['everything is backed up and can', {}, 'snapshot', /^$/],
  ['a root file system alone', { view: view({ rootfs }) }, 'snapshot', /^$/],
  ['the last that it may hold', { held: 2 }, 'snapshot', /^$/],
  ['one volume cannot', { snapshotPossible: false }, 'backup', /makes no snapshots: a quick backup to local/],
  ['not known', { snapshotPossible: undefined }, 'backup', /not known now/],
  [
    'bulk, and no snapshot either',
    { view: view({ rootfs, mp1: photos }), snapshotPossible: false },
    'backup',
    /photos/,
  ],
  ['bulk that could be in one', { view: view({ rootfs, mp1: films }) }, 'backup', /take back \/srv\/films.*signed/],
  [
    'bulk and no fast tier',
    { view: view({ rootfs, mp1: films }), quickTier: undefined },
    'none',
    /no fast backup tier/,
  ],
  ['it cannot and has no fast tier', { snapshotPossible: false, quickTier: undefined }, 'none', /makes no snapshots/],
  ['the quota is full', { held: 3 }, 'none', /3 of at most 3/],
  ['the quota is full, for a backup too', { held: 4, snapshotPossible: false }, 'none', /4 of at most 3/],
  ['none are allowed', { most: 0 }, 'none', /0 of at most 0/],
];

for (const [what, change, by, why] of table)
  test(`a checkpoint of a guest: ${what}`, () => {
    const choice = checkpointBy({ ...plain, ...change });
    assert.equal(choice.by, by);
    assert.match(choice.why, why);
  });

test('many bulk volumes are told in few words', () => {
  const values = Object.fromEntries(
    Array.from({ length: 60 }, (_, n) => [`mp${n}`, `guests:vm-101-disk-${n},mp=/srv/${'x'.repeat(60)}${n},size=1G`]),
  );
  const { why } = checkpointBy({ ...plain, view: view({ rootfs, ...values }) });
  assert.match(why, /and 55 more/);
  assert.ok(why.length < 1000);
});

test('what is in the list of snapshots', () => {
  const row = { name: 'a', description: '', takenAt: 7, parent: undefined, state: undefined };
  assert.deepEqual(foundIn([row], 'a'), { is: 'whole', takenAtMs: 7000 });
  assert.deepEqual(foundIn([row], 'b'), { is: 'absent' });
  assert.deepEqual(foundIn([{ ...row, state: 'prepare' }], 'a'), { is: 'unfinished' });
  assert.deepEqual(foundIn([{ ...row, state: 'delete' }], 'a'), { is: 'unfinished' });
  assert.deepEqual(foundIn([{ ...row, takenAt: undefined }], 'a'), { is: 'unfinished' });
});

test('volumes that came later are mounted again where they were, else where there is room', () => {
  const volid = 'guests:vm-101-disk-2' as VolumeId;
  const later = [{ key: 'mp0', volid, line: films }];
  const unused0 = 'guests:vm-101-disk-2';
  assert.deepEqual(reattached(view({ rootfs, unused0 }), later).set, { mp0: films });
  assert.deepEqual(reattached(view({ rootfs, mp0: data, unused0 }), later).set, { mp1: films });
  assert.deepEqual(reattached(view({ rootfs, mp0: data, mp1: films, unused0 }), later).set, {}, 'it is mounted');
  assert.deepEqual(reattached(view({ rootfs }), later).set, {}, 'it is gone');
});
