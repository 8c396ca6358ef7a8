/** Disks, shares and a Proxmox for the tests of this room; all of it is what the test says it is. */
import type { StorageId } from '@felhom/protocol';
import type { StorageEntry } from '../../ports/proxmox.ts';
import type { SeenDisk, SeenMount } from '../../ports/storage-devices.ts';
import { declaredTarget, mountPathOf } from '../../storage-manifest.ts';
import type { DeclaredTarget } from '../../storage-manifest.ts';

export const uuid = '3f1c2a5e-9d1b-4a57-8a55-0c5a8e6d1f00';
export const mark = 'ab'.repeat(16);

export function usbTarget(
  changes: Record<string, unknown> = {},
  declared: Record<string, unknown> = {},
): DeclaredTarget {
  return declaredTarget.parse({
    target: {
      type: 'usb',
      name: 'usb1',
      storage: 'usb-backup',
      role: 'vzdump-target',
      class: 'slow',
      uuid,
      fileSystem: 'ext4',
      serial: 'S1',
      ...changes,
    },
    state: 'attached',
    mark,
    iops: 120,
    attachedAt: 1_000,
    ...declared,
  });
}

export const disk = (changes: Partial<SeenDisk> = {}): SeenDisk => ({
  device: 'sdb1',
  uuid,
  fileSystem: 'ext4',
  serials: ['S1'],
  appearance: '8:17 1',
  ...changes,
});

export const mountOf = (changes: Partial<SeenMount> = {}): SeenMount => ({
  path: mountPathOf('usb1'),
  fileSystem: 'ext4',
  source: '/dev/sdb1',
  readOnly: false,
  disk: disk(),
  ...changes,
});

export const entry = (options: Record<string, string> = {}, storage = 'usb-backup'): StorageEntry => ({
  storage: storage as StorageId,
  options: new Map(
    Object.entries({
      type: 'dir',
      path: mountPathOf('usb1'),
      is_mountpoint: 'yes',
      'create-base-path': '0',
      content: 'backup',
      nodes: 'pve1',
      'prune-backups': 'keep-all=1',
      ...options,
    }),
  ),
});
