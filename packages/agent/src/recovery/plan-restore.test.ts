import { test } from 'node:test';
import assert from 'node:assert/strict';
import { desiredGuest } from '@felhom/protocol';
import type { StorageId, VolumeId } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { hostPolicy } from '../host-policy.ts';
import type { StorageRow } from '../ports/proxmox.ts';
import { planRestore } from './plan-restore.ts';
import type { ComingBack, LeftOver } from './plan-restore.ts';
import { uid } from './test/copies.ts';

const [root, data, photos] = ['fast:vm-9000-disk-0', 'fast:vm-9000-disk-1', 'usb:9000/vm-9000-disk-2.raw'] as [
  VolumeId,
  VolumeId,
  VolumeId,
];

const archived = [
  `#felhom%3A${uid}.1.${'b'.repeat(16)}`,
  '#Photos of the family',
  'arch: amd64',
  'cores: 2',
  'cpuunits: 200',
  'env: FELHOM_CLAIM=old',
  'features: nesting=1',
  'hostname: photos',
  'memory: 1024',
  `mp0: ${data},mp=/srv/data,backup=1,size=20G`,
  `mp1: ${photos},mp=/srv/photos,backup=0,size=500G`,
  'nameserver: 10.0.0.1',
  'net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,rate=5,type=veth',
  'net1: name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,link_down=1,type=veth',
  'onboot: 1',
  'ostype: debian',
  `rootfs: ${root},mountoptions=discard,size=8G`,
  'swap: 0',
  'tags: family;felhom',
  'timezone: Europe/Budapest',
  'unprivileged: 1',
  '',
  '[snap1]',
  'memory: 1',
].join('\n');

const volume = (key: string, name: string, volid: VolumeId, sizeGiB: number) => ({
  key,
  name,
  volid,
  sizeGiB,
  ctime: undefined,
  carriedOver: false,
});
const record = {
  uid,
  incarnation: 1,
  marker: 'b'.repeat(16),
  name: 'photos',
  vmid: 9000,
  golden: 'debian-1',
  volumes: [volume('rootfs', 'rootfs', root, 8), volume('mp0', 'data', data, 20), volume('mp1', 'photos', photos, 500)],
  servedAt: 1,
  configDigest: 'd',
  createdAt: 1,
  scratch: false,
} as unknown as GuestRecord;

const desired = desiredGuest.parse({
  name: 'photos',
  golden: 'debian-1',
  hostname: 'photos',
  cores: 2,
  memoryMiB: 1024,
  rootfs: { storage: 'fast', sizeGiB: 8 },
  volumes: [
    { name: 'data', path: '/srv/data', storage: 'fast', sizeGiB: 20, backup: true },
    { name: 'photos', path: '/srv/photos', storage: 'usb', sizeGiB: 600, backup: false },
  ],
  networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
});

const row = (storage: string, over: Partial<StorageRow> = {}): StorageRow => ({
  storage: storage as StorageId,
  type: 'dir',
  content: ['rootdir'],
  active: true,
  enabled: true,
  totalBytes: 4000 * 1024 ** 3,
  availableBytes: 4000 * 1024 ** 3,
  ...over,
});
const left: LeftOver = {
  archivedConfig: archived,
  record,
  desired,
  surviving: [photos],
  storages: [row('fast'), row('usb'), row('spare')],
  allocatedBytes: new Map(),
  policy: hostPolicy.parse({
    v: 1,
    node: 'pve1',
    pool: 'felhom',
    vmids: { guests: { from: 9000, to: 9019 }, scratch: { from: 9800, to: 9809 } },
    bridges: ['vmbr0'],
    storages: ['fast', 'usb', 'spare'],
    goldens: {},
  }),
};
const backOf = (over: Partial<LeftOver> = {}): ComingBack => {
  const decision = planRestore({ ...left, ...over });
  return decision.is === 'comes-back' ? decision.back : assert.fail(JSON.stringify(decision));
};

test('the call: as it was, with its MAC, its links down, and nothing that the archive could smuggle', () => {
  const back = backOf();
  assert.deepEqual(back.values, {
    hostname: 'photos',
    memory: '1024',
    swap: '0',
    onboot: '0',
    protection: '0',
    cores: '2',
    cpuunits: '200',
    nameserver: '10.0.0.1',
    timezone: 'Europe/Budapest',
    rootfs: 'fast:8,mountoptions=discard',
    mp0: 'fast:20,mp=/srv/data,backup=1',
    net0: 'name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,rate=5,link_down=1',
    net1: 'name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,link_down=1',
  });
  assert.equal(JSON.stringify(back).includes('CLAIM'), false, 'an old claim is nowhere in the journal');
  assert.deepEqual(back.up, ['net0'], 'a link that was down stays down');
  assert.equal(back.label, 'Photos of the family');
  assert.equal(back.tags, 'family;felhom');
  assert.deepEqual(back.names, { rootfs: 'rootfs', mp0: 'data' });
  assert.equal(back.runs, true);
});

test('bulk that survived is attached as it lies, at its old place', () => {
  const { attach, empty, emptied, notes } = backOf();
  assert.deepEqual(attach, [
    { key: 'mp1', name: 'photos', volid: photos, sizeGiB: 500, value: `${photos},mp=/srv/photos,backup=0` },
  ]);
  assert.deepEqual([empty, emptied, notes], [[], [], []]);
});

test('bulk that is gone comes back empty, as large as it is wanted', () => {
  const { attach, empty, emptied } = backOf({ surviving: [] });
  assert.deepEqual(attach, []);
  assert.deepEqual(empty, [{ name: 'photos', path: '/srv/photos', storage: 'usb', sizeGiB: 600, backup: false }]);
  assert.match(emptied.join(), /\/srv\/photos/);
});

test('bulk whose storage is gone is not made elsewhere, and is named', () => {
  const { empty, emptied } = backOf({ surviving: [], storages: [row('fast')] });
  assert.deepEqual(empty, []);
  assert.match(emptied.join(), /not made anew/);
});

test('a storage that died is replaced by one that takes the volumes', () => {
  const storages = [row('fast', { active: false }), row('usb', { availableBytes: 1 }), row('spare')];
  const back = backOf({ storages });
  assert.equal(back.values['rootfs'], 'spare:8,mountoptions=discard');
  assert.equal(back.values['mp0'], 'spare:20,mp=/srv/data,backup=1');
  assert.equal(back.storage, 'spare');
  assert.match(back.notes.join(), /lies on spare now/);
});

test('room is counted over all volumes of one storage', () => {
  const tight = row('fast', { availableBytes: 2 * 8 * 1024 ** 3 });
  assert.equal(backOf({ storages: [tight, row('usb')] }).values['mp0'], 'usb:20,mp=/srv/data,backup=1');
  assert.equal(planRestore({ ...left, storages: [tight] }).is, 'no-room');
});

test('what the backup holds and is there still forbids it', () => {
  const decision = planRestore({ ...left, surviving: [photos, data] });
  assert.deepEqual(decision, { is: 'survived', volumes: [data] });
});

test('a volume that has grown since comes back as large as it was', () => {
  const grown = { ...record, volumes: record.volumes.map((v) => (v.name === 'data' ? { ...v, sizeGiB: 40 } : v)) };
  assert.equal(backOf({ record: grown }).values['mp0'], 'fast:40,mp=/srv/data,backup=1');
});

test('a backup of an earlier incarnation is matched by place, not by volume', () => {
  const earlier = archived.replaceAll('9000', '9003').replace('mp0:', 'mp4:');
  const { names, attach, values } = backOf({ archivedConfig: earlier });
  assert.deepEqual(names, { rootfs: 'rootfs', mp4: 'data' });
  assert.equal(values['mp4'], 'fast:20,mp=/srv/data,backup=1');
  assert.deepEqual(
    attach.map(({ volid }) => volid),
    [photos],
    'today’s bulk, not that of then',
  );
});

test('bulk that joined after the backup is attached where desired state wants it; without that it is only named', () => {
  const without = archived.replace(/^mp1: .*\n/m, '');
  assert.equal(backOf({ archivedConfig: without }).attach[0]?.value, `${photos},mp=/srv/photos`);
  const unknown = backOf({ archivedConfig: without, desired: undefined });
  assert.deepEqual(unknown.attach, []);
  assert.match(unknown.notes.join(), /not attached/);
});

test('without desired state it runs if it was started at boot', () => {
  assert.equal(backOf({ desired: undefined }).runs, true);
  assert.equal(backOf({ desired: undefined, archivedConfig: archived.replace('onboot: 1', 'onboot: 0') }).runs, false);
  assert.equal(backOf({ desired: { ...desired, power: 'stopped' } }).runs, false);
});
