/** Records, tiers and policies as tests of this room need them. */
import { parseCalendar } from '@felhom/protocol';
import type { BackupTier, Digest, GuestName, GuestUid, StorageId, Vmid, VolumeId } from '@felhom/protocol';
import { hostPolicy } from '../../host-policy.ts';
import type { HostPolicy } from '../../host-policy.ts';
import type { BackupRecord } from '../backup-record.ts';
import type { EffectiveTier } from '../effective-policy.ts';

export const hour = 3_600_000;
export const day = 24 * hour;
export const at = (iso: string): number => Date.parse(iso);
export const uidOf = (letter: string): GuestUid => letter.repeat(26) as GuestUid;
export const nameOf = (name: string): GuestName => name as GuestName;

export function backupPolicy(more: Partial<HostPolicy['backups']> = {}): HostPolicy['backups'] {
  const backups = hostPolicy.shape.backups.parse({
    targets: {
      disk: { storage: 'second', class: 'fast' },
      usb: { storage: 'usb-disk', class: 'slow', device: 'uuid-1' },
      offsite: { storage: 'pbs', class: 'slow', offsite: true },
    },
  });
  return { ...backups, ...more };
}

export function planTier(more: Partial<BackupTier> = {}): BackupTier {
  return {
    name: 'nightly',
    target: 'disk',
    schedule: '*-*-* 03:00',
    jitterMinutes: 0,
    keep: { days: 7, weeks: 4, months: 0, onDemand: 2 },
    restoreTestEveryDays: 7,
    ...more,
  };
}

export function tierOf(schedule: string, more: Partial<EffectiveTier> = {}): EffectiveTier {
  const parsed = parseCalendar(schedule);
  if (parsed.is !== 'ok') throw new Error(parsed.text);
  return {
    name: 'nightly',
    target: 'disk',
    storage: 'second' as StorageId,
    class: 'fast',
    offsite: false,
    calendar: parsed.value,
    zone: parsed.value.zone ?? 'UTC',
    minIntervalMs: hour,
    maxIntervalMs: 365 * day,
    jitterMs: 0,
    keep: { days: 7, weeks: 4, months: 0, onDemand: 2 },
    restoreTestEveryDays: 7,
    ...more,
  };
}

/** A good one that was read back, taken at its slot. `id` is padded to 16 letters. */
export function record(id: string, startedAt: number, more: Partial<BackupRecord> = {}): BackupRecord {
  return {
    id: id.padEnd(16, 'a'),
    guest: uidOf('a'),
    incarnation: 1,
    vmid: 200 as Vmid,
    tier: 'nightly',
    storage: 'second' as StorageId,
    archive: `second:backup/${id}.tar.zst` as VolumeId,
    class: 'scheduled',
    ...(more.class === undefined || more.class === 'scheduled' ? { slot: startedAt } : {}),
    consistency: 'app',
    mode: 'snapshot',
    startedAt,
    takenAt: startedAt + 60_000,
    sizeBytes: 1_000_000,
    sha256: 'a'.repeat(64) as Digest,
    protected: false,
    warnings: [],
    risk: { tokenCanRestore: true, refusals: [], comesBackEmpty: [], devices: false },
    massChange: false,
    integrity: { at: startedAt + 120_000, is: 'ok', text: '' },
    ...more,
  };
}

export const provenAt = (time: number): NonNullable<BackupRecord['proven']> => ({
  at: time,
  evidence: 'e'.repeat(64) as Digest,
  rtoMs: 90_000,
});
