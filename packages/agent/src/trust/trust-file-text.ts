/** The trust document as text in its file: for people to read, so the digest is of what it says and not of its bytes. */
import { digestOfTrust, parseVersionedJson, reason, trustDocumentKind } from '@felhom/protocol';
import type { TrustDocument } from '@felhom/protocol';
import type { TrustRead } from '../ports/trust-store.ts';

/** 32 signers and 256 revoked keys fit well. */
export const largestTrustFileBytes = 256 * 1024;

/** Errors: `trust.unreadable`. */
export function parseTrustText(path: string, text: string): Exclude<TrustRead, { is: 'none' }> {
  const parsed = parseVersionedJson(trustDocumentKind, text);
  if (parsed.is === 'ok') return { is: 'held', document: parsed.value, digest: digestOfTrust(parsed.value) };
  return { is: 'unreadable', why: reason('trust.unreadable', `cannot use ${path}: ${parsed.text}`) };
}

export function writeTrustText(document: TrustDocument): string {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
