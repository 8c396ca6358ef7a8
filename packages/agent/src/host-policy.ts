/**
 * The root-owned policy file: the ranges inside which unsigned change may move. Never from the hub [R15].
 * Parsed once at start; a file that does not parse keeps the agent running degraded, with nothing mutated.
 */
import { z } from 'zod';
import { digest, guestName, storageId, vmid, volumeId } from '@felhom/protocol';

const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
const range = z.strictObject({ from: vmid, to: vmid }).refine((r) => r.from <= r.to, 'from must not be above to');

export const hostPolicy = z.strictObject({
  v: z.literal(1),
  node: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$/),
  pool: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$/),
  /** Whose tasks are the agent's: root clears nothing that another one left. */
  token: z
    .string()
    .regex(/^[^\s:!/@]{1,60}@[A-Za-z][A-Za-z0-9._-]{1,31}![A-Za-z][A-Za-z0-9._-]{1,60}$/, 'USER@REALM!TOKENID')
    .default('felhom-agent@pve!agent'),
  vmids: z.strictObject({ guests: range, scratch: range }),
  bridges: z.array(z.string()).min(1).max(32),
  /** Storages that guests' volumes may lie on. */
  storages: z.array(storageId).min(1).max(32),
  /** Those of them that are no place for databases: bulk, backups of it, whatever may wait. */
  slowStorages: z.array(storageId).max(32).default([]),
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
      /** Bytes to the hub are paid for: polls are seldom, without vitals, and only what matters is reported at once. */
      metered: z.boolean().default(false),
    })
    .prefault({}),
  /** The longest that break-glass may stand open, whatever a signed job asks for. */
  breakGlass: z.strictObject({ maxMinutes: z.number().int().min(1).max(480).default(60) }).prefault({}),
  backups: z
    .strictObject({
      /** Where copies may go, by the name that desired state uses: root's word, because a new target discloses [R15]. */
      targets: z
        .record(
          slug,
          z.strictObject({
            storage: storageId,
            class: z.enum(['fast', 'slow']),
            /** Away from this host: what is left when it burns. */
            offsite: z.boolean().default(false),
            /** The device that must lie under it, as the root helper names it; absent: not checked. */
            device: z.string().max(200).optional(),
          }),
        )
        .default({}),
      /** Between two scheduled backups of one guest and tier: oftener is clamped to this. */
      minIntervalMinutes: z.number().int().min(5).default(60),
      /** Seconds from the start of quiesce until the storage must hold the state; else the backup is given up [R35]. */
      captureSeconds: z.number().int().min(10).max(600).default(120),
      /** Made on demand by one guest per rolling day. */
      onDemandPerDay: z.number().int().min(0).max(48).default(4),
      /** Files or bytes that a guest's manifest may lose or change against the one before, in percent, before it counts
       * as a mass change and stops the pruning of what was there before [R12]. */
      massChangePercent: z.number().int().min(1).max(100).default(50),
      /** No proven copy of a tier for so long is an alarm. */
      provenAlarmDays: z.number().int().min(1).max(365).default(14),
      /** Snapshots that one guest may hold. */
      snapshotsPerGuest: z.number().int().min(0).max(20).default(3),
      /** After which a checkpoint is dropped. */
      checkpointHours: z
        .number()
        .int()
        .min(1)
        .max(24 * 90)
        .default(7 * 24),
      /** Free part of a storage, in percent, below which no snapshot is taken [R37]. */
      reservePercent: z.number().int().min(0).max(90).default(10),
    })
    .prefault({}),
  restoreTests: z
    .strictObject({
      /** Where scratch guests lie; absent: the first of `storages`. */
      storage: storageId.optional(),
      cores: z.number().int().min(1).default(1),
      memoryMiB: z.number().int().min(64).default(1024),
      /** Until the guest must say that it is booted, and afterwards until its services must be well. */
      bootSeconds: z.number().int().min(10).max(7200).default(600),
      healthySeconds: z.number().int().min(10).max(7200).default(300),
    })
    .prefault({}),
  recovery: z
    .strictObject({
      /** Whether a lost guest is brought back unasked. */
      automatic: z.boolean().default(true),
    })
    .prefault({}),
  /**
   * When a number of the host becomes a finding. It must stay there for a while, and the finding goes only when the number
   * is well back, so that none comes and goes.
   */
  monitoring: z
    .strictObject({
      /** How long a number must stay there. */
      minutes: z.number().min(0).max(120).default(5),
      memoryPercent: z.number().min(50).max(100).default(92),
      rootDiskPercent: z.number().min(50).max(99).default(85),
      /** Waiting processes per processor, over a minute. */
      loadPerProcessor: z.number().min(1).max(100).default(4),
      /** Percent of the time in which something waited (pressure stall information). */
      pressurePercent: z
        .strictObject({
          cpu: z.number().min(1).max(100).default(80),
          memory: z.number().min(1).max(100).default(20),
          io: z.number().min(1).max(100).default(60),
        })
        .prefault({}),
      temperatureC: z.number().min(40).max(120).default(85),
      /** Of an SSD's life. */
      wornPercent: z.number().min(10).max(100).default(90),
      /** Before a certificate or a token ends. */
      expiryDays: z.number().min(1).max(90).default(10),
      /** Between two looks at the disks: Proxmox asks each with smartctl, which may wake one that sleeps. */
      diskHours: z.number().min(1).max(168).default(6),
    })
    .prefault({}),
  localApi: z
    .strictObject({
      requestsPerMinute: z.number().int().min(10).default(120),
      /** At once, of one guest. */
      concurrent: z.number().int().min(1).max(64).default(4),
      connections: z.number().int().min(1).max(256).default(16),
      /** Proxmox tasks that one guest may cause per hour [R42]. */
      tasksPerHour: z.number().int().min(1).default(30),
      claimMinutes: z.number().int().min(1).max(10).default(10),
    })
    .prefault({}),
  hold: z.strictObject({ host: z.boolean().default(false), guests: z.array(guestName).default([]) }).prefault({}),
});
export type HostPolicy = z.output<typeof hostPolicy>;
