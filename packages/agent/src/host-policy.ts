/**
 * The root-owned policy file: the ranges inside which unsigned change may move. Never from the hub [R15].
 * Parsed once at start; a file that does not parse keeps the agent running degraded, with nothing mutated.
 */
import { z } from 'zod';
import { digest, guestName, storageId, vmid, volumeId } from '@felhom/protocol';

const range = z.strictObject({ from: vmid, to: vmid }).refine((r) => r.from <= r.to, 'from must not be above to');

export const hostPolicy = z.strictObject({
  v: z.literal(1),
  node: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$/),
  pool: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$/),
  vmids: z.strictObject({ guests: range, scratch: range }),
  bridges: z.array(z.string()).min(1).max(32),
  /** Storages that guests' volumes may lie on. */
  storages: z.array(storageId).min(1).max(32),
  /** Where a volume that joins a living guest may be mounted: at or below one of these, which hold no system data. */
  mountRoots: z
    .array(z.string().regex(/^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/, 'an absolute path'))
    .min(1)
    .max(16)
    .default(['/mnt', '/srv', '/media', '/data']),
  /** Golden images admitted by root: id → archive, its size and SHA-256 as journaled when it was placed. */
  goldens: z.record(
    z.string(),
    z.strictObject({ archive: volumeId, sizeBytes: z.number().int().positive(), sha256: digest }),
  ),
  limits: z
    .strictObject({
      guests: z.number().int().min(1).max(200).default(20),
      /** Sums over all guests of this agent. */
      cores: z.number().int().min(1).default(64),
      memoryMiB: z.number().int().min(64).default(65_536),
      /** Free space that must remain on a storage after a provision, as a factor of what it needs: 2 = twice [issue]. */
      spaceFactor: z.number().min(1).default(2),
      /** Σ virtual sizes on a storage over its capacity, at most [R37]. */
      overcommit: z.number().min(0.1).default(1),
      /** Growth of one guest per rolling day, in percent of what it had [R37]. */
      growPercentPerDay: z.number().int().min(0).default(50),
      /** Guests that one class of change may touch per rolling 24 h; start and backup are exempt. */
      blastRadius: z.number().int().min(1).default(5),
    })
    .prefault({}),
  /** Before a guest that served is destroyed, signatures or not [R39]. Fractions are fine. */
  removal: z
    .strictObject({
      /** Nothing happens yet, everybody sees it, any signer can cancel it. Shorter takes two people. */
      coolOffMinutes: z.number().min(0).max(10_080).default(60),
      /** Stopped, cut off and protected; it can still come back as it was. */
      quarantineHours: z.number().min(0).max(720).default(72),
      /** Guests that served which may be destroyed per rolling day of this host. */
      perDay: z.number().int().min(1).max(200).default(1),
    })
    .prefault({}),
  poll: z
    .strictObject({
      minSeconds: z.number().int().min(10).default(10),
      maxSeconds: z.number().int().max(900).default(900),
    })
    .prefault({}),
  /** The longest that break-glass may stand open, whatever a signed job asks for. */
  breakGlass: z.strictObject({ maxMinutes: z.number().int().min(1).max(480).default(60) }).prefault({}),
  hold: z.strictObject({ host: z.boolean().default(false), guests: z.array(guestName).default([]) }).prefault({}),
});
export type HostPolicy = z.output<typeof hostPolicy>;
