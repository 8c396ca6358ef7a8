/**
 * What the journal knows of one backup. A backup is good only when its task, the listing, the device, the size and the
 * SHA-256 agreed when it was taken [R8]; only then does it get a record. Keyed by the guest's uid, over every VMID that
 * the guest ever had [R30].
 */
import { z } from 'zod';
import { digest, guestUid, storageId, vmid, volumeId } from '@felhom/protocol';

const time = z.number().int().min(0);

/** 80 random bits in lower-case base32: the operation's nonce in the archive's notes, and the name of the record. */
export const backupId = z.string().regex(/^[a-z2-7]{16}$/);

export const backupRecord = z.strictObject({
  id: backupId,
  guest: guestUid,
  /** When it was taken: of an earlier incarnation it is still this guest's. */
  incarnation: z.number().int().min(1),
  vmid,
  tier: z.string(),
  storage: storageId,
  archive: volumeId,
  /**
   * `scheduled` ones fill the days and weeks that are kept; `on-demand` (a guest or a signed job asked) and `checkpoint`
   * are capped classes of their own and never displace a scheduled one [R12].
   */
  class: z.enum(['scheduled', 'on-demand', 'checkpoint']),
  /** The time of the schedule that it was taken for. */
  slot: time.optional(),
  /** `app`: the controller held its apps still until the storage held the state. */
  consistency: z.enum(['app', 'crash']),
  /** What vzdump really did, which may be less than what was asked for. */
  mode: z.enum(['snapshot', 'suspend', 'stop']),
  startedAt: time,
  /** From then on the storage held the state. */
  capturedAt: time.optional(),
  /** When it was proven good. */
  takenAt: time,
  sizeBytes: z.number().int().min(0),
  sha256: digest,
  device: z.string().optional(),
  /** Fingerprint of the key it is encrypted with. */
  encrypted: z.string().optional(),
  protected: z.boolean(),
  /** Warnings of its task, for people. */
  warnings: z.array(z.string().max(300)).max(20),
  /** What restoring it would meet: why a token could not, and what comes back empty. */
  risk: z.strictObject({
    tokenCanRestore: z.boolean(),
    refusals: z.array(z.string().max(300)).max(40),
    comesBackEmpty: z.array(z.string().max(200)).max(64),
    /** It hands hardware of the host to the guest, so it is tested from its contents only [R24]. */
    devices: z.boolean(),
  }),
  /** Digest of the content manifest that the guest had stored when it was taken, and its sums. */
  manifest: z
    .strictObject({ digest, files: z.number().int().min(0), bytes: z.number().int().min(0), at: time })
    .optional(),
  /** The manifest differs so much from the one before that what was there before must not be pruned [R12]. */
  massChange: z.boolean(),
  /** The last time its bytes were read back, or PBS verified it. */
  integrity: z
    .strictObject({ at: time, is: z.enum(['ok', 'corrupt', 'missing']), text: z.string().max(300) })
    .optional(),
  /** The restore-test that went best, by its evidence. */
  proven: z.strictObject({ at: time, evidence: digest, rtoMs: z.number().int().min(0) }).optional(),
  /** A restore-test that went wrong since, so it is nothing to restore from before others. */
  failedTest: z.strictObject({ at: time, evidence: digest, text: z.string().max(300) }).optional(),
});
export type BackupRecord = z.output<typeof backupRecord>;
