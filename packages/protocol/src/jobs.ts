/**
 * Signed one-shot jobs: what an operator may order. A job names its target and what would be lost, never a procedure,
 * and is bound to one host, one epoch of its journal and a challenge which that host issued a moment ago [R11].
 */
import { z } from 'zod';
import { lossSetItems } from './blocked-action.ts';
import { digest, guestName, guestUid, hostEpoch, hostId, vmid, volumeId } from './ids.ts';
import type { Versioned } from './parse.ts';
import { parsePublicKey } from './sshsig.ts';
import { storageTarget, targetBinding, targetName } from './storage-target.ts';
import { floorNames, trustDocument } from './trust-document.ts';
import { tunnelDeclaration } from './tunnel-declaration.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const text = z.string().min(1).max(300);
const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);

/** 128 random bits in lower-case base32. The same id is the same job, whatever else it says. */
export const jobId = z.string().regex(/^[a-z2-7]{26}$/, 'must be 26 characters of lower-case base32');
/** `<window>.<32 hex digits>`: issued by the host, worth nothing elsewhere or much later. */
export const challenge = z.string().regex(/^(?:0|[1-9]\d{0,12})\.[0-9a-f]{32}$/, 'must be a challenge of the host');

const guest = z.strictObject({ uid: guestUid, incarnation: z.number().int().min(1).max(9_999_999_999) });
export type JobGuest = z.output<typeof guest>;
/** Bytes, not a name: a name can be given to other bytes [R8]. */
const backup = z.strictObject({ archive: volumeId, sha256: digest });
const bulkPlan = z
  .array(volumeId)
  .max(64)
  .refine((items) => items.every((x, at) => at === 0 || (items[at - 1] ?? '') < x), 'must be sorted, each once');
const target = z.strictObject({ target: targetName, ...targetBinding.shape });

const common = {
  v: z.literal(1),
  jobId,
  host: hostId,
  hostEpoch,
  challenge,
  /** 128 random bits, hex. */
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  issuedAt: time,
  notBefore: time,
  expiresAt: time,
};

function kind<K extends string, S extends z.ZodRawShape>(name: K, params: S) {
  return z.strictObject({ ...common, kind: z.literal(name), params: z.strictObject(params) });
}

export const job = z.discriminatedUnion('kind', [
  // What the agent asked for: exactly the blocked action of this digest, once.
  kind('approve', { digest }),
  // Guests.
  kind('decommission', {
    guest,
    lossSet: lossSetItems,
    backups: z.enum(['keep', 'delete']),
    /** Shorter than the host's own takes two people. */
    coolOffMinutes: z.number().int().min(0).max(10_080).optional(),
  }),
  kind('adopt', {
    vmid,
    name: guestName,
    configDigest: z.string().regex(/^[0-9a-f]{40}$/, 'the digest that Proxmox gives a config'),
    volumes: z.array(volumeId).min(1).max(64),
  }),
  kind('re-register', { guest, vmid, volumes: z.array(volumeId).min(1).max(64) }),
  kind('hold', { scope: z.union([z.literal('host'), guest]), set: z.boolean() }),
  // Work that stopped, or waits.
  kind('saga', {
    verb: z.enum(['resume', 'abandon', 'undo', 'finish']),
    saga: z.string().regex(/^[a-z][a-z0-9-]{0,80}$/),
    step: z.string().max(80),
    lossSet: lossSetItems,
  }),
  kind('cancel', { job: jobId }),
  // Trust.
  kind('trust-change', { before: digest, document: trustDocument }),
  kind('floor-change', {
    before: digest,
    floor: z.enum(floorNames as [string, ...string[]]).transform((name) => name as (typeof floorNames)[number]),
    from: z.number().int(),
    to: z.number().int(),
  }),
  // Disclosure of the host itself.
  kind('break-glass-open', {
    minutes: z.number().int().min(1).max(480),
    /** The key that may log in, for this time only. */
    key: z
      .string()
      .max(400)
      .refine((line) => parsePublicKey(line)?.line === line, 'an ssh-ed25519 or sk-ssh-ed25519 key without comment'),
    /** The standing consents of every guest's customer on this host [R42]. */
    consents: z.array(z.string().regex(/^[a-z2-7]{26}$/)).max(300),
  }),
  kind('break-glass-close', {}),
  kind('hub-re-point', { url: z.url({ protocol: /^https$/ }).max(300), spkiSha256: digest }),
  // `before`: of the declaration in force, as the person saw it; absent: there was none.
  kind('tunnel-change', { before: digest.optional(), declaration: tunnelDeclaration }),
  // Backups and restores.
  kind('force-backup', { guest, tier: slug }),
  /**
   * `bulk`: volumes that are carried over to the restored guest as they are, and so have one history [R4]. `lossSet`: the
   * other volumes of the guest, which the end of the undo window frees; in place they are freed at once.
   */
  kind('restore-overwrite', {
    guest,
    backup,
    bulk: bulkPlan,
    lossSet: lossSetItems,
    undoHours: z.number().int().min(1).max(720),
  }),
  kind('restore-in-place', { guest, backup, bulk: bulkPlan, lossSet: lossSetItems }),
  kind('restore-copy', { guest, backup, name: guestName, identity: z.literal('fresh') }),
  kind('rollback', {
    guest,
    /** A name as Proxmox takes it. */
    snapshot: z.string().regex(/^[a-zA-Z][a-zA-Z0-9_-]{1,39}$/),
    /** Seconds since the epoch, as Proxmox has it. */
    takenAt: time,
    volumes: z.array(volumeId).min(1).max(64),
  }),
  kind('backup-delete', { guest, backup }),
  kind('backup-unprotect', { guest, backup }),
  // Targets, each as the host reports it (`targetBinding`).
  kind('target-attach', { declaration: storageTarget }),
  kind('target-detach', target.shape),
  kind('target-wipe', target.shape),
  /** A server at another address: the whole of what it is to be declared as. */
  kind('target-re-point', { ...target.shape, declaration: storageTarget }),
  // Its machinery is a later piece: its shape and its row of the gate are here, carrying out is refused.
  kind('downgrade', { product: z.enum(['agent', 'controller', 'golden']), version: text, digest }),
]);
export type Job = z.output<typeof job>;
export type JobKind = Job['kind'];
export type JobOf<K extends JobKind> = Extract<Job, { kind: K }>;

export const jobKinds = job.options.map((option) => option.shape.kind.value) as readonly JobKind[];

export const jobKind: Versioned<Job> = { what: 'job', versions: [1], schema: job };

const hour = 60 * 60_000;
/**
 * How long a job counts from the minting of its challenge, in milliseconds of the host's own elapsed time. What destroys
 * or overwrites has an hour; seven days take two people [R11]. Of an approval the class of what it approves decides.
 */
export function longestLifeMs(job: Pick<Job, 'kind'>, effectClass: string | undefined, people: number): number {
  if (effectClass === 'destroy' || destroying.has(job.kind)) return hour;
  return people >= 2 ? 7 * 24 * hour : 24 * hour;
}

const destroying: ReadonlySet<JobKind> = new Set<JobKind>([
  'decommission',
  'restore-overwrite',
  'restore-in-place',
  'rollback',
  'backup-delete',
  'backup-unprotect',
  'target-wipe',
  'target-detach',
  'target-re-point',
]);

/** What became of a job, as the host tells it. */
export const jobStates = [
  /** Verified, not enough people yet, or something of the moment is in the way; its id is not spent. */
  'waiting',
  /** Taken in for good; it runs once. */
  'accepted',
  'cooling-off',
  'quarantine',
  'running',
  'done',
  'refused',
  'cancelled',
  /** Ended in a way that a person has to look at. */
  'failed',
] as const;
export const jobState = z.enum(jobStates);
export type JobState = z.output<typeof jobState>;

export const reportedJob = z.strictObject({
  jobId,
  kind: z.string().max(40),
  /** Of its payload. */
  digest,
  state: jobState,
  /** What happened and what comes next, for people. */
  text: z.string().max(1000),
  code: z.string().max(80).optional(),
  guest: z.union([guestName, z.literal('')]).default(''),
  by: z.array(z.string().max(40)).max(8),
  /** People still missing. */
  missing: z.number().int().min(0).max(8),
  /** Milliseconds on the host's clock: first seen, last changed. */
  since: time,
  at: time,
  /** When it goes on by itself. */
  nextAt: time.optional(),
});
export type ReportedJob = z.output<typeof reportedJob>;
