/** What a kind of job makes of a verified payload: an effect, and the digest that the signatures cover. Pure. */
import { digestOfBlocked, reason } from '@felhom/protocol';
import type {
  Digest,
  EffectClass,
  GuestUid,
  Job,
  JobGuest,
  JobKind,
  JobOf,
  Reason,
  TrustDocument,
  VolumeId,
} from '@felhom/protocol';
import { actionDocument } from '../authority/index.ts';
import type { BuiltEffect, GuestRef } from '../authority/index.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { SeenBlockedAction } from '../admission/index.ts';

/** The effects of one kind; an intersection, because some of them share their shape with another kind. */
export type Of<K extends BuiltEffect['kind']> = BuiltEffect & { readonly kind: K };
export type RemovalEffect = Of<'guest-remove'> | Of<'guest-decommission'>;

export type JobPlan =
  /** Through the door, and carried out by a saga. `after`: digest of the trust document that it leads to. */
  | { readonly is: 'submit'; readonly effect: BuiltEffect; readonly signed: Digest; readonly after?: Digest }
  /** With cool-off and quarantine before anything is destroyed [R39]. */
  | {
      readonly is: 'remove';
      readonly effect: RemovalEffect;
      readonly signed: Digest;
      readonly coolOffMinutes: number | undefined;
    }
  | { readonly is: 'hold'; readonly effect: Of<'hold-set'> | Of<'hold-clear'>; readonly signed: Digest }
  | { readonly is: 'saga'; readonly effect: Of<'saga-resume'> | Of<'saga-abandon'>; readonly signed: Digest }
  | { readonly is: 'cancel'; readonly job: string }
  /** What it is about cannot be known at the moment. */
  | { readonly is: 'wait'; readonly why: Reason; readonly missing?: number }
  | { readonly is: 'refuse'; readonly why: Reason };

/** What the plan may look at. */
export interface JobView {
  readonly hostEpoch: string;
  /** A pass has come to its end in this run of the agent: what is not blocked now is not asked for. */
  readonly looked: boolean;
  readonly trust: TrustDocument;
  readonly people: readonly string[];
  /** Wall time, milliseconds. */
  readonly now: number;
  guest(uid: GuestUid): GuestRecord | undefined;
  blocked(digest: Digest): SeenBlockedAction | undefined;
  /** A parked saga, and what going on or giving up would touch. */
  parked(saga: string): ParkedSaga | undefined;
  /** A restore whose undo window is open. */
  restore(saga: string): OpenRestore | undefined;
  /** Whether every customer consents, and to what [R42]. */
  breakGlass(params: JobOf<'break-glass-open'>['params']): Reason | undefined;
}

export interface ParkedSaga {
  readonly id: string;
  readonly step: string;
  /** What it leads to. */
  readonly classes: readonly EffectClass[];
  /** It destroys a guest that served, or leads there. */
  readonly removal: boolean;
  readonly loss: readonly string[];
}

export interface OpenRestore {
  /** As it is on record now. */
  readonly guest: GuestRef;
  /** What undoing frees: the restored guest's own volumes. */
  readonly undoLoss: readonly VolumeId[];
  /** What finishing frees: the guest as it was before. */
  readonly finishLoss: readonly VolumeId[];
}

/** One per kind, each in its own file. */
export type PlanJob<K extends JobKind> = (job: JobOf<K>, view: JobView) => JobPlan;

/** The digest of the action that an effect made of signed parameters is: what the signatures cover. */
export function signedDigest(effect: BuiltEffect, view: Pick<JobView, 'hostEpoch'>): Digest {
  return digestOfBlocked(actionDocument(effect, { hostEpoch: view.hostEpoch, guest: undefined }));
}

/** The guest that a job names, in the incarnation that it names. */
export function guestOf(named: JobGuest, view: Pick<JobView, 'guest'>): GuestRecord | undefined {
  const record = view.guest(named.uid);
  return record?.incarnation === named.incarnation ? record : undefined;
}

/** There is no such guest, or not in that incarnation any more. */
export function noSuchGuest(job: Pick<Job, 'jobId'>, named: JobGuest): JobPlan {
  const text = `cannot carry out job ${job.jobId}: no guest ${named.uid}.${named.incarnation} is on record`;
  return { is: 'refuse', why: reason('job.unknown-target', text) };
}
