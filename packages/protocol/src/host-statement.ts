/**
 * What a host signs with every poll [R10]: one small document that names the report by its digest, so that whoever holds
 * the host's pinned key can tell the report, the blocked actions in it, the receipts and the audit log from what a hub
 * would like to show. It also carries the challenge that a job has to bring back.
 */
import { z } from 'zod';
import { canonicalJson } from './canonical.ts';
import { digest, hostEpoch, hostId } from './ids.ts';
import { challenge } from './jobs.ts';
import { parseVersionedJson } from './parse.ts';
import type { Parsed, Versioned } from './parse.ts';
import { isSignedByHost, longestSignature, signatureNamespaces } from './sshsig.ts';

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const hostStatement = z.strictObject({
  v: z.literal(1),
  host: hostId,
  hostEpoch,
  /** That of the poll: strictly increasing within an epoch. */
  sequence: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  /** Milliseconds since the epoch on the host's clock. */
  at: count,
  /** End of the last completed pass, on the same clock; absent before the first one. The report names what stays true. */
  lastPassAt: count.optional(),
  challenge,
  reportDigest: digest,
  /** Head of the host's audit chain and how many entries it has. */
  audit: z.strictObject({ count, head: digest }),
  /** The trust document in force; null: none. */
  trust: z.strictObject({ version: count, digest }).nullable(),
});
export type HostStatement = z.output<typeof hostStatement>;

export const hostStatementKind: Versioned<HostStatement> = {
  what: 'statement of the host',
  versions: [1],
  schema: hostStatement,
};

export const signedStatement = z.strictObject({
  /** Canonical JSON. */
  text: z.string().max(4096),
  /** SSHSIG of namespace `felhom-report@1` by the host's key. */
  signature: z.string().max(longestSignature),
});
export type SignedStatement = z.output<typeof signedStatement>;

export function statementText({ lastPassAt, ...statement }: HostStatement): string {
  return canonicalJson({ ...statement, ...(lastPassAt === undefined ? {} : { lastPassAt }) });
}

/** Verifies first, reads then. `keyLine` is the pinned key of the host. */
export function openStatement(keyLine: string, signed: SignedStatement): Parsed<HostStatement> {
  const bytes = Buffer.from(signed.text, 'utf8');
  if (!isSignedByHost(keyLine, signatureNamespaces.report, bytes, signed.signature))
    return { is: 'invalid', text: 'cannot believe the statement of the host: it is not signed with the pinned key' };
  return parseVersionedJson(hostStatementKind, signed.text);
}
