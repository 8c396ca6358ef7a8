/** Catalogue records as the tests of this room need them. */
import { guestUid } from '@felhom/protocol';
import type { StorageId, VolumeId } from '@felhom/protocol';
import type { BackupRecord } from '../../catalogue/index.ts';
import type { HostPolicy } from '../../host-policy.ts';

export const hour = 3_600_000;
export const day = 24 * hour;
export const uid = guestUid.parse('a'.repeat(26));

export const targets: HostPolicy['backups']['targets'] = {
  local: { storage: 'fast' as StorageId, class: 'fast', offsite: false },
  away: { storage: 'slow' as StorageId, class: 'slow', offsite: true },
};

/** Good and not proven. */
export function copy(id: string, storage: string, takenAt: number, over: Partial<BackupRecord> = {}): BackupRecord {
  return {
    id,
    guest: uid,
    incarnation: 1,
    vmid: 9000 as BackupRecord['vmid'],
    tier: storage === 'fast' ? 'local' : 'away',
    storage: storage as StorageId,
    archive: `${storage}:backup/${id}.tar.zst` as VolumeId,
    class: 'scheduled',
    consistency: 'app',
    mode: 'snapshot',
    startedAt: takenAt,
    takenAt,
    sizeBytes: 1,
    sha256: '0'.repeat(64) as BackupRecord['sha256'],
    protected: false,
    warnings: [],
    risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
    massChange: false,
    ...over,
  };
}
