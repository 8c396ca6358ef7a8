import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeRandom } from '../core.ts';
import {
  changedFeatures,
  formatSize,
  newDiskOf,
  normaliseNetwork,
  normaliseTags,
  parseMountPoint,
  parseSize,
  printMountPoint,
} from './property-string.ts';

const always: FakeRandom = { int: () => 0xa1 };

test('sizes', () => {
  const rows: [string, number, string][] = [
    ['1G', 1024 ** 3, '1G'],
    ['1.5G', 1.5 * 1024 ** 3, '1536M'],
    ['0.5G', 512 * 1024 ** 2, '512M'],
    ['1027G', 1027 * 1024 ** 3, '1027G'],
    ['0', 0, '0T'],
    ['1000', 1000, '1000'],
  ];
  for (const [text, bytes, printed] of rows) {
    assert.equal(parseSize(text), bytes);
    assert.equal(formatSize(bytes), printed);
  }
  assert.equal(parseSize('abc'), undefined);
});

test('a network device is reprinted with type and MAC; a given MAC keeps its case', () => {
  const rows: [string, boolean, string][] = [
    ['name=eth0,bridge=vmbr0,ip=dhcp', false, 'name=eth0,bridge=vmbr0,hwaddr=BC:24:11:A1:A1:A1,ip=dhcp,type=veth'],
    [
      'bridge=vmbr0,name=eth0,tag=10,hwaddr=bc:24:11:aa:bb:cc',
      false,
      'name=eth0,bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc,tag=10,type=veth',
    ],
    ['name=eth0,hwaddr=BC:24:11:00:00:01', true, 'name=eth0,hwaddr=BC:24:11:A1:A1:A1,type=veth'],
  ];
  for (const [given, freshMac, printed] of rows) assert.equal(normaliseNetwork(given, always, { freshMac }), printed);
});

test('mount points', () => {
  const mount = parseMountPoint('mp2', 'felhom:0.5,mp=/mnt/b,backup=1,acl=1');
  assert.deepEqual(newDiskOf(mount.volume), { storage: 'felhom', gib: 0.5 });
  assert.equal(
    printMountPoint(mount, { volume: 'felhom:101/vm-101-disk-3.raw', sizeBytes: 512 * 1024 ** 2 }),
    'felhom:101/vm-101-disk-3.raw,mp=/mnt/b,acl=1,backup=1,size=512M',
  );
  assert.equal(parseMountPoint('mp0', '/srv,mp=/x').kind, 'bind');
  assert.equal(parseMountPoint('mp0', '/dev/sdb,mp=/x').kind, 'device');
  assert.throws(() => parseMountPoint('mp7', undefined), { message: 'format error', status: 500 });
});

test('tags and feature flags', () => {
  assert.equal(normaliseTags('Zeta;alpha,alpha'), 'alpha;zeta');
  assert.deepEqual([...changedFeatures('nesting=1,keyctl=1', 'nesting=0,keyctl=1')], ['nesting']);
  assert.deepEqual([...changedFeatures('nesting=1,keyctl=1', undefined)], ['nesting', 'keyctl']);
});
