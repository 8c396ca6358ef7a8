/**
 * `target-apply`: a target is attached, detached, wiped or re-pointed as an operator's envelope says, verified here again
 * under the root-owned trust document [R13].
 */
import {
  jobKind,
  longestLifeMs,
  parseEnvelope,
  parsePayload,
  peopleNeeded,
  signatureNamespaces,
  bindingOf,
} from '@felhom/protocol';
import type { EffectClass, HostId, Job, JobKind, JobOf, TargetBinding, TrustDocument } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import type { DeclaredTarget } from '../storage-manifest.ts';
import { verifyEnvelope } from '../trust/index.ts';
import type { ConsumedJobs } from './consumed-jobs.ts';
import { attachTarget, planAttach } from './storage/attach.ts';
import { detachTarget } from './storage/detach.ts';
import { planRePoint, rePointTarget } from './storage/re-point.ts';
import { declaredIn } from './storage/registry.ts';
import { planWipe, wipeTarget } from './storage/wipe.ts';
import type { ChangeAnswer, StorageAnswer, StorageWorld } from './storage/world.ts';

export interface TargetApplyOptions {
  readonly storage: StorageWorld;
  /** Reads the root-owned file, and refuses it where others may write it. */
  readonly trust: TrustStore;
  readonly verifier: SignatureVerifier;
  readonly consumed: ConsumedJobs;
  readonly host: HostId;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
}

/** As the rows of the gate's table: whose thresholds apply, and the fewest people whatever they say. */
const orders = {
  'target-attach': { classes: ['disclose'], atLeast: 1 },
  'target-detach': { classes: ['destroy', 'disclose'], atLeast: 1 },
  'target-wipe': { classes: ['destroy', 'disclose'], atLeast: 2 },
  'target-re-point': { classes: ['destroy', 'disclose'], atLeast: 1 },
} as const satisfies Partial<Record<JobKind, { classes: readonly EffectClass[]; atLeast: number }>>;

export type TargetJob = JobOf<keyof typeof orders>;
const isTargetJob = (job: Job): job is TargetJob => Object.hasOwn(orders, job.kind);

/**
 * The same envelope can be given again until it is done: each part of it is done once. Throws where it is not known how
 * far it came.
 */
export async function applyTarget(
  options: TargetApplyOptions,
  envelope: string,
  signal: AbortSignal,
): Promise<StorageAnswer> {
  const { storage, trust, consumed } = options;
  const held = trust.read();
  if (held.is === 'none') return refused('this host trusts nobody yet');
  if (held.is === 'unreadable') return { is: 'busy', text: held.why.text };
  const opened = parseEnvelope(envelope);
  if (opened.is !== 'ok') return refused(opened.text);
  const { payload } = opened.value;
  const { signatures } = opened.value.envelope;
  const now = options.now();
  const verified = await verifyEnvelope(
    options,
    { payload, signatures, document: held.document, namespace: signatureNamespaces.job, at: now },
    signal,
  );
  if (verified.is === 'refused') return refused(verified.why.text);
  if (verified.is === 'unknown') return { is: 'busy', text: verified.why.text };
  const may = mayApply(payload, verified.people, {
    host: options.host,
    now,
    trust: held.document,
    isConsumed: (id) => consumed.has(id),
  });
  if (may.is === 'refused') return may;
  const answer = await carryOut(storage, may.job, options.now);
  // Spent when it is done: half of it is nothing that anybody signed for.
  if (answer.is === 'begun') throw new Error(answer.text);
  if (answer.is === 'done') consumed.add(may.job.jobId, now);
  return answer;
}

/** Whether root does what this job says, from root's own facts alone. Pure. */
export function mayApply(
  payload: Uint8Array,
  people: readonly string[],
  facts: {
    readonly trust: TrustDocument;
    readonly host: HostId;
    readonly now: number;
    readonly isConsumed: (id: string) => boolean;
  },
): { readonly is: 'may'; readonly job: TargetJob } | { readonly is: 'refused'; readonly text: string } {
  const parsed = parsePayload<Job>(jobKind, payload);
  if (parsed.is !== 'ok') return refused(parsed.text);
  const job = parsed.value;
  if (!isTargetJob(job)) return refused(`job ${job.jobId} is of kind ${job.kind}`);
  if (job.host !== facts.host || facts.trust.host !== facts.host)
    return refused(`job ${job.jobId} is for host ${job.host}, this is ${facts.host}`);
  if (facts.now >= facts.trust.expiresAt) return refused('the trust document has expired; renew it first');
  const { classes, atLeast } = orders[job.kind];
  const distinct = new Set(people).size;
  const needed = peopleNeeded(facts.trust, classes, atLeast);
  if (distinct < needed) return refused(`${needed} people have to sign job ${job.jobId}, ${distinct} did`);
  if (facts.now < job.notBefore) return refused(`job ${job.jobId} is not valid yet`);
  if (facts.now >= job.expiresAt || facts.now - job.issuedAt >= longestLifeMs(job, classes[0], distinct))
    return refused(`job ${job.jobId} has expired`);
  if (facts.isConsumed(job.jobId)) return refused(`job ${job.jobId} was used already; sign a new one`);
  return { is: 'may', job };
}

async function carryOut(storage: StorageWorld, job: TargetJob, now: () => number): Promise<ChangeAnswer> {
  if (job.kind === 'target-attach') {
    const planned = await planAttach(storage, job.params.declaration, now);
    if (planned.is !== 'plan') return planned;
    // A disk of another host is only taken over by a person who has it before her.
    return attachTarget(storage, planned.plan, { now: now(), takeOver: false });
  }
  const { target: name } = job.params;
  const found = declaredIn(storage.registry, name);
  if (found.is !== 'declared') return { is: found.is, text: `cannot ${verbs[job.kind]} ${name}: ${found.text}` };
  const wrong = otherThanSigned(job.params, found.declared);
  if (wrong !== undefined) return refused(wrong);
  switch (job.kind) {
    case 'target-detach':
      return detachTarget(storage, name);
    case 'target-wipe': {
      const planned = await planWipe(storage, name);
      return planned.is === 'plan' ? wipeTarget(storage, planned.plan, now()) : planned;
    }
    case 'target-re-point': {
      const planned = await planRePoint(storage, name, job.params.declaration);
      return planned.is === 'plan' ? rePointTarget(storage, planned.plan) : planned;
    }
  }
}

const verbs = { 'target-detach': 'detach', 'target-wipe': 'wipe', 'target-re-point': 're-point' } as const;

/** Of one that is being re-pointed what it was: that is what was signed for. */
function otherThanSigned(
  signed: TargetBinding & { readonly target: string },
  { target, movingFrom, mark }: DeclaredTarget,
): string | undefined {
  const bound = bindingOf(movingFrom ?? target, mark);
  const other = (['serial', 'uuid', 'idFile'] as const).find((key) => bound[key] !== signed[key]);
  return other === undefined ? undefined : `${signed.target} has another ${other} than was signed for`;
}

const refused = (text: string): { is: 'refused'; text: string } => ({
  is: 'refused',
  text: text.startsWith('cannot ') ? text : `cannot change targets: ${text}`,
});
