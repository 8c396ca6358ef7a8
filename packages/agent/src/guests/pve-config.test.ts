import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { desiredNetwork } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import { markerLine } from '../authority/guest-record.ts';
import { parseMarker } from '../authority/identity.ts';
import { formatProperties, parseFlag, parseProperties, parseSizeGiB } from './property-string.ts';
import {
  changesNothing,
  describeDesiredNet,
  describeNet,
  formatDescription,
  formatNet,
  formatTags,
  formatWithBackup,
  freeMountKey,
  parseDescription,
  parseDisk,
  parseNet,
  parseTags,
  settingsToRaw,
  viewOf,
  writableLabel,
} from './pve-config.ts';

const token = fc.stringMatching(/^[a-zA-Z0-9_/.:-]{1,12}$/);
const properties = fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), token, { minKeys: 1 });

test('a property string survives parsing and formatting', () => {
  fc.assert(
    fc.property(properties, (parts) => {
      const text = Object.entries(parts).map(([key, value]) => `${key}=${value}`);
      assert.equal(formatProperties(parseProperties(text.join(','))), text.join(','));
    }),
  );
});

test('the bare part comes first again', () => {
  const text = 'local:101/vm-101-disk-0.raw,mp=/srv,size=8G';
  assert.equal(formatProperties(parseProperties(text, 'volume'), 'volume'), text);
  assert.equal(parseProperties('volume=a:b,size=1G', 'volume').get('volume'), 'a:b');
});

const networks = fc.record({
  name: fc.integer({ min: 0, max: 9 }).map((n) => `eth${n}`),
  bridge: fc.constantFrom('vmbr0', 'vmbr12'),
  vlan: fc.option(fc.integer({ min: 1, max: 4094 }), { nil: undefined }),
  ipv4: fc.oneof(
    fc.constant('dhcp' as const),
    fc.record({ address: fc.constant('10.1.2.3/24'), gateway: fc.option(fc.constant('10.1.2.1'), { nil: undefined }) }),
  ),
  firewall: fc.boolean(),
});

test('a desired network is found again in what was written for it', () => {
  fc.assert(
    fc.property(networks, fc.option(fc.constant('BC:24:11:00:00:01'), { nil: undefined }), (raw, mac) => {
      const network = desiredNetwork.parse(JSON.parse(JSON.stringify(raw)));
      const net = parseNet('net0', `${formatNet(network, { mac, linkDown: false })},type=veth`);
      assert.equal(describeNet(net), describeDesiredNet(network));
      assert.equal(net.mac, mac);
      assert.equal(net.name, network.name);
      assert.ok(describeNet(parseNet('net0', formatNet(network, { mac, linkDown: true }))).endsWith('link down'));
    }),
  );
});

test('tags are a set', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z0-9_][a-z0-9_+.-]{0,8}$/)), (tags) => {
      assert.equal(formatTags(parseTags(formatTags(tags))), formatTags(tags.toReversed()));
    }),
  );
  assert.deepEqual(parseTags('Felhom;app, app'), ['app', 'felhom']);
});

const record = { uid: 'a'.repeat(26) as GuestUid, incarnation: 1, marker: 'nonce1' };

test('a label comes back as it was written, and never hides the marker', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string({ maxLength: 20 }), fc.constant('felhom:x'), fc.constant(markerLine(record)))),
      (lines) => {
        const written = `${formatDescription(record, lines.join('\n'))}\n`;
        const read = parseDescription(written);
        assert.equal(read.marker && markerLine(read.marker), markerLine(record));
        assert.equal(read.label, writableLabel(lines.join('\n')));
        assert.equal(parseMarker(written).is, 'present');
      },
    ),
  );
});

const sizes: readonly [string | undefined, number | undefined][] = [
  ['8G', 8],
  ['512M', 0.5],
  ['2T', 2048],
  ['1048576K', 1],
  ['1073741824', 1],
  ['x', undefined],
  [undefined, undefined],
];
for (const [text, expect] of sizes)
  test(`size ${text} is ${expect} GiB`, () => assert.equal(parseSizeGiB(text), expect));

const flags: readonly [string | undefined, boolean][] = [
  ['1', true],
  ['0', false],
  ['on', true],
  ['yes', true],
  ['no', false],
  [undefined, false],
];
for (const [text, expect] of flags)
  test(`flag ${text} is ${expect}`, () => assert.equal(parseFlag(text, false), expect));

test('the next mount key is the first hole', () => {
  assert.equal(freeMountKey([]), 'mp0');
  assert.equal(freeMountKey(['rootfs', 'mp0', 'mp2']), 'mp1');
});

test('a mount without backup= is not backed up, the root always is', () => {
  assert.equal(parseDisk('mp0', 'local:1/vm-1-disk-1.raw,mp=/a,size=1G').backup, false);
  assert.equal(parseDisk('rootfs', 'local:1/vm-1-disk-0.raw,size=1G').backup, true);
  const on = formatWithBackup(parseDisk('mp0', 'local:1/vm-1-disk-1.raw,mp=/a,backup=0,size=1G'));
  assert.equal(on, 'local:1/vm-1-disk-1.raw,mp=/a,backup=1,size=1G');
});

const view = viewOf({
  digest: 'd',
  lock: undefined,
  values: {
    hostname: 'photos',
    cores: '2',
    memory: '1024',
    swap: '0',
    onboot: '1',
    tags: 'b;a',
    description: `${markerLine(record)}\nlabel\n`,
    startup: 'order=3,up=5',
    net10: 'name=eth10,bridge=vmbr0',
    net2: 'name=eth2,bridge=vmbr0',
    rootfs: 'local:1/vm-1-disk-0.raw,size=8G',
    mp0: 'local:1/vm-1-disk-1.raw,mp=/srv,size=1G',
    unused0: 'local:1/vm-1-disk-7.raw',
  },
});

test('a config is read whole', () => {
  assert.deepEqual(
    view.networks.map((net) => net.key),
    ['net2', 'net10'],
  );
  assert.deepEqual(
    view.disks.map((disk) => disk.key),
    ['rootfs', 'mp0'],
  );
  assert.deepEqual(view.unused, ['local:1/vm-1-disk-7.raw']);
  assert.equal(view.startupOrder, 3);
  assert.equal(viewOf({ digest: '', lock: undefined, values: {} }).memoryMiB, 512);
});

const changes: readonly [string, Parameters<typeof settingsToRaw>[2], object][] = [
  ['nothing', {}, { set: {}, delete: [] }],
  [
    'what is so already',
    { cores: 2, memoryMiB: 1024, tags: ['a', 'b'], label: 'label', onboot: true },
    { set: {}, delete: [] },
  ],
  [
    'numbers',
    { cores: 4, memoryMiB: 2048, swapMiB: 512 },
    { set: { cores: '4', memory: '2048', swap: '512' }, delete: [] },
  ],
  ['no tags', { tags: [] }, { set: {}, delete: ['tags'] }],
  ['no startup', { startupOrder: null }, { set: {}, delete: ['startup'] }],
  ['no timezone, which is so', { timezone: null }, { set: {}, delete: [] }],
  ['a label', { label: 'new' }, { set: { description: `${markerLine(record)}\nnew` }, delete: [] }],
  ['backups on', { backupOn: 'mp0' }, { set: { mp0: 'local:1/vm-1-disk-1.raw,mp=/srv,size=1G,backup=1' }, delete: [] }],
];
for (const [name, change, expect] of changes)
  test(`settings: ${name}`, () => assert.deepEqual(settingsToRaw(view, record, change), expect));

test('a lost marker is written above what a person noted', () => {
  const bare = { ...view, marker: undefined, label: 'a note' };
  assert.deepEqual(settingsToRaw(bare, record, { repairMarker: true }).set, {
    description: `${markerLine(record)}\na note`,
  });
  assert.ok(changesNothing(settingsToRaw(view, record, { repairMarker: true })));
});
