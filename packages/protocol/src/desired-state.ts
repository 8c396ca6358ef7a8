/**
 * Desired state v1: what the hub asks for, unsigned and reconciled for ever.
 *
 * It contains no volume id, no raw Proxmox key, no mount option and nothing with which to mark a guest as scratch.
 * An unknown field makes the whole document refused, because a field that one side understands and the other ignores
 * is how things get relabelled.
 */
import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { parseCalendar } from './calendar.ts';
import { guestName, storageId } from './ids.ts';
import type { Digest } from './ids.ts';

export const desiredStateVersions = [1] as const;

/** Bytes of a document's text. 200 guests with all their volumes and networks take about a quarter of it. */
export const maxDesiredStateBytes = 1_048_576;

const ipv4 = z.string().max(15).refine(isIPv4, 'must be an IPv4 address');
const cidr4 = z
  .string()
  .max(18)
  .refine((text) => {
    const [address = '', prefix = '', ...rest] = text.split('/');
    return rest.length === 0 && isIPv4(address) && /^\d{1,2}$/.test(prefix) && Number(prefix) <= 32;
  }, 'must be an IPv4 address with prefix length, like 192.168.1.10/24');
const hostname = z
  .string()
  .max(63)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/, 'a DNS label');
const tag = z.string().regex(/^[a-z0-9_][a-z0-9_+.-]{0,30}$/);

const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);

/** A data volume, mounted at `path`. `backup: false` is bulk: vzdump leaves it out and nothing ever rolls it back. */
export const desiredVolume = z.strictObject({
  name: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?$/),
  path: z
    .string()
    .max(200)
    .regex(/^\/[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/, 'an absolute path without .. or spaces')
    .refine((p) => !p.split('/').includes('..') && !p.split('/').includes('.'), 'an absolute path without . or ..'),
  storage: storageId,
  sizeGiB: z.number().int().min(1).max(65_536),
  backup: z.boolean(),
  /**
   * Of a bulk volume: who backs it up. `controller`: the guest's controller copies it to a backup target of this name
   * [R25]; `none`: nobody, and the customer knows. Absent on a bulk volume is a finding, never a silent loss.
   */
  ownBackup: z
    .discriminatedUnion('is', [
      z.strictObject({ is: z.literal('controller'), target: slug }),
      z.strictObject({ is: z.literal('none'), acknowledged: z.literal(true) }),
    ])
    .optional(),
});

export const desiredNetwork = z.strictObject({
  name: z.string().regex(/^eth[0-9]$/),
  bridge: z.string().regex(/^[a-zA-Z][a-zA-Z0-9_-]{0,14}$/),
  vlan: z.number().int().min(1).max(4094).optional(),
  ipv4: z.union([z.literal('dhcp'), z.strictObject({ address: cidr4, gateway: ipv4.optional() })]),
  firewall: z.boolean().default(true),
});

export const desiredGuest = z.strictObject({
  name: guestName,
  /** A golden image that root registered on the host; never a path or a volume id. */
  golden: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  hostname,
  cores: z.number().int().min(1).max(512),
  memoryMiB: z.number().int().min(64).max(16_777_216),
  swapMiB: z.number().int().min(0).max(16_777_216).default(0),
  rootfs: z.strictObject({ storage: storageId, sizeGiB: z.number().int().min(1).max(65_536) }),
  volumes: z.array(desiredVolume).max(32).default([]),
  networks: z.array(desiredNetwork).min(1).max(8),
  nameservers: z.array(ipv4).max(3).default([]),
  power: z.enum(['running', 'stopped']).default('running'),
  startup: z.strictObject({ order: z.number().int().min(0).max(1000) }).optional(),
  timezone: z
    .string()
    .regex(/^(?:host|[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+){0,2})$/)
    .optional(),
  tags: z.array(tag).max(16).default([]),
  label: z.string().max(200).default(''),
  /** The controller's role: which image runs in it, the newest signed release of this role says. Absent: none. */
  controller: z
    .strictObject({
      role: slug,
      config: z.record(z.string().regex(/^[a-z][a-z0-9_-]{0,39}$/), z.string().max(1000)).default({}),
    })
    .optional(),
  backup: z
    .strictObject({
      /** Tiers of the host that take this guest; absent: all. Fewer than the signed floor are not honoured. */
      tiers: z.array(slug).max(8).optional(),
      /** Whether the controller is asked to hold its apps still first. */
      appConsistent: z.boolean().default(true),
    })
    .optional(),
});

const clockTime = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'a time of day like 03:30');

/** One tier of copies: where to, when, how long. Ranges and floors of the host bind it; beyond them it is clamped. */
export const backupTier = z.strictObject({
  name: slug,
  /** A backup target that root registered on the host; never a storage or a path. */
  target: slug,
  /** systemd calendar expression, e.g. `*-*-* 03:00:00 Europe/Budapest` or `Mon..Fri 22:30`. */
  schedule: z
    .string()
    .min(1)
    .max(100)
    .superRefine((text, ctx) => {
      const parsed = parseCalendar(text);
      if (parsed.is !== 'ok') ctx.addIssue({ code: 'custom', message: parsed.text });
    }),
  /** A delay that differs from guest to guest and stays the same for each, at most so long. */
  jitterMinutes: z.number().int().min(0).max(720).default(0),
  /** Starts only in between, in the time zone of the schedule; across midnight is fine. */
  window: z.strictObject({ from: clockTime, to: clockTime }).optional(),
  /** Newest scheduled copy per distinct day, week and month that is kept; and copies made on demand. */
  keep: z.strictObject({
    days: z.number().int().min(1).max(3650),
    weeks: z.number().int().min(0).max(520).default(0),
    months: z.number().int().min(0).max(120).default(0),
    onDemand: z.number().int().min(0).max(20).default(2),
  }),
  /** How often each guest's newest copy of this tier is restored as a test. */
  restoreTestEveryDays: z.number().int().min(1).max(365).default(7),
});
export type BackupTier = z.output<typeof backupTier>;

export const backupPlan = z
  .strictObject({
    tiers: z.array(backupTier).max(8).default([]),
    /** How long a due backup waits for the guest's controller before it is taken crash-consistent. */
    graceMinutes: z.number().int().min(1).max(240).default(10),
  })
  .refine(({ tiers }) => new Set(tiers.map(({ name }) => name)).size === tiers.length, 'a tier occurs twice');
export type BackupPlan = z.output<typeof backupPlan>;

/** 128 bits in lower-case base32: names one history of documents. */
export const lineageId = z.string().regex(/^[a-z2-7]{26}$/, 'must be 26 characters of lower-case base32');
export const generationNumber = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

const guests = z.array(desiredGuest).max(200);

export const desiredState = z
  .strictObject({
    v: z.literal(1),
    /** A new lineage means that an operator chose to start over [R38]. */
    lineage: lineageId,
    generation: generationNumber,
    guests,
    backups: backupPlan.prefault({}),
  })
  .superRefine(namesOccurOnce);

/**
 * What a person writes: the guests. Lineage and generation are the hub's to give (or the agent's, standalone); where
 * a file carries them, as `felhom desired show` prints them, they say which document the edit started from.
 */
export const desiredStateFile = z
  .strictObject({
    v: z.literal(1),
    lineage: lineageId.optional(),
    generation: generationNumber.optional(),
    guests,
    backups: backupPlan.prefault({}),
  })
  .superRefine(namesOccurOnce);

function namesOccurOnce(state: { guests: readonly z.output<typeof desiredGuest>[] }, ctx: z.RefinementCtx): void {
  const seen = new Set<string>();
  for (const [i, guest] of state.guests.entries()) {
    if (seen.has(guest.name))
      ctx.addIssue({ code: 'custom', path: ['guests', i, 'name'], message: `guest ${guest.name} occurs twice` });
    seen.add(guest.name);
    for (const [list, key] of [
      [guest.volumes.map((v) => v.name), 'volumes'],
      [guest.volumes.map((v) => v.path), 'volumes'],
      [guest.networks.map((n) => n.name), 'networks'],
    ] as const) {
      const twice = list.find((x, at) => list.indexOf(x) !== at);
      if (twice !== undefined)
        ctx.addIssue({ code: 'custom', path: ['guests', i, key], message: `${twice} occurs twice` });
    }
  }
}

/** SHA-256 of the exact text: what the hub, the wire and the agent call the same document. */
export function digestOfText(text: string): Digest {
  return createHash('sha256').update(text, 'utf8').digest('hex') as Digest;
}

export type DesiredVolume = z.output<typeof desiredVolume>;
export type DesiredNetwork = z.output<typeof desiredNetwork>;
export type DesiredGuest = z.output<typeof desiredGuest>;
export type DesiredState = z.output<typeof desiredState>;
export type DesiredStateFile = z.output<typeof desiredStateFile>;

/** What the agent holds. Never received is not empty; unreadable keeps what was held and is a finding. */
export type HeldDesiredState =
  | { readonly is: 'never-received' }
  | { readonly is: 'held'; readonly state: DesiredState; readonly digest: string; readonly receivedAt: number };
