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
import type { EffectClass, HostId, Job, JobKind, JobOf, TrustDocument } from '@felhom/protocol';
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

/** As the rows of the gate's table: whose thresholds apply, and the fewest people whatever they say. */
export interface Order {
  readonly classes: readonly EffectClass[];
  readonly atLeast: number;
}

type Refused = { readonly is: 'refused'; readonly text: string };

export type SignedJob<K extends JobKind> =
  | {
      readonly is: 'job';
      readonly job: JobOf<K>;
      readonly used: boolean;
      /** Signed by enough people for this host, and yet not to be done now; also where it was used. */
      readonly whyNot: string | undefined;
    }
  | Refused
  | { readonly is: 'busy'; readonly text: string };

/** Verifies the envelope, then holds its job to `mayOrder` and to what was used. Changes nothing. */
export async function openSignedJob<K extends JobKind>(
  options: SignedJobOptions,
  envelope: string,
  orders: Readonly<Record<K, Order>>,
  signal: AbortSignal,
): Promise<SignedJob<K>> {
  const { host, consumed } = options;
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
  const opening = mayOrder(payload, verified.people, { host, now, trust: document }, orders);
  if (opening.is === 'refused') return opening;
  const { job, notNow } = opening;
  const used = consumed.has(job.jobId);
  return { is: 'job', job, used, whyNot: used ? `job ${job.jobId} was used already; sign a new one` : notNow };
}

/**
 * Whether root does what this job says, from root's own facts alone. `notNow`: why it is not to be begun at this time; what
 * was done by it is done all the same. Pure.
 */
export function mayOrder<K extends JobKind>(
  payload: Uint8Array,
  people: readonly string[],
  facts: { readonly trust: TrustDocument; readonly host: HostId; readonly now: number },
  orders: Readonly<Record<K, Order>>,
): { readonly is: 'may'; readonly job: JobOf<K>; readonly notNow: string | undefined } | Refused {
  const parsed = parsePayload<Job>(jobKind, payload);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const job = parsed.value;
  const named = `job ${job.jobId}`;
  if (!isOrdered(job, orders)) return refused(`${named} is of kind ${job.kind}`);
  if (job.host !== facts.host || facts.trust.host !== facts.host)
    return refused(`${named} is for host ${job.host}, this is ${facts.host}`);
  if (facts.now >= facts.trust.expiresAt) return refused('the trust document has expired; renew it first');
  const kind: K = job.kind;
  const { classes, atLeast } = orders[kind];
  const distinct = new Set(people).size;
  const needed = peopleNeeded(facts.trust, classes, atLeast);
  if (distinct < needed) return refused(`${needed} people have to sign ${named}, ${distinct} did`);
  const late = facts.now >= job.expiresAt || facts.now - job.issuedAt >= longestLifeMs(job, classes[0], distinct);
  const notNow = facts.now < job.notBefore ? `${named} is not valid yet` : late ? `${named} has expired` : undefined;
  return { is: 'may', job, notNow };
}

const isOrdered = <K extends JobKind>(job: Job, orders: Readonly<Record<K, Order>>): job is JobOf<K> =>
  Object.hasOwn(orders, job.kind);

const refused = (text: string): Refused => ({ is: 'refused', text });
