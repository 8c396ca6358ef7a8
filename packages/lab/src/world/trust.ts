/** What root put on a simulated host: whose signatures count there, and the helper that alone may change it. */
import { applyTrustChange, done, isApplied, mayApplyTarget, verifyEnvelope } from '@felhom/agent';
import type { Outcome, SignatureVerifier, SignedHelper, TargetJob, TrustStore } from '@felhom/agent';
import {
  digestOfTunnel,
  digestOfTrust,
  jobKind,
  parseEnvelope,
  parsePayload,
  peopleNeeded,
  reason,
  signatureNamespaces,
  trustDocument,
} from '@felhom/protocol';
import type { Job, Reason, TrustDocument, TunnelDeclaration } from '@felhom/protocol';
import type { SimClock } from '../simulation/sim-clock.ts';
import type { Operator } from './operators.ts';

const dayMs = 24 * 60 * 60_000;

/** Everybody may sign jobs; removing a guest takes two, everything else one; good for 90 days from `now`. */
export function labTrust(
  operators: readonly Pick<Operator, 'principal' | 'keyLine'>[],
  now: number,
  changes: Partial<TrustDocument> = {},
): TrustDocument {
  return trustDocument.parse({
    v: 1,
    host: 'lab',
    version: 1,
    issuedAt: now,
    expiresAt: now + 90 * dayMs,
    signers: operators.map(({ principal, keyLine }) => ({
      principal,
      key: keyLine,
      signs: [signatureNamespaces.job],
      touch: false,
    })),
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 1 },
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 1 },
    ...changes,
  });
}

/** The root-owned side of the host: outlives every process of the agent, and believes none of them. */
export interface SimRoot {
  readonly store: TrustStore;
  readonly helper: SignedHelper;
  /** Root at the keyboard; `undefined` takes the document away. */
  put(document: TrustDocument | undefined): void;
  /** Until when break-glass is open, milliseconds since the epoch. */
  readonly openUntil: () => number | undefined;
  /** Names of the storage targets that were attached by a signed job. */
  readonly targets: () => readonly string[];
  /** What the tunnel was let in to by a signed job. */
  readonly tunnel: () => TunnelDeclaration | undefined;
  /** How the next verb that changes something comes to nothing, or seems to. */
  trip(how: Mishap): void;
}

type Receipt = { readonly operation: string; readonly verb: string; readonly at: number };

export type Mishap =
  /** Refused, with nothing changed. */
  | 'refuses'
  /** Its process ends before it did anything, before it wrote the receipt, before it answered. */
  | 'dies before'
  | 'dies without a receipt'
  | 'dies without an answer';

/** More than any audit log can have. */
const leftEpoch = 999_999_999_999;

export function createSimRoot(
  first: TrustDocument,
  clock: Pick<SimClock, 'now'>,
  verifier: SignatureVerifier,
  /** What root does to a target that is declared; '' = done. */
  order: (job: TargetJob) => Promise<string> = () => Promise.resolve('there are no targets'),
): SimRoot {
  let held: TrustDocument | undefined = first;
  let glass: { readonly until: number } | undefined;
  /** Ids of jobs that root carried out: none is good for a second time. */
  const consumed = new Set<string>();
  const targets = new Set<string>();
  let tunnel: TunnelDeclaration | undefined;
  /** The largest count that the agent told, per epoch, the present one last. */
  let witnessed: readonly { readonly epoch: string; readonly count: number }[] = [];
  /** Written when a verb has done its work, under the operation it was asked for. */
  const receipts = new Map<string, Receipt>();
  let mishap: Mishap | undefined;

  const once = async (verb: string, operation: string, work: () => Promise<Outcome<void>>): Promise<Outcome<void>> => {
    const now = mishap;
    mishap = undefined;
    if (now === 'refuses') return refuse(`${verb} does not work at the moment`);
    const died: Outcome<void> = {
      is: 'unknown',
      why: reason('helper.died', `cannot ${verb}: the root helper was killed`),
    };
    if (now === 'dies before') return died;
    // What was closed may have been opened since.
    if (verb !== 'break-glass-close' && receipts.has(operation)) return done(undefined);
    const answer = await work();
    if (now === 'dies without a receipt') return died;
    if (answer.is === 'done') receipts.set(operation, { operation, verb, at: clock.now() });
    return now === 'dies without an answer' ? died : answer;
  };

  /** As root sees the envelope, whatever the agent made of it. */
  const open = async (envelope: string, signal: AbortSignal): Promise<Opened> => {
    const parsed = parseEnvelope(envelope);
    if (parsed.is !== 'ok') return refuse(parsed.text);
    if (held === undefined) return refuse('there is no trust document');
    const { payload } = parsed.value;
    const { signatures } = parsed.value.envelope;
    const namespace = signatureNamespaces.job;
    const asked = { payload, signatures, document: held, namespace, at: clock.now() };
    const verified = await verifyEnvelope({ verifier }, asked, signal);
    if (verified.is !== 'verified') return { is: 'refused', why: verified.why };
    const job = parsePayload(jobKind, payload);
    return job.is === 'ok'
      ? { is: 'open', job: job.value, payload, people: verified.people, document: held }
      : refuse(job.text);
  };

  const trustUpdate = async (envelope: string, signal: AbortSignal): Promise<Outcome<void>> => {
    const opened = await open(envelope, signal);
    if (opened.is === 'refused') return opened;
    const { job, people, document } = opened;
    if (job.kind !== 'trust-change' && job.kind !== 'floor-change') return refuse(`${job.kind} changes no trust`);
    if (isApplied(document, job)) return done(undefined);
    const next = applyTrustChange(document, job, people, clock.now());
    if (next.is === 'refused') return next;
    held = next.document;
    return done(undefined);
  };

  const breakGlassOpen = async (envelope: string, signal: AbortSignal): Promise<Outcome<void>> => {
    const opened = await open(envelope, signal);
    if (opened.is === 'refused') return opened;
    const { job, people, document } = opened;
    if (job.kind !== 'break-glass-open') return refuse(`${job.kind} opens nothing`);
    if (job.host !== document.host) return refuse(`it is for host ${job.host}`);
    if (people.length < peopleNeeded(document, ['disclose'], 1)) return refuse('more people have to sign');
    if (clock.now() < job.notBefore || clock.now() >= job.expiresAt) return refuse('it is not its time');
    if (consumed.has(job.jobId)) return refuse(`job ${job.jobId} was used already`);
    consumed.add(job.jobId);
    glass = { until: clock.now() + job.params.minutes * 60_000 };
    return done(undefined);
  };

  const targetApply = async (envelope: string, signal: AbortSignal): Promise<Outcome<void>> => {
    const opened = await open(envelope, signal);
    if (opened.is === 'refused') return opened;
    const { people, document, payload } = opened;
    const facts = {
      trust: document,
      host: document.host,
      now: clock.now(),
      isConsumed: (id: string) => consumed.has(id),
    };
    const may = mayApplyTarget(payload, people, facts);
    if (may.is === 'refused') return refuse(may.text);
    const { job } = may;
    if (job.kind === 'target-attach') targets.add(job.params.declaration.name);
    else {
      const wrong = await order(job);
      if (wrong !== '') return refuse(wrong);
    }
    return done(undefined);
  };

  /** Which addresses are guests', and whether it comes up, is looked at where the real one is tested. */
  const tunnelApply = async (envelope: string, signal: AbortSignal): Promise<Outcome<void>> => {
    const opened = await open(envelope, signal);
    if (opened.is === 'refused') return opened;
    const { job, people, document } = opened;
    if (job.kind !== 'tunnel-change') return refuse(`${job.kind} changes no tunnel`);
    const { before, declaration } = job.params;
    if (tunnel !== undefined && digestOfTunnel(tunnel) === digestOfTunnel(declaration)) return done(undefined);
    if (job.host !== document.host) return refuse(`it is for host ${job.host}`);
    if (people.length < peopleNeeded(document, ['disclose'], 1)) return refuse('more people have to sign');
    if (clock.now() < job.notBefore || clock.now() >= job.expiresAt) return refuse('it is not its time');
    if (before !== (tunnel === undefined ? undefined : digestOfTunnel(tunnel)))
      return refuse('other rules are in force');
    tunnel = declaration;
    return done(undefined);
  };

  /** The timer is of the host's own, and needs nobody. */
  const openUntil = (): number | undefined =>
    glass !== undefined && clock.now() < glass.until ? glass.until : undefined;

  return {
    store: {
      read: () => (held === undefined ? { is: 'none' } : { is: 'held', document: held, digest: digestOfTrust(held) }),
    },
    put: (document) => {
      held = document;
    },
    openUntil,
    targets: () => [...targets],
    tunnel: () => tunnel,
    trip: (how) => {
      mishap = how;
    },
    helper: {
      trustUpdate: (operation, envelope, signal) =>
        once('trust-update', operation, () => trustUpdate(envelope, signal)),
      breakGlassOpen: (operation, envelope, signal) =>
        once('break-glass-open', operation, () => breakGlassOpen(envelope, signal)),
      breakGlassClose: (operation) =>
        once('break-glass-close', operation, async () => {
          glass = undefined;
          return done(undefined);
        }),
      // Disks are root's own matter; here it only matters that nobody gets one attached without the signatures.
      targetApply: (operation, envelope, signal) =>
        once('target-apply', operation, () => targetApply(envelope, signal)),
      tunnelApply: (operation, envelope, signal) =>
        once('tunnel-apply', operation, () => tunnelApply(envelope, signal)),
      show: async (operation) => done(receipts.get(operation)),
      witness: async (epoch, count) => {
        const last = witnessed.at(-1);
        if (last?.epoch !== epoch && witnessed.some((each) => each.epoch === epoch)) return done(leftEpoch);
        const before = last?.epoch === epoch ? last.count : 0;
        witnessed = [...witnessed.filter((each) => each.epoch !== epoch), { epoch, count: Math.max(before, count) }];
        return done(before);
      },
      breakGlassShow: async () => {
        const until = openUntil();
        return done(until === undefined ? undefined : { until });
      },
    },
  };
}

type Refused = { readonly is: 'refused'; readonly why: Reason };
type Opened =
  | {
      readonly is: 'open';
      readonly job: Job;
      readonly payload: Uint8Array;
      readonly people: readonly string[];
      readonly document: TrustDocument;
    }
  | Refused;

const refuse = (why: string): Refused => ({
  is: 'refused',
  why: reason('helper.refused', `the root helper refused: ${why}`),
});
