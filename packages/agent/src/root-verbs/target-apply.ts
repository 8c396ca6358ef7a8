/**
 * `target-apply`: a target is attached, detached, wiped or re-pointed as an operator's envelope says, verified here again
 * under the root-owned trust document [R13].
 */
import { isDeepStrictEqual } from 'node:util';
import {
  jobKind,
  longestLifeMs,
  parseEnvelope,
  parsePayload,
  peopleNeeded,
  signatureNamespaces,
  bindingOf,
  targetIdentity,
} from '@felhom/protocol';
import type { EffectClass, HostId, Job, JobKind, JobOf, TargetBinding, TrustDocument } from '@felhom/protocol';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import type { DeclaredTarget, StorageManifest } from '../storage-manifest.ts';
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
  const opening = mayApply(payload, verified.people, { host: options.host, now, trust: held.document });
  if (opening.is === 'refused') return opening;
  const { job, notNow } = opening;
  const used = consumed.has(job.jobId);
  const manifest = storage.registry.read();
  if (manifest.is === 'unreadable') return { is: 'busy', text: manifest.why.text };
  // By this very job, which was killed before it could say so: refused would say that nothing was changed.
  if (manifest.is === 'held' && isDone(manifest.manifest, job, used)) {
    if (!used) consumed.add(job.jobId, now);
    return { is: 'done' };
  }
  if (used) return refused(`job ${job.jobId} was used already; sign a new one`);
  if (notNow !== undefined) return refused(notNow);
  const answer = await carryOut(storage, job, options.now);
  // Spent when it is done: half of it is nothing that anybody signed for.
  if (answer.is === 'begun') throw new Error(answer.text);
  if (answer.is === 'done') consumed.add(job.jobId, now);
  return answer;
}

/**
 * Whether root does what this job says, from root's own facts alone. `notNow`: why it is not to be begun at this time; what
 * was done by it is done all the same. Pure.
 */
export function mayApply(
  payload: Uint8Array,
  people: readonly string[],
  facts: {
    readonly trust: TrustDocument;
    readonly host: HostId;
    readonly now: number;
  },
):
  | { readonly is: 'may'; readonly job: TargetJob; readonly notNow: string | undefined }
  | { readonly is: 'refused'; readonly text: string } {
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
  const late = facts.now >= job.expiresAt || facts.now - job.issuedAt >= longestLifeMs(job, classes[0], distinct);
  const notNow =
    facts.now < job.notBefore ? `job ${job.jobId} is not valid yet` : late ? `job ${job.jobId} has expired` : undefined;
  return { is: 'may', job, notNow };
}

/**
 * Whether it is as this job wants it, by the manifest, which is written last. `used`: the job was done to its end; only then
 * the manifest says so of attaching and detaching, which go on after it was written. Pure.
 */
function isDone({ targets, wiped = [] }: StorageManifest, job: TargetJob, used: boolean): boolean {
  const { params } = job;
  const name = 'target' in params ? params.target : params.declaration.name;
  const declared = targets.find(({ target }) => target.name === name);
  switch (job.kind) {
    case 'target-wipe': {
      const { uuid } = job.params;
      return wiped.some((one) => one.name === name && one.identity.slice(one.identity.indexOf(':') + 1) === uuid);
    }
    case 'target-re-point':
      return (
        declared?.state === 'attached' &&
        declared.movingFrom === undefined &&
        isDeepStrictEqual(declared.target, job.params.declaration)
      );
    case 'target-attach':
      return (
        used &&
        declared?.state === 'attached' &&
        targetIdentity(declared.target) === targetIdentity(job.params.declaration)
      );
    case 'target-detach':
      return used && declared?.state === 'decommissioned' && otherThanSigned(job.params, declared) === undefined;
  }
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
