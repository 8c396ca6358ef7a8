/**
 * The one door to a change: gate, lane, runner, audit, in this order and nowhere else. Whoever wants something done,
 * the reconciler, a signed job or a guest, ends here with an effect and the evidence it rests on.
 */
import { digestOfText, reason } from '@felhom/protocol';
import type { BlockedAction, Digest, GuestName, GuestUid, Reason } from '@felhom/protocol';
import { blastWindowMs } from '../authority/blast-radius.ts';
import type { BuiltEffect, Effect } from '../authority/effects.ts';
import type { Evidence, GateFacts, GuestFacts, Touch } from '../authority/facts.ts';
import { decide } from '../authority/gate.ts';
import type { Decision } from '../authority/gate.ts';
import { isBuilt, rowOf } from '../authority/gate-table.ts';
import type { GuestRecord } from '../authority/guest-record.ts';
import type { Clock } from '../kernel/clock.ts';
import type { DocumentWrite } from '../kernel/journal.ts';
import type { Runner, SagaStatus } from '../kernel/runner.ts';
import type { AnySaga, Outcome, SagaEnd } from '../kernel/saga.ts';
import type { AdmissionState, AuditTrail, TrailEntry } from './audit-trail.ts';
import { createBlockedActions } from './blocked-actions.ts';
import type { BlockedActions } from './blocked-actions.ts';
import { reservationOf, withReservations } from './reservations.ts';

/** All but what admission counts itself: two effects of one pass must not both be the last that fits. */
export interface FactsOfWorld extends Omit<GateFacts, 'touches' | 'guest'> {
  readonly guest: Omit<GuestFacts, 'grownGiB'> | undefined;
}

export type SagaChoice =
  | { readonly is: 'saga'; readonly definition: AnySaga; readonly params: unknown }
  | { readonly is: 'not-supported'; readonly why: string };

export interface AdmissionOptions {
  /** Read freshly enough that a decision may rest on it; sums over guests on record, without what is being made. */
  readonly factsFor: (effect: Effect, signal: AbortSignal) => Promise<Outcome<FactsOfWorld>>;
  readonly sagaFor: (effect: BuiltEffect, known: GuestRecord | undefined, signed?: SignedOrder) => SagaChoice;
  readonly needsOf: (definition: AnySaga) => unknown;
  readonly runner: Pick<Runner, 'start' | 'status'>;
  readonly audit: AuditTrail;
  readonly clock: Pick<Clock, 'now'>;
}

export type Submission =
  | { readonly is: 'started'; readonly saga: string; readonly ended: Promise<SagaEnd> }
  /** The same effect with the same target values is on its way. */
  | { readonly is: 'already-running'; readonly saga: string }
  | { readonly is: 'blocked'; readonly action: BlockedAction; readonly why: Reason }
  /** `missing`: people who have yet to sign. */
  | { readonly is: 'refused'; readonly why: Reason; readonly missing?: number }
  /** Something else is being done to this guest; ask again when it has ended. */
  | { readonly is: 'busy'; readonly lane: string; readonly holder: string };

export type Permission =
  | { readonly is: 'permitted' }
  /** `missing`: people who have yet to sign. */
  | { readonly is: 'refused'; readonly why: Reason; readonly missing?: number };

export interface SubmitOptions {
  /** Documents that are durable together with the start of the saga of this id. */
  readonly atStart?: (saga: string) => readonly DocumentWrite[];
  /** The job behind signed evidence, for sagas that hand it on to whoever verifies it again. */
  readonly signed?: SignedOrder;
}

export interface SignedOrder {
  readonly jobId: string;
  /** Text of the envelope. */
  readonly envelope: string;
  /** Digest of the trust document that it leads to. */
  readonly after?: Digest;
}

export interface Admission {
  /**
   * Never throws for what the world does. Aborting `signal` gives up before the saga began; a saga that began goes on.
   */
  submit(effect: Effect, evidence: Evidence, signal: AbortSignal, options?: SubmitOptions): Promise<Submission>;
  /**
   * For what is carried out without a saga: the gate's answer, on the audit trail when it returns. The caller does it
   * in the same turn.
   */
  permit(effect: Effect, evidence: Evidence, signal: AbortSignal): Promise<Permission>;
  /** What submitting would answer as far as the gate goes. Starts, records and counts nothing. */
  preview(effect: Effect, evidence: Evidence, signal: AbortSignal): Promise<Outcome<Decision>>;
  readonly blocked: BlockedActions;
}

export function createAdmission(options: AdmissionOptions): Admission {
  const { runner, audit, clock } = options;
  const past = audit.since(clock.now() - blastWindowMs);
  const remembered = audit.state();
  let touches: readonly Touch[] = remembered.touches;
  let growths: AdmissionState['growths'] = remembered.growths;
  const lastAnswers = new Map(past.map((entry) => [entry.key, answerKey(entry.answer)]));
  const blocked = createBlockedActions(stillBlocked(past));
  /** Key → the saga that carries it out, sagas of an earlier run among them. */
  const running = new Map<string, UnderWay>(remembered.underWay.map((entry) => [entry.key, entry]));
  const deciding = new Map<string, Promise<Submission>>();
  /** Lane → what began on it last, to notice what came and went while facts were gathered. */
  const lastBegun = new Map<string, { readonly turn: number; readonly saga: string }>();
  let turn = 0;

  /** Sagas end without telling when they were recovered, so what runs is asked of the runner. */
  const forgetEnded = (): readonly SagaStatus[] => {
    const open = runner.status();
    const ids = new Set(open.map((saga) => saga.id));
    for (const [key, { saga }] of running) if (!ids.has(saga)) running.delete(key);
    return open;
  };

  const judge = (effect: Effect, evidence: Evidence, facts: FactsOfWorld): Decision => {
    forgetEnded();
    const reserved = [...running.values()].flatMap((entry) => entry.reserved ?? []);
    const now = clock.now();
    const guest = facts.guest && {
      ...facts.guest,
      grownGiB: grownWithinADay(landed(growths, effect), facts.guest.record.uid, now),
    };
    return decide(effect, evidence, withReservations({ ...facts, guest, touches }, reserved), now);
  };

  const record = (entry: Omit<TrailEntry, 'v' | 'at'>): void => {
    const answer = answerKey(entry.answer);
    if (lastAnswers.get(entry.key) === answer) return;
    // Keys of what is no longer asked for go with the day; what changes for ever must not grow for ever.
    if (lastAnswers.size >= mostAnswers) lastAnswers.clear();
    lastAnswers.set(entry.key, answer);
    audit.append({ v: 1, at: clock.now(), ...entry });
  };

  const answer = async (
    key: string,
    effect: Effect,
    evidence: Evidence,
    signal: AbortSignal,
    { atStart, signed }: SubmitOptions,
  ): Promise<Submission> => {
    const openBefore = forgetEnded();
    const turnBefore = turn;
    const facts = await options.factsFor(effect, signal);
    if (facts.is !== 'done') return { is: 'refused', why: facts.why };
    // From here to the start nothing waits, so nothing comes between the decision and what it rests on.
    const decision = judge(effect, evidence, facts.value);
    const known = facts.value.guest?.record;
    const about = aboutOf(key, effect, evidence, decision);
    const refuse = (why: Reason, missing?: number): Submission => {
      record({ ...about, answer: { is: 'refused', code: why.code, text: why.text } });
      return missing === undefined ? { is: 'refused', why } : { is: 'refused', why, missing };
    };
    if (decision.is === 'refused') return refuse(decision.why, decision.missing);
    if (decision.is === 'blocked') {
      const action = blocked.note(decision.action, effect);
      record({ ...about, answer: { is: 'blocked', digest: action.digest, code: decision.why.code } });
      return { is: 'blocked', action, why: decision.why };
    }
    const cannot = `cannot ${effect.kind}${about.guest === '' ? '' : ` for guest ${about.guest}`}`;
    if (!isBuilt(effect)) return refuse(reason('gate.not-built', `${cannot}: this release has no saga for it`));
    const choice = options.sagaFor(effect, known, signed);
    if (choice.is === 'not-supported') return refuse(reason('gate.not-built', `${cannot}: ${choice.why}`));
    const { definition, params } = choice;
    const obstacle = whoIsInTheWay(definition, params, forgetEnded());
    if (obstacle?.saga.parked !== undefined) return refuse(parkedThere(cannot, obstacle.saga));
    if (obstacle !== undefined) return { is: 'busy', lane: obstacle.lane, holder: obstacle.saga.id };
    // Whoever was at work on the guest while the facts were gathered has made them old.
    const passed = whoIsInTheWay(
      definition,
      params,
      openBefore.filter((saga) => saga.parked === undefined),
    );
    if (passed !== undefined) return { is: 'busy', lane: passed.lane, holder: passed.saga.id };
    for (const lane of exclusiveLanes(definition, params)) {
      const last = lastBegun.get(lane);
      if (last !== undefined && last.turn > turnBefore) return { is: 'busy', lane, holder: last.saga };
    }
    if (signal.aborted)
      return { is: 'refused', why: reason('gate.contradictory', `${cannot}: it was given up before it began`) };

    const withdrawal = new AbortController();
    const life = AbortSignal.any([signal, withdrawal.signal]);
    const { id, ended } = runner.start(definition, params, options.needsOf(definition), life);
    const reserved = reservationOf(effect);
    // Signed work was asked of an operator, so it does not use up what is allowed without asking.
    const counts = evidence.is === 'desired-state' || evidence.is === 'local-root';
    const group = counts ? rowOf(effect.kind).blast : undefined;
    const entry: TrailEntry = {
      v: 1,
      at: clock.now(),
      ...about,
      ...(group === undefined ? {} : { group }),
      answer: { is: 'started', saga: id },
    };
    const underWay: UnderWay = { key, saga: id, reserved };
    const nowTouched = [...touches.filter((touch) => touch.at > entry.at - blastWindowMs), ...touchOf(entry)];
    const nowGrown = [
      ...growths.filter((growth) => growth.at > entry.at - blastWindowMs),
      ...growthOf(effect, entry.at),
    ];
    try {
      // The runner writes its first record after this turn at the earliest: an effect is on the audit trail before it
      // is in the journal of sagas, and so before it is in the world. What cannot be audited is withdrawn.
      audit.append(
        entry,
        { touches: nowTouched, growths: nowGrown, underWay: [...running.values(), underWay] },
        atStart?.(id),
      );
    } catch (error) {
      withdrawal.abort(reason('journal.full', `cannot begin saga ${id}: it could not be put on the audit trail`));
      throw error;
    }
    touches = nowTouched;
    growths = nowGrown;
    running.set(key, underWay);
    turn += 1;
    for (const lane of exclusiveLanes(definition, params)) lastBegun.set(lane, { turn, saga: id });
    lastAnswers.delete(key);
    return { is: 'started', saga: id, ended };
  };

  return {
    blocked,
    submit: (effect, evidence, signal, submitOptions = {}) => {
      const key = keyOf(effect, evidence);
      const open = forgetEnded();
      const already = running.get(key);
      if (already !== undefined) {
        const saga = open.find((status) => status.id === already.saga);
        if (saga?.parked === undefined) return Promise.resolve({ is: 'already-running', saga: already.saga });
        return Promise.resolve({ is: 'refused', why: parkedThere(`cannot ${effect.kind} again`, saga) });
      }
      const asked = deciding.get(key);
      if (asked !== undefined) return asked.then(asSecond);
      const promise = answer(key, effect, evidence, signal, submitOptions).finally(() => deciding.delete(key));
      deciding.set(key, promise);
      return promise;
    },
    permit: async (effect, evidence, signal) => {
      const facts = await options.factsFor(effect, signal);
      if (facts.is !== 'done') return { is: 'refused', why: facts.why };
      const decision = judge(effect, evidence, facts.value);
      const about = aboutOf(keyOf(effect, evidence), effect, evidence, decision);
      if (decision.is === 'allowed') {
        audit.append({ v: 1, at: clock.now(), ...about, answer: { is: 'permitted' } });
        return { is: 'permitted' };
      }
      const { why } = decision;
      record({ ...about, answer: { is: 'refused', code: why.code, text: why.text } });
      return decision.is === 'refused' && decision.missing !== undefined
        ? { is: 'refused', why, missing: decision.missing }
        : { is: 'refused', why };
    },
    preview: async (effect, evidence, signal) => {
      const facts = await options.factsFor(effect, signal);
      return facts.is === 'done' ? { is: 'done', value: judge(effect, evidence, facts.value) } : facts;
    },
  };
}

const mostAnswers = 10_000;

type UnderWay = AdmissionState['underWay'][number];

const asSecond = (first: Submission): Submission =>
  first.is === 'started' ? { is: 'already-running', saga: first.saga } : first;

/** The kind, whom it is about, and the target values; not what was observed, so that drift on the way is no new effect. */
function keyOf(effect: Effect, evidence: Evidence): string {
  const asked: Record<string, unknown> = { ...effect };
  delete asked['from'];
  const job = evidence.is === 'signed-job' ? ` ${evidence.jobId}` : '';
  return `${evidence.is}${job} ${effect.kind} ${digestOfText(JSON.stringify(asked))}`;
}

function aboutOf(
  key: string,
  effect: Effect,
  evidence: Evidence,
  { row }: Decision,
): Omit<TrailEntry, 'v' | 'at' | 'answer'> {
  return {
    key,
    kind: effect.kind,
    effect,
    guest: guestOf(effect),
    ...('guest' in effect ? { uid: effect.guest.uid } : {}),
    evidence: evidence.is,
    ...(evidence.is === 'signed-job' ? { job: evidence.jobId } : {}),
    row,
  };
}

function parkedThere(cannot: string, saga: SagaStatus): Reason {
  const { parked } = saga;
  const text = `saga ${saga.id} is parked there (${parked?.why.text ?? 'by hand'})`;
  return reason('gate.lane-parked', `${cannot}: ${text}. To resolve it: ${parked?.command ?? 'felhom-agent journal'}`);
}

function guestOf(effect: Effect): GuestName | '' {
  if (effect.kind === 'guest-provision') return effect.desired.name;
  return 'guest' in effect ? effect.guest.name : '';
}

/** One at a time. A slot of a storage is waited for in the runner, where it costs nothing. */
function exclusiveLanes(definition: AnySaga, params: unknown): readonly string[] {
  return definition.lanes(params).filter((lane) => lane === 'host' || lane.startsWith('guest:'));
}

/** Backups pass a parked saga [R34]. */
function whoIsInTheWay(
  definition: AnySaga,
  params: unknown,
  open: readonly SagaStatus[],
): { readonly lane: string; readonly saga: SagaStatus } | undefined {
  const lanes = exclusiveLanes(definition, params);
  for (const saga of open) {
    if (saga.parked !== undefined && definition.purpose === 'protection') continue;
    const lane = lanes.find((wanted) => saga.lanes.includes(wanted));
    if (lane !== undefined) return { lane, saga };
  }
  return undefined;
}

function answerKey(answer: TrailEntry['answer']): string {
  switch (answer.is) {
    case 'permitted':
      return 'permitted';
    case 'started':
      return `started ${answer.saga}`;
    case 'blocked':
      return `blocked ${answer.digest}`;
    case 'refused':
      // Its text carries numbers that move from pass to pass.
      return `refused ${answer.code}`;
  }
}

function touchOf(entry: TrailEntry): Touch[] {
  if (entry.answer.is !== 'started' || entry.group === undefined || entry.guest === '') return [];
  return [{ at: entry.at, group: entry.group, guest: entry.guest }];
}

function growthOf(effect: Effect, at: number): AdmissionState['growths'] {
  return effect.kind === 'volume-grow'
    ? [
        {
          at,
          guest: effect.guest.uid,
          grownGiB: Math.max(0, effect.to - effect.from),
          volid: effect.volid,
          toGiB: effect.to,
        },
      ]
    : [];
}

/** A growth of this volume that was begun and whose size it does not have was refused, and took nothing. */
function landed(growths: AdmissionState['growths'], effect: Effect): AdmissionState['growths'] {
  if (effect.kind !== 'volume-grow') return growths;
  return growths.filter(({ volid, toGiB }) => volid !== effect.volid || toGiB === undefined || toGiB <= effect.from);
}

/** What was begun counts, whatever became of it: a growth that failed half-way may have happened. */
function grownWithinADay(growths: AdmissionState['growths'], guest: GuestUid, now: number): number {
  return growths
    .filter((growth) => growth.guest === guest && growth.at > now - blastWindowMs)
    .reduce((sum, growth) => sum + growth.grownGiB, 0);
}

/** Digest → when it was first asked for, of what was still blocked at the end of the trail. */
function stillBlocked(entries: readonly TrailEntry[]): ReadonlyMap<string, number> {
  const byKey = new Map<string, { readonly digest: string; readonly at: number }>();
  for (const { key, at, answer } of entries)
    if (answer.is === 'blocked') byKey.set(key, { digest: answer.digest, at });
    else byKey.delete(key);
  return new Map([...byKey.values()].map(({ digest, at }) => [digest, at]));
}
