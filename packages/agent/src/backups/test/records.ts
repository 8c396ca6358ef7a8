/** Records of backups for the tests of this room. */
import { backupRecord } from '../../catalogue/backup-record.ts';
import type { BackupRecord } from '../../catalogue/backup-record.ts';

export function recordOfTest(extra: Partial<BackupRecord> = {}): BackupRecord {
  return backupRecord.parse({
    id: 'abcdefgh234567zz',
    guest: 'abcdefghijklmnopqrstuvwxy2',
    incarnation: 1,
    vmid: 100,
    tier: 'local',
    storage: 'backup',
    archive: 'backup:backup/vzdump-lxc-100-2026_11_23-23_27_22.tar.zst',
    class: 'scheduled',
    consistency: 'crash',
    mode: 'snapshot',
    startedAt: 1,
    takenAt: 2,
    sizeBytes: 100,
    sha256: 'ab'.repeat(32),
    protected: false,
    warnings: [],
    risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
    massChange: false,
    ...extra,
  });
}
