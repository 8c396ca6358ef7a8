/**
 * Signed jobs from their arrival to their end. Everything happens in `work`, one round at a time: a round looks at each
 * job that is not over, verifies its signatures again, and does the one next thing. A crash between any two lines leaves
 * a record that says what was meant and a journal that says what began.
 *
 * Read in this order: Jobs, round, arrive, begin, carryOut, follow.
 */
import {
  digestOfText,
  maxEnvelopeBytes,
  maxEnvelopesPerPoll,
  parseSshsig,
  raisesFloor,
  reason,
} from '@felhom/protocol';
import type { Digest, Finding, Job, ReportedJob } from '@felhom/protocol';
import { rowOf } from '../authority/index.ts';
import { JournalError } from '../kernel/index.ts';
import { trustStanding } from '../trust/index.ts';
import { bindJob } from './bind-job.ts';
import { planJob } from './catalog.ts';
import { createDesk } from './desk.ts';
import type { JobsNeeds, Verified } from './desk.ts';
import { holdsWrite, readHolds, withHold } from './holds.ts';
import type { Holds } from './holds.ts';
import { takeEnvelope } from './inbox.ts';
import { isOver, reportedOf } from './job-record.ts';
import type { JobRecord } from './job-record.ts';
import type { JobPlan, JobView } from './job-plan.ts';
import { createRefusals } from './refusals.ts';
import { createReleases } from './releases.ts';
import type { Releases } from './releases.ts';
import { createRemovalWork } from './removal-work.ts';
import { parkedSaga, sagaOutcome } from './saga-outcome.ts';

export interface Jobs {
  /** Takes envelopes in without looking at them; the next round does. Beyond the limits they are dropped and counted. */
  bring(texts: readonly string[]): void;
  /** One round. Never throws for what the world or an envelope does; a journal that cannot be written ends the agent. */
  work(signal: AbortSignal): Promise<void>;
  /** Digests of envelopes that need not come again. */
  taken(): readonly Digest[];
  report(): readonly ReportedJob[];
  /** Grows with each job whose id is used up in this run. */
  spent(): number;
  readonly releases: Pick<Releases, 'inForce' | 'report'>;
  findings(): readonly Finding[];
  /** Guests in quarantine or beyond: the reconciler leaves them as they are. */
  removing(): ReadonlySet<string>;
  holds(): Holds;
  /** Wall time at which something goes on by itself. */
  nextAt(): number | undefined;
}

/** Envelopes that may wait for a round: as many as one poll may bring. */
const mostBrought = maxEnvelopesPerPoll;
const mostTaken = 200;
const cutShort =
  'the agent ended in the moment in which it told the saga; felhom status shows how it stands, and what is still parked takes another job';
const keptForMs = 8 * 24 * 60 * 60_000;

export function createJobs(needs: JobsNeeds): Jobs {
  const { journal, audit, clock, time, admission, registry } = needs;
  const desk = createDesk(needs);
  const { store } = desk;
  const removals = createRemovalWork(needs, desk);
  const refusals = createRefusals();
  const releases = createReleases(journal, audit);
  let holds = readHolds(journal);
  let brought: { readonly text: string; readonly digest: Digest }[] = [];
  let dropped = 0;
  let taken: readonly Digest[] = [];
  let working: Promise<void> = Promise.resolve();

  const round = async (signal: AbortSignal): Promise<void> => {
    const texts = brought;
    brought = [];
    for (const { text, digest } of texts) {
      if (signal.aborted) return;
      await unlessUndigested(`take envelope ${digest}`, () => arrive(text, digest, signal));
    }
    if (dropped > 0) {
      const text = `cannot take ${dropped} envelopes: at most ${mostBrought} are looked at in one round`;
      dropped = 0;
      noteRefusal(reason('job.too-many', text), {});
    }
    // Whoever cancels is heard before what is cancelled goes on.
    for (const { jobId } of store.all().toSorted((a, b) => Number(b.kind === 'cancel') - Number(a.kind === 'cancel'))) {
      if (signal.aborted) return;
      // As it is by now: another job of this round may have cancelled it.
      const record = store.find(jobId);
      if (record === undefined || isOver(record)) continue;
      await unlessUndigested(`go on with job ${jobId}`, () => goOn(record, signal));
    }
    store.prune(time.elapsedMs());
    removals.prune();
  };

  const goOn = async (record: JobRecord, signal: AbortSignal): Promise<void> => {
    if (record.work !== undefined) follow(record);
    else if (record.state === 'waiting') await begin(record, signal);
    else if (record.state === 'running') desk.keep(desk.become(record, 'failed', cutShort));
    else await removals.step(record, signal);
  };

  /** A fault of this release over one of them must not hold up all that come after it. */
  const unlessUndigested = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (error instanceof JournalError) throw error;
      const text = `cannot ${what}: ${error instanceof Error ? error.message : String(error)}`;
      noteRefusal(reason('agent.pass-failed', text.slice(0, 1000)), {});
    }
  };

  const noteRefusal = (why: ReturnType<typeof reason>, detail: Readonly<Record<string, string>>): void => {
    const at = clock.now();
    if (refusals.note(why, at))
      audit.append({ at, kind: 'envelope.refused', text: why.text, detail: { code: why.code, ...detail } });
  };

  const arrive = async (text: string, digest: Digest, signal: AbortSignal): Promise<void> => {
    const now = clock.now();
    const answer = await takeEnvelope(text, { verifier: needs.verifier, trust: needs.trust, store, now }, signal);
    if (answer.is === 'later') {
      if (answer.why.code === 'job.too-many') noteRefusal(answer.why, { envelope: digest });
      return;
    }
    if (answer.is === 'release') {
      const { manifest, parts, document } = answer;
      const verdict = releases.take(manifest, parts, { host: needs.host, document, now });
      // Its turn may come: the hub keeps it until then.
      if (verdict.is === 'later') return;
      if (verdict.is === 'refused') noteRefusal(verdict.why, { envelope: digest });
      taken = acknowledged(taken, digest);
      return;
    }
    taken = acknowledged(taken, digest);
    if (answer.is === 'known') return;
    if (answer.is === 'refused') return noteRefusal(answer.why, { envelope: digest });
    const { job, parts, known } = answer;
    const wall = Math.max(0, Math.trunc(now));
    desk.keep({
      v: 1,
      jobId: job.jobId,
      kind: job.kind,
      digest: parts.digest,
      payload: Buffer.from(parts.payload).toString('base64'),
      signatures: [...onePerKey([...(known?.signatures ?? []), ...parts.signatures])].slice(0, 8),
      envelopes: [...new Set([...(known?.envelopes ?? []), parts.envelope])].slice(-16),
      state: 'waiting',
      ...(known?.code === undefined ? {} : { code: known.code }),
      text: known?.text ?? 'it arrived',
      people: [...new Set([...(known?.people ?? []), ...parts.people])].sort().slice(0, 8),
      missing: known?.missing ?? 0,
      guest: known?.guest ?? '',
      forgetAt: known?.forgetAt ?? Math.trunc(time.elapsedMs()) + keptForMs,
      since: known?.since ?? wall,
      at: wall,
    });
  };

  const viewOf = ({ people, document }: Verified): JobView => ({
    hostEpoch: journal.hostEpoch,
    looked: needs.looked(),
    trust: document,
    people,
    now: clock.now(),
    guest: (uid) => registry.byUid(uid),
    blocked: (digest) => admission.blocked.find(digest),
    parked: (saga) => parkedSaga(saga, needs.runner.status(), journal),
    restore: needs.restore,
    breakGlass: needs.breakGlass,
  });

  /** What goes on with a removal is as old as a removal may be [R14]. */
  const leadsTo = (job: Job, view: JobView): string | undefined => {
    if (job.kind === 'approve') return view.blocked(job.params.digest)?.action.document.effectClass;
    if (job.kind === 'saga') return view.parked(job.params.saga)?.removal === true ? 'destroy' : undefined;
    const { kind, params } = job;
    return kind === 'floor-change' && !raisesFloor(params.floor, params.from, params.to) ? 'destroy' : undefined;
  };

  const begin = async (waiting: JobRecord, signal: AbortSignal): Promise<void> => {
    const verified = await desk.verify(waiting, signal);
    if ('code' in verified) return desk.settle(waiting, verified);
    const { job, people, document } = verified;
    const record = { ...waiting, people: [...people] };
    const now = clock.now();
    const view = viewOf(verified);
    const bound = bindJob(job, {
      host: needs.host,
      hostEpoch: journal.hostEpoch,
      ageMs: time.ageOf(job.challenge),
      now,
      effectClass: leadsTo(job, view),
      people: people.length,
    });
    if (bound.is === 'wait') return desk.wait(record, bound.why);
    if (bound.is === 'refused') return desk.refuse(record, bound.why);
    if (trustStanding(document, now) === 'expired' && job.kind !== 'trust-change') {
      const text = `cannot begin job ${job.jobId}: the trust document has expired; renew it first`;
      return desk.wait(record, reason('trust.expired', text));
    }
    const plan = planJob(job, view);
    const standing = time.standing();
    if (standing.is === 'jumped' && destroys(plan)) return desk.wait(record, standing.why);
    return carryOut(record, plan, verified, signal);
  };

  const carryOut = async (record: JobRecord, plan: JobPlan, verified: Verified, signal: AbortSignal): Promise<void> => {
    switch (plan.is) {
      case 'refuse':
        return desk.settle(record, plan.why);
      case 'wait':
        return desk.wait(record, plan.why, plan.missing);
      case 'submit': {
        const evidence = desk.evidenceOf(verified, plan.signed);
        return desk.submit(record, plan.effect, evidence, { doing: 'act', after: plan.after }, signal);
      }
      case 'remove':
        return removals.begin(record, plan, verified, signal);
      case 'cancel':
        return removals.cancel(record, plan.job, verified, signal);
      case 'hold': {
        const permission = await admission.permit(plan.effect, desk.evidenceOf(verified, plan.signed), signal);
        if (permission.is === 'refused') return desk.settle(record, permission.why, permission.missing);
        const { scope, kind } = plan.effect;
        const next = withHold(holds, scope === 'host' ? 'host' : scope.uid, kind === 'hold-set');
        const about = scope === 'host' ? {} : { guest: scope.name, uid: scope.uid };
        const text = `${scope === 'host' ? 'this host' : `guest ${scope.name}`} is ${kind === 'hold-set' ? 'on hold' : 'off hold'}`;
        desk.keep(desk.become(record, 'done', text, about), [holdsWrite(next)]);
        holds = next;
        return needs.wake();
      }
      case 'saga': {
        const permission = await admission.permit(plan.effect, desk.evidenceOf(verified, plan.signed), signal);
        if (permission.is === 'refused') return desk.settle(record, permission.why, permission.missing);
        const { sagaId, kind } = plan.effect;
        const by = `job ${record.jobId} of ${record.people.join(' and ')}`;
        // Durable before it is done: a saga that stops again is not for a second time told to go on by the same job.
        const begun = desk.become(record, 'running', `saga ${sagaId} is being told`);
        desk.keep(begun);
        const outcome = kind === 'saga-resume' ? needs.runner.resume(sagaId, by) : needs.runner.abandon(sagaId, by);
        const text = kind === 'saga-resume' ? `saga ${sagaId} goes on` : `saga ${sagaId} was given up`;
        if (outcome.is === 'done') desk.keep(desk.become(begun, 'done', text));
        else desk.keep(desk.become(begun, 'failed', outcome.why.text, { code: outcome.why.code }));
        return needs.wake();
      }
    }
  };

  /** What became of the saga that carries it out. */
  const follow = (record: JobRecord): void => {
    const { work } = record;
    if (work === undefined) return;
    const outcome = sagaOutcome(work.saga, needs.runner.status(), journal);
    switch (outcome.is) {
      case 'open':
        return;
      case 'never-began': {
        // Nothing of it is in the journal, so nothing of it is in the world.
        if (work.doing !== 'act') removals.failed(record, work.doing);
        const state = work.doing === 'act' ? 'waiting' : record.state;
        return desk.keep(desk.become(record, state, 'it did not come to begin, and is tried again'));
      }
      case 'parked':
        if (record.code !== 'gate.lane-parked')
          desk.keep(desk.become(record, record.state, outcome.why.text, { code: 'gate.lane-parked', work }));
        return;
      case 'abandoned':
      case 'unwound': {
        const why =
          outcome.is === 'unwound'
            ? outcome.why
            : reason('job.cancelled', `saga ${work.saga} was given up as it stood`);
        if (work.doing === 'act') return desk.keep(desk.become(record, 'failed', why.text, { code: why.code }));
        removals.failed(record, work.doing, outcome.is === 'abandoned' ? outcome.state : undefined);
        return desk.stall(record, why);
      }
      case 'completed':
        if (work.doing === 'act') desk.keep(desk.become(record, 'done', `it is done (saga ${work.saga})`));
        else removals.completed(record, work.doing, outcome.state);
        return;
    }
  };

  const wallOf = (waitedMs: number): number => clock.now() + waitedMs - time.waitedMs();

  return {
    bring: (texts) => {
      const known = new Set([...taken, ...brought.map(({ digest }) => digest)]);
      // What was answered, or waits for its round, is worth neither a place nor a look at the whole host.
      const fresh = texts
        .map((text) => ({ text, digest: digestOfText(text) }))
        .filter(({ digest }) => !known.has(digest));
      const room = Math.max(0, mostBrought - brought.length);
      dropped += Math.max(0, fresh.length - room);
      // Of what is too long to be an envelope no more is kept until the round than shows that it is.
      for (const { text, digest } of fresh.slice(0, room))
        brought.push({ text: text.slice(0, maxEnvelopeBytes + 1), digest });
      if (fresh.length > 0) needs.wake();
    },
    work: (signal) => {
      // A round that is asked for during another one begins after it.
      const next = working.catch(() => undefined).then(() => round(signal));
      working = next;
      return next;
    },
    taken: () => taken,
    spent: () => desk.spent(),
    releases,
    report: () => store.all().map((record) => reportedOf(record, wallOf)),
    findings: () => refusals.findings(clock.now()),
    removing: () => removals.removing(),
    holds: () => holds,
    nextAt: () => {
      const next = store.all().flatMap((record) => (isOver(record) ? [] : (record.nextAt ?? [])));
      return next.length === 0 ? undefined : wallOf(Math.min(...next));
    },
  };
}

const acknowledged = (taken: readonly Digest[], digest: Digest): readonly Digest[] =>
  [...taken.filter((each) => each !== digest), digest].slice(-mostTaken);

/** Of one signature there are many texts, and whoever signed may make others: eight of a kind would leave no room. */
function onePerKey(signatures: readonly string[]): Iterable<string> {
  const byKey = new Map<string, string>();
  for (const signature of signatures) {
    const key = parseSshsig(signature)?.key.line ?? signature;
    if (!byKey.has(key)) byKey.set(key, signature);
  }
  return byKey.values();
}

/** Whether a jump of the clock holds it back: what destroys, and nothing else [R11]. */
function destroys(plan: JobPlan): boolean {
  if (plan.is === 'remove') return true;
  if (plan.is === 'saga') return plan.effect.removal;
  // A change of trust destroys nothing by itself, and a revocation must not wait for a clock.
  if (plan.is !== 'submit' || plan.effect.kind === 'trust-change') return false;
  return rowOf(plan.effect.kind).classes.includes('destroy');
}
