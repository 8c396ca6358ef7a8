/**
 * The envelope: exact payload bytes and OpenSSH signatures over them. Whoever forwards it needs to understand nothing of
 * it, and nobody reads the payload before enough signatures over its bytes were verified.
 *
 * The payload is canonical JSON (`canonical.ts`) and must be exactly that: of one meaning there is one text, so there is
 * no second key of the same name, no escape and no order of fields in which two readers could differ.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import type { Digest } from './ids.ts';
import { parseVersioned, parseVersionedJson } from './parse.ts';
import type { Parsed, Versioned } from './parse.ts';
import { decodeBase64, longestSignature } from './sshsig.ts';

/** Bytes of an envelope as JSON text, and how many one poll may bring. */
export const maxEnvelopeBytes = 65_536;
export const maxEnvelopesPerPoll = 32;
export const maxSignatures = 8;

export const envelope = z.strictObject({
  v: z.literal(1),
  /** Base64 of the payload. */
  payload: z.string().min(4).max(60_000),
  /** Armoured SSHSIG texts. Order means nothing. */
  signatures: z.array(z.string().min(1).max(longestSignature)).max(maxSignatures),
});
export type Envelope = z.output<typeof envelope>;

export const envelopeKind: Versioned<Envelope> = { what: 'envelope', versions: [1], schema: envelope };

/** An envelope from its JSON text, with its payload's bytes; nothing is verified yet. */
export function parseEnvelope(text: string): Parsed<{ readonly envelope: Envelope; readonly payload: Uint8Array }> {
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > maxEnvelopeBytes)
    return {
      is: 'invalid',
      text: `cannot read envelope: it has ${bytes} bytes, at most ${maxEnvelopeBytes} are taken`,
    };
  const parsed = parseVersionedJson(envelopeKind, text);
  if (parsed.is !== 'ok') return parsed;
  const payload = decodeBase64(parsed.value.payload);
  if (payload === undefined) return { is: 'invalid', text: 'cannot read envelope: its payload is not plain base64' };
  return { is: 'ok', value: { envelope: parsed.value, payload } };
}

/** Reads a payload whose signatures were verified. Refuses every text but the canonical one of what it says. */
export function parsePayload<T>(kind: Versioned<T>, payload: Uint8Array): Parsed<T> {
  let text: string;
  let raw: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload);
    raw = JSON.parse(text);
  } catch {
    return { is: 'invalid', text: `cannot read ${kind.what}: it is not JSON in UTF-8` };
  }
  if (!isCanonical(raw, text))
    return { is: 'invalid', text: `cannot read ${kind.what}: it is not written as canonical JSON` };
  return parseVersioned(kind, raw);
}

/** The bytes to sign. */
export function payloadOf(value: CanonicalValue): Buffer {
  return Buffer.from(canonicalJson(value), 'utf8');
}

/** What a payload is called: SHA-256 of its bytes. More signatures do not change it. */
export function digestOfPayload(payload: Uint8Array): Digest {
  return createHash('sha256').update(payload).digest('hex') as Digest;
}

export function writeEnvelope(payload: Uint8Array, signatures: readonly string[]): string {
  return JSON.stringify({ v: 1, payload: Buffer.from(payload).toString('base64'), signatures });
}

function isCanonical(raw: unknown, text: string): boolean {
  try {
    return canonicalJson(raw as CanonicalValue) === text;
  } catch {
    return false;
  }
}
