/**
 * The evidence of a restore-test: what was restored, how far it got, how long it took, and why it is not better. Signed
 * by the host key under `felhom-evidence@1` and chained into the audit log. It is worth as much as the agent that made
 * it: one that was taken over could forge it [R24].
 */
import { z } from 'zod';
import { canonicalDigest, canonicalJson } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import { digest, guestName, guestUid, hostId, volumeId } from './ids.ts';
import type { Digest } from './ids.ts';
import type { Versioned } from './parse.ts';
import { isSignedByHost, signatureNamespaces } from './sshsig.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const text = z.string().max(1000);

/**
 * How far a test got; each includes those before it.
 *   corrupt   the archive is not the one that was taken, or does not read; nothing was restored
 *   refused   its config carries what no guest may have; it was never started
 *   failed    Proxmox could not restore it
 *   restored  a guest came out of it, and it did not boot
 *   booted    it booted; that its services or its data are right is not shown
 *   healthy   its services run and stay up; its data could not be compared
 *   proven    its services run and its volumes hold what the manifest says
 *   damaged   it runs and its volumes do not hold what the manifest says
 */
export const restoreGrades = [
  'corrupt',
  'refused',
  'failed',
  'restored',
  'booted',
  'healthy',
  'damaged',
  'proven',
] as const;
export const restoreGrade = z.enum(restoreGrades);
export type RestoreGrade = z.output<typeof restoreGrade>;

/** A restore-test that was not possible is neither a pass nor a failure. */
export const restoreVerdict = z.enum(['passed', 'failed', 'unproven', 'skipped']);
export type RestoreVerdict = z.output<typeof restoreVerdict>;

export const restoreEvidence = z.strictObject({
  v: z.literal(1),
  host: hostId,
  /** Saga that did it. */
  test: z.string().max(100),
  guest: guestUid,
  name: guestName,
  tier: z.string().max(40),
  backup: z.strictObject({ id: z.string().max(40), archive: volumeId, sha256: digest, takenAt: time }),
  verdict: restoreVerdict,
  grade: restoreGrade,
  /** The reason of what is not better; empty for a pass. `code` is of the error catalogue. */
  code: z.string().max(80).optional(),
  text,
  startedAt: time,
  endedAt: time,
  /** Milliseconds per part; absent where it was not reached. `restoreMs + bootMs` is the measured RTO. */
  timings: z.strictObject({
    checkMs: time.optional(),
    restoreMs: time.optional(),
    bootMs: time.optional(),
    healthyMs: time.optional(),
    contentMs: time.optional(),
  }),
  /** Volumes of the manifest: how many were compared, how many differed. No names [R41]. */
  content: z.strictObject({ volumes: time, files: time, mismatches: time }).optional(),
  /** Digest of the manifest that was compared with. */
  manifest: digest.optional(),
});
export type RestoreEvidence = z.output<typeof restoreEvidence>;

export const restoreEvidenceKind: Versioned<RestoreEvidence> = {
  what: 'restore evidence',
  versions: [1],
  schema: restoreEvidence,
};

const plain = (evidence: RestoreEvidence): CanonicalValue => JSON.parse(JSON.stringify(evidence)) as CanonicalValue;

export function digestOfEvidence(evidence: RestoreEvidence): Digest {
  return canonicalDigest(plain(evidence));
}

/** The bytes that are signed under `felhom-evidence@1`. */
export function evidenceBytes(evidence: RestoreEvidence): Uint8Array {
  return Buffer.from(canonicalJson(plain(evidence)), 'utf8');
}

export interface SignedEvidence {
  readonly evidence: RestoreEvidence;
  readonly digest: Digest;
  /** Armoured. */
  readonly signature: string;
}

/** Whether it is what the host with this public line signed. A host that was taken over can sign anything [R24]. */
export function isEvidenceOf(hostLine: string, { evidence, digest: named, signature }: SignedEvidence): boolean {
  return (
    named === digestOfEvidence(evidence) &&
    isSignedByHost(hostLine, signatureNamespaces.evidence, evidenceBytes(evidence), signature)
  );
}
