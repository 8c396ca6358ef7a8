/**
 * What becomes of an envelope. Nothing of it is read before a signature over its bytes was verified, nothing unverified
 * is kept, and whoever sends the same a thousand times has sent it once.
 */
import {
  digestOfPayload,
  digestOfText,
  jobKind,
  maxEnvelopeBytes,
  maxSignatures,
  parseEnvelope,
  parsePayload,
  parseSshsig,
  reason,
  releaseManifestKind,
  signatureNamespaces,
} from '@felhom/protocol';
import type { Digest, Job, Reason, ReleaseManifest, SignatureNamespace, TrustDocument } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { verifyEnvelope } from '../trust/index.ts';
import type { JobRecord, JobStore } from './job-record.ts';
import { isOver } from './job-record.ts';

export type Taken =
  /** Known already: nothing to do, and it need not come again. */
  | { readonly is: 'known' }
  /** A job that was not seen before, or more signatures for one that waits. */
  | {
      readonly is: 'release';
      readonly manifest: ReleaseManifest;
      readonly parts: SignedParts;
      readonly document: TrustDocument;
    }
  | { readonly is: 'job'; readonly job: Job; readonly parts: SignedParts; readonly known: JobRecord | undefined }
  /** For good. */
  | { readonly is: 'refused'; readonly why: Reason }
  /** Signatures cannot be verified at the moment; it may come again. */
  | { readonly is: 'later'; readonly why: Reason };

export interface SignedParts {
  readonly payload: Uint8Array;
  readonly digest: Digest;
  readonly envelope: Digest;
  /** Those that are valid now. */
  readonly signatures: readonly string[];
  readonly people: readonly string[];
}

export interface InboxNeeds {
  readonly verifier: SignatureVerifier;
  readonly trust: TrustStore;
  readonly store: Pick<JobStore, 'find' | 'all' | 'isFullFor'>;
  /** Wall time, milliseconds. */
  readonly now: number;
}

export async function takeEnvelope(text: string, needs: InboxNeeds, signal: AbortSignal): Promise<Taken> {
  const envelope = digestOfText(text);
  if (needs.store.all().some((record) => record.envelopes.includes(envelope))) return { is: 'known' };
  // Cheaper than parsing, and a parser never sees what is too large.
  if (text.length > maxEnvelopeBytes)
    return refuse(
      'job.unreadable',
      `an envelope of ${text.length} characters; at most ${maxEnvelopeBytes} bytes are taken`,
    );
  const opened = parseEnvelope(text);
  if (opened.is !== 'ok') return { is: 'refused', why: reason('job.unreadable', opened.text) };
  const { payload, envelope: parsed } = opened.value;
  const trust = needs.trust.read();
  if (trust.is !== 'held') return { is: 'later', why: whyNoTrust(trust) };
  const namespace = namespaceOf(parsed.signatures);
  const verified = await verifyEach(payload, parsed.signatures, trust.document, namespace, needs, signal);
  if (verified.is !== 'verified') return verified;
  const digest = digestOfPayload(payload);
  const parts = { payload, digest, envelope, signatures: verified.signatures, people: verified.people };
  if (namespace === signatureNamespaces.release) {
    const manifest = parsePayload(releaseManifestKind, payload);
    if (manifest.is !== 'ok') return { is: 'refused', why: reason('job.unreadable', manifest.text) };
    return { is: 'release', manifest: manifest.value, parts, document: trust.document };
  }
  const read = parsePayload(jobKind, payload);
  if (read.is !== 'ok') return { is: 'refused', why: reason('job.unreadable', read.text) };
  const job = read.value;
  const known = needs.store.find(job.jobId);
  if (known === undefined) {
    // It may come again: there is room as soon as something is forgotten.
    if (needs.store.isFullFor(verified.people)) {
      const text = `cannot take job ${job.jobId} yet: this host remembers a thousand jobs already`;
      return { is: 'later', why: reason('job.too-many', text) };
    }
    return { is: 'job', job, parts, known };
  }
  if (known.digest !== digest)
    return refuse('job.same-id', `job ${job.jobId}: a job of this id and other content was here before`);
  // The first answer is the answer; more signatures matter only to what still waits for them.
  return isOver(known) || known.state !== 'waiting' ? { is: 'known' } : { is: 'job', job, parts, known };
}

/** What the signatures say they are for; each is verified for just that, and a mixture for a job. */
function namespaceOf(signatures: readonly string[]): SignatureNamespace {
  const isRelease = (armoured: string): boolean => parseSshsig(armoured)?.namespace === signatureNamespaces.release;
  return signatures.length > 0 && signatures.every(isRelease) ? signatureNamespaces.release : signatureNamespaces.job;
}

type Verified =
  | { readonly is: 'verified'; readonly signatures: readonly string[]; readonly people: readonly string[] }
  | Extract<Taken, { is: 'refused' | 'later' }>;

/** One by one, so that what is kept are valid signatures only, and junk beside them cannot crowd out the next. */
async function verifyEach(
  payload: Uint8Array,
  signatures: readonly string[],
  document: TrustDocument,
  namespace: SignatureNamespace,
  needs: InboxNeeds,
  signal: AbortSignal,
): Promise<Verified> {
  const good: string[] = [];
  const people = new Set<string>();
  let last: Reason | undefined;
  for (const signature of [...new Set(signatures)].slice(0, maxSignatures)) {
    const ask = { payload, signatures: [signature], document, namespace, at: needs.now };
    const answer = await verifyEnvelope(needs, ask, signal);
    if (answer.is === 'unknown') return { is: 'later', why: answer.why };
    if (answer.is === 'refused') last = answer.why;
    else {
      good.push(signature);
      for (const person of answer.people) people.add(person);
    }
  }
  if (good.length === 0)
    return { is: 'refused', why: last ?? reason('job.not-signed', 'cannot take an envelope: it carries no signature') };
  return { is: 'verified', signatures: good, people: [...people].sort() };
}

export function whyNoTrust(trust: Exclude<ReturnType<TrustStore['read']>, { is: 'held' }>): Reason {
  return trust.is === 'none'
    ? reason('trust.none', 'cannot verify any signature: this host has no trust document')
    : trust.why;
}

function refuse(code: Parameters<typeof reason>[0], what: string): Taken {
  return { is: 'refused', why: reason(code, `cannot take ${what}`) };
}
