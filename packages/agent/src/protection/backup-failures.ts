/** Attempts at a backup that came to nothing since the last good one, durable: a restart grants no new tries. */
import { z } from 'zod';
import { guestUid } from '@felhom/protocol';
import type { GuestUid, Reason } from '@felhom/protocol';
import type { BackupFailure } from '../catalogue/index.ts';
import type { Documents } from '../kernel/journal.ts';

const stored = z.strictObject({
  guest: guestUid,
  tier: z.string().max(64),
  attempts: z.number().int().min(1),
  at: z.number().int().min(0),
  text: z.string().max(1000),
  targetAway: z.boolean().optional(),
});
const prefix = 'backup-failure/';

export interface BackupFailures {
  all(): readonly BackupFailure[];
  note(guest: GuestUid, tier: string, why: Reason, now: number): void;
  clear(guest: GuestUid, tier: string): void;
  forget(guest: GuestUid): void;
}

export function createBackupFailures(documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>): BackupFailures {
  const keyOf = (guest: GuestUid, tier: string): string => `${prefix}${guest}/${tier}`;
  return {
    all: () => documents.list(prefix).map(({ body }) => stored.parse(body)),
    note(guest, tier, why, now) {
      const key = keyOf(guest, tier);
      const found = documents.get(key);
      const attempts = (found === undefined ? 0 : stored.parse(found.body).attempts) + 1;
      const targetAway = why.code === 'backup.target-dropped' || why.code === 'storage.target-away';
      const body = {
        guest,
        tier,
        attempts,
        at: Math.max(0, Math.trunc(now)),
        text: why.text.slice(0, 1000),
        ...(targetAway ? { targetAway } : {}),
      };
      documents.put({ key, v: 1, body });
    },
    clear(guest, tier) {
      if (documents.get(keyOf(guest, tier)) !== undefined) documents.remove(keyOf(guest, tier));
    },
    forget(guest) {
      for (const { key } of documents.list(`${prefix}${guest}/`)) documents.remove(key);
    },
  };
}
