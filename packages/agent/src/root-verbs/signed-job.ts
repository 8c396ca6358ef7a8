/**
 * An operators' order as root takes it: the envelope verified under the root-owned trust document, and the job held to what
 * root knows itself [R13].
 */
import {
  jobKind,
  longestLifeMs,
  parseEnvelope,
  parsePayload,
  peopleNeeded,
  signatureNamespaces,
} from '@felhom/protocol';
import type { EffectClass, HostId, Job, JobKind, JobOf } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { verifyEnvelope } from '../trust/index.ts';
import type { ConsumedJobs } from './consumed-jobs.ts';

export interface SignedJobOptions {
  /** Reads the root-owned file, and refuses it where others may write it. */
  readonly trust: TrustStore;
  readonly verifier: SignatureVerifier;
  readonly consumed: ConsumedJobs;
  readonly host: HostId;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
}

type Not = { readonly is: 'refused' | 'busy'; readonly text: string };

/** `whyNot`: signed by enough people for this host, and yet not to be done now. */
export type SignedJob<K extends JobKind> =
  { readonly is: 'job'; readonly job: JobOf<K>; readonly whyNot: string | undefined } | Not;

export async function openSignedJob<K extends JobKind>(
  options: SignedJobOptions,
  envelope: string,
  wanted: { readonly kind: K; readonly classes: readonly EffectClass[] },
  signal: AbortSignal,
): Promise<SignedJob<K>> {
  const refused = (text: string): Not => ({ is: 'refused', text });
  const held = options.trust.read();
  if (held.is === 'none') return refused('this host trusts nobody yet');
  if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
  const opened = parseEnvelope(envelope);
  if (opened.is !== 'ok') return refused(opened.text);
  const { payload } = opened.value;
  const { signatures } = opened.value.envelope;
  const now = options.now();
  const { document } = held;
  const verified = await verifyEnvelope(
    options,
    { payload, signatures, document, namespace: signatureNamespaces.job, at: now },
    signal,
  );
  if (verified.is === 'refused') return refused(verified.why.text);
  if (verified.is === 'unknown') return { is: 'busy', text: verified.why.text };
  const parsed = parsePayload<Job>(jobKind, payload);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const job = parsed.value;
  const named = `job ${job.jobId}`;
  if (!isOf(job, wanted.kind)) return refused(`${named} is of kind ${job.kind}`);
  if (job.host !== options.host || document.host !== options.host)
    return refused(`${named} is for host ${job.host}, this is ${options.host}`);
  if (now >= document.expiresAt) return refused('the trust document has expired; renew it first');
  const people = new Set(verified.people).size;
  const needed = peopleNeeded(document, wanted.classes, 1);
  if (people < needed) return refused(`${needed} people have to sign ${named}, ${people} did`);
  const late = now >= job.expiresAt || now - job.issuedAt >= longestLifeMs(job, wanted.classes[0], people);
  const whyNot = options.consumed.has(job.jobId)
    ? `${named} was used already; sign a new one`
    : now < job.notBefore
      ? `${named} is not valid yet`
      : late
        ? `${named} has expired`
        : undefined;
  return { is: 'job', job, whyNot };
}

const isOf = <K extends JobKind>(job: Job, kind: K): job is JobOf<K> => job.kind === kind;
