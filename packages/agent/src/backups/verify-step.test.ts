import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest, VolumeId } from '@felhom/protocol';
import type { ArchiveDigest } from '../ports/host-helper.ts';
import { holdsNoConfig, problemOf, riskOf } from './verify-step.ts';

const volid = 'backup:backup/vzdump-lxc-100-2026_11_23-23_27_22.tar.zst' as VolumeId;
const read: ArchiveDigest = { kind: 'file', sizeBytes: 100, sha256: 'ab'.repeat(32) as Digest, device: 'disk-1' };

const cases: Readonly<
  Record<
    string,
    [
      listed: number,
      atEnd: number | undefined,
      read: ArchiveDigest,
      device: string | undefined,
      code: string | undefined,
    ]
  >
> = {
  'all agree': [100, 100, read, 'disk-1', undefined],
  'no device is declared': [100, 100, read, undefined, undefined],
  'found again after a lost answer': [100, undefined, read, 'disk-1', undefined],
  'another device': [100, 100, read, 'disk-2', 'backup.wrong-device'],
  empty: [0, 0, { ...read, sizeBytes: 0 }, 'disk-1', 'backup.damaged'],
  'shorter on the device': [100, 100, { ...read, sizeBytes: 99 }, 'disk-1', 'backup.damaged'],
  'shorter since its end': [99, 100, { ...read, sizeBytes: 99 }, 'disk-1', 'backup.damaged'],
  'the index of a snapshot has a size of its own': [
    100,
    100,
    { ...read, kind: 'pbs-index', sizeBytes: 7 },
    'disk-1',
    undefined,
  ],
};

for (const [name, [sizeBytes, atEnd, seen, device, code]] of Object.entries(cases))
  test(`is it what was written: ${name}`, () => {
    assert.equal(problemOf({ volid, sizeBytes }, atEnd, seen, device)?.code, code);
  });

const plain = 'rootfs: guests:vm-100-disk-0,size=2G\nunprivileged: 1\nmp0: bulk:100/x.raw,mp=/srv/photos,backup=0\n';

test('what a restore would meet is known when the backup is taken', () => {
  assert.deepEqual(riskOf(plain), {
    tokenCanRestore: true,
    refusals: [],
    comesBackEmpty: ['/srv/photos'],
    devices: false,
  });
  const risky = riskOf(`${plain}dev0: /dev/sda\nhookscript: local:snippets/x\n`);
  assert.equal(risky.devices, true);
  assert.ok(risky.refusals.some((text) => text.startsWith('hookscript: ')));
  assert.equal(riskOf('rootfs: guests:vm-100-disk-0,size=2G\n').tokenCanRestore, false);
});

test('an archive without a config is told apart from a node that cannot be asked', () => {
  assert.equal(
    holdsNoConfig('cannot read the config in archive x: ERROR: archive contains no configuration file'),
    true,
  );
  assert.equal(holdsNoConfig('cannot read the config in archive x: 596 Connection timed out'), false);
});
