/**
 * The trust document: whose signatures count on one host, how many are needed for what, and the floors below which
 * nobody unsigned may go. It lies root-owned on the host; the first one is put there by root, every later one by a job
 * that was signed under the one before [R13, R14, R39].
 */
import { z } from 'zod';
import { canonicalDigest } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import type { EffectClass } from './blocked-action.ts';
import { hostId } from './ids.ts';
import type { Digest } from './ids.ts';
import type { Versioned } from './parse.ts';
import { parsePublicKey, signatureNamespaces } from './sshsig.ts';

/** Milliseconds since the epoch, up to the year 9999: OpenSSH's allowed_signers writes years of four digits. */
const time = z.number().int().min(0).max(253_402_300_799_000);
const count = z.number().int().min(1).max(8);

/** A person. No wildcard, no certificate authority: one name, its own keys. */
export const principal = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?$/, 'lower-case letters, digits, . and -, at most 40');

const keyLine = z
  .string()
  .max(400)
  .refine((line) => parsePublicKey(line)?.line === line, 'an ssh-ed25519 or sk-ssh-ed25519 key without comment');

export const signer = z
  .strictObject({
    principal,
    key: keyLine,
    /** What its signatures are good for. */
    signs: z
      .array(z.enum([signatureNamespaces.job, signatureNamespaces.release]))
      .min(1)
      .max(2),
    validAfter: time.optional(),
    validBefore: time.optional(),
    /** For FIDO2 keys: a signature without a touch of the key does not count. */
    touch: z.boolean(),
  })
  .superRefine(({ key, validAfter, validBefore, touch }, ctx) => {
    const bad = (path: string, message: string): void => ctx.addIssue({ code: 'custom', path: [path], message });
    // A second, because OpenSSH counts in them and refuses a line whose window is empty.
    if (validBefore !== undefined && validBefore < (validAfter ?? 0) + 1000) bad('validBefore', 'after validAfter');
    if (touch && parsePublicKey(key)?.type === 'ssh-ed25519') bad('touch', 'only a FIDO2 key (sk-…) can be touched');
  });
export type Signer = z.output<typeof signer>;

/** Signatures by distinct people, per class of effect. `removal` is destroying a guest that served; `trust` this document. */
export const thresholds = z.strictObject({
  destroy: count,
  disclose: count,
  deploy: count,
  divert: count,
  removal: count,
  trust: count,
});
export type Thresholds = z.output<typeof thresholds>;

/** What unsigned change may not undercut. */
export const floors = z.strictObject({
  /** Distinct days and weeks of scheduled backups that are kept. */
  keepDays: z.number().int().min(0).max(3650),
  keepWeeks: z.number().int().min(0).max(520),
  /** Longest interval between backups, hours. */
  backupEveryHours: z.number().int().min(1).max(8760),
  /** Longest interval between restore-tests of one guest, days. */
  restoreTestEveryDays: z.number().int().min(1).max(3650),
  /** Tiers that hold a copy. */
  tiers: z.number().int().min(0).max(8),
});
export type Floors = z.output<typeof floors>;
export const floorNames = Object.keys(floors.shape) as readonly (keyof Floors)[];

const higherIsWeaker = {
  keepDays: false,
  keepWeeks: false,
  backupEveryHours: true,
  restoreTestEveryDays: true,
  tiers: false,
} as const satisfies Record<keyof Floors, boolean>;

/** Whether `to` asks for more than `from`: more copies, or less time between them. */
export function raisesFloor(floor: keyof Floors, from: number, to: number): boolean {
  return higherIsWeaker[floor] ? to < from : to > from;
}

export const longestTrustMs = 400 * 24 * 60 * 60_000;

export const trustDocument = z
  .strictObject({
    v: z.literal(1),
    host: hostId,
    /** Each change is one higher. */
    version: z.number().int().min(1).max(1_000_000),
    issuedAt: time,
    /** From then on only a renewal counts, and root on the host [R39]. */
    expiresAt: time,
    signers: z.array(signer).min(1).max(32),
    /** Keys whose signatures are void, whenever they were made. */
    revoked: z.array(keyLine).max(256),
    thresholds,
    /** Root's own word that one person runs this host; then nothing asks for two. */
    loneOperator: z.boolean(),
    floors,
  })
  .superRefine((document, ctx) => {
    const bad = (path: string, message: string): void => ctx.addIssue({ code: 'custom', path: [path], message });
    const keys = document.signers.map(({ key }) => key);
    if (new Set(keys).size !== keys.length) bad('signers', 'one key belongs to one person, once');
    if (document.expiresAt <= document.issuedAt || document.expiresAt - document.issuedAt > longestTrustMs)
      bad('expiresAt', 'between the issue and 400 days after it');
    const revoked = new Set(document.revoked);
    const people = new Set(
      document.signers
        .filter(({ signs, key }) => signs.includes(signatureNamespaces.job) && !revoked.has(key))
        .map(({ principal: name }) => name),
    );
    const most = Math.max(...Object.values(document.thresholds), document.loneOperator ? 1 : 2);
    if (people.size < most)
      bad('signers', `${most} people must be able to sign, only ${people.size} can; more signers or loneOperator`);
  });
export type TrustDocument = z.output<typeof trustDocument>;

export const trustDocumentKind: Versioned<TrustDocument> = {
  what: 'trust document',
  versions: [1],
  schema: trustDocument,
};

export function digestOfTrust(document: TrustDocument): Digest {
  return canonicalDigest(JSON.parse(JSON.stringify(document)) as CanonicalValue);
}

/** How many distinct people have to sign for an effect of these classes whose row asks for `atLeast`. */
export function peopleNeeded(
  document: Pick<TrustDocument, 'thresholds' | 'loneOperator'>,
  classes: readonly (EffectClass | 'removal' | 'trust')[],
  atLeast: number,
): number {
  return Math.max(
    1,
    document.loneOperator ? 1 : atLeast,
    ...classes.map((effectClass) => document.thresholds[effectClass]),
  );
}
