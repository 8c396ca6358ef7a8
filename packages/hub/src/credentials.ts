/**
 * Keys of hosts and tokens of operators. Both are `<prefix>.<id>.<secret>` with 256 random bits of secret, shown once.
 * The hub keeps a salted SHA-256: a secret of full entropy needs no slow hash, and a poll must not cost one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export type RandomBytes = (count: number) => Uint8Array;
export type CredentialKind = 'host' | 'operator';

export interface StoredSecret {
  /** Hex. */
  readonly salt: string;
  /** SHA-256 over salt and secret, hex. */
  readonly hash: string;
}

const prefixes = { host: 'fhk1', operator: 'fop1' } as const satisfies Record<CredentialKind, string>;

/** `id` is a host id or an operator's name: lower-case letters, digits and dashes. */
export function mintCredential(
  kind: CredentialKind,
  id: string,
  random: RandomBytes,
): { readonly text: string; readonly stored: StoredSecret } {
  const secret = Buffer.from(random(32)).toString('base64url');
  const salt = Buffer.from(random(16)).toString('hex');
  return { text: `${prefixes[kind]}.${id}.${secret}`, stored: { salt, hash: hashOf(salt, secret) } };
}

/** Splits a presented credential; `undefined` when it does not even look like one of this kind. */
export function readCredential(
  kind: CredentialKind,
  text: string,
): { readonly id: string; readonly secret: string } | undefined {
  const match = /^(fhk1|fop1)\.([a-z0-9-]{1,40})\.([A-Za-z0-9_-]{43})$/.exec(text);
  if (match === null || match[1] !== prefixes[kind]) return undefined;
  return { id: match[2] ?? '', secret: match[3] ?? '' };
}

/** No such holder: compared all the same, so that an unknown id takes as long as a wrong secret. */
const nobody: StoredSecret = { salt: '00'.repeat(16), hash: '00'.repeat(32) };

/** Constant-time. */
export function matches(stored: StoredSecret | undefined, secret: string): boolean {
  const against = stored ?? nobody;
  const found = Buffer.from(hashOf(against.salt, secret), 'hex');
  const expected = Buffer.from(against.hash, 'hex');
  return found.length === expected.length && timingSafeEqual(found, expected) && stored !== undefined;
}

function hashOf(salt: string, secret: string): string {
  return createHash('sha256').update(Buffer.from(salt, 'hex')).update(secret, 'utf8').digest('hex');
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** 128 random bits as 26 characters of lower-case base32: a new lineage. */
export function mintLineage(random: RandomBytes): string {
  const bytes = random(16);
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      text += alphabet[(value >>> (bits - 5)) & 31];
      bits -= 5;
    }
    value &= (1 << bits) - 1;
  }
  return text + alphabet[(value << (5 - bits)) & 31];
}
