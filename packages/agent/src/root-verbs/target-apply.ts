/**
 * `target-apply`: a target is attached, detached, wiped or re-pointed as an operator's envelope says, verified here again
 * under the root-owned trust document [R13].
 */
import { isDeepStrictEqual } from 'node:util';
import { bindingOf, targetIdentity } from '@felhom/protocol';
import type { JobKind, JobOf, TargetBinding } from '@felhom/protocol';
import type { DeclaredTarget, StorageManifest } from '../storage-manifest.ts';
import { mayOrder, openSignedJob } from './signed-job.ts';
import type { Order, SignedJobOptions } from './signed-job.ts';
import { attachTarget, planAttach } from './storage/attach.ts';
import { detachTarget } from './storage/detach.ts';
import { planRePoint, rePointTarget } from './storage/re-point.ts';
import { declaredIn } from './storage/registry.ts';
import { planWipe, wipeTarget } from './storage/wipe.ts';
import type { ChangeAnswer, StorageAnswer, StorageWorld } from './storage/world.ts';

export interface TargetApplyOptions extends SignedJobOptions {
  readonly storage: StorageWorld;
}

const orders = {
  'target-attach': { classes: ['disclose'], atLeast: 1 },
  'target-detach': { classes: ['destroy', 'disclose'], atLeast: 1 },
  'target-wipe': { classes: ['destroy', 'disclose'], atLeast: 2 },
  'target-re-point': { classes: ['destroy', 'disclose'], atLeast: 1 },
} as const satisfies Partial<Record<JobKind, Order>>;

export type TargetJob = JobOf<keyof typeof orders>;

/**
 * The same envelope can be given again until it is done: each part of it is done once. Throws where it is not known how
 * far it came.
 */
export async function applyTarget(
  options: TargetApplyOptions,
  envelope: string,
  signal: AbortSignal,
): Promise<StorageAnswer> {
  const { storage, consumed } = options;
  const now = options.now();
  const opened = await openSignedJob(options, envelope, orders, signal);
  if (opened.is === 'refused') return refused(opened.text);
  if (opened.is === 'busy') return opened;
  const { job, used, whyNot } = opened;
  const manifest = storage.registry.read();
  if (manifest.is === 'unreadable') return { is: 'busy', text: manifest.why.text };
  // By this very job, which was killed before it could say so: refused would say that nothing was changed.
  if (manifest.is === 'held' && isDone(manifest.manifest, job, used)) {
    if (!used) consumed.add(job.jobId, now);
    return { is: 'done' };
  }
  if (whyNot !== undefined) return refused(whyNot);
  const answer = await carryOut(storage, job, options.now);
  // Spent when it is done: half of it is nothing that anybody signed for.
  if (answer.is === 'begun') throw new Error(answer.text);
  if (answer.is === 'done') consumed.add(job.jobId, now);
  return answer;
}

/** As `mayOrder`, of orders about targets. */
export function mayApply(
  payload: Uint8Array,
  people: readonly string[],
  facts: Parameters<typeof mayOrder>[2],
): ReturnType<typeof mayOrder<keyof typeof orders>> {
  const opening = mayOrder(payload, people, facts, orders);
  return opening.is === 'may' ? opening : refused(opening.text);
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
