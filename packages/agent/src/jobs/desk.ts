/**
 * Where every change of a job's record is made: one write for the record, for whatever goes with it and for the line in
 * the audit log; and the one way in which a job begins a saga.
 */
import { jobKind, parsePayload, reason, signatureNamespaces } from '@felhom/protocol';
import type { AuditEvent, Digest, HostId, Job, Reason, TrustDocument } from '@felhom/protocol';
import type { Admission, Submission } from '../admission/index.ts';
import type { AuditLog } from '../audit/index.ts';
import { guestRefOf } from '../authority/index.ts';
import type { BuiltEffect, Evidence } from '../authority/index.ts';
import type { GuestRegistry } from '../authority/guest-record.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Clock, Journal, Runner } from '../kernel/index.ts';
import type { DocumentWrite } from '../kernel/journal.ts';
import type { SignatureVerifier } from '../ports/signatures.ts';
import type { TrustStore } from '../ports/trust-store.ts';
import { verifyEnvelope } from '../trust/index.ts';
import type { TrustedTime } from '../trust/index.ts';
import { whyNoTrust } from './inbox.ts';
import { createJobStore, isOver } from './job-record.ts';
import type { JobRecord, JobStore } from './job-record.ts';
import type { JobView } from './job-plan.ts';

export interface JobsNeeds {
  readonly host: HostId;
  readonly journal: Journal;
  readonly audit: AuditLog;
  readonly clock: Pick<Clock, 'now'>;
  readonly time: TrustedTime;
  readonly verifier: SignatureVerifier;
  readonly trust: TrustStore;
  readonly admission: Admission;
  readonly runner: Pick<Runner, 'status' | 'resume' | 'abandon'>;
  readonly registry: GuestRegistry;
  readonly policy: () => HostPolicy | undefined;
  /** A pass has come to its end since the agent started. */
  readonly looked: () => boolean;
  readonly breakGlass: JobView['breakGlass'];
  /** A restore whose undo window is open, by the saga that restored. */
  readonly restore: JobView['restore'];
  /** Something ended or arrived: another round is worth it. */
  readonly wake: () => void;
}

/** A job whose signatures were verified a moment ago. */
export interface Verified {
  readonly job: Job;
  readonly people: readonly string[];
  readonly document: TrustDocument;
}

type Changes = Partial<Pick<JobRecord, 'code' | 'missing' | 'work' | 'nextAt' | 'guest' | 'uid'>>;
export type Doing = NonNullable<JobRecord['work']>['doing'];

/** What a saga is begun with, besides the effect and what it rests on. */
export interface Beginning {
  readonly doing: Doing;
  /** Digest of the trust document that it leads to. */
  readonly after?: Digest | undefined;
  /** Written in the moment in which the saga begins. */
  readonly also?: (saga: string) => {
    readonly records?: readonly JobRecord[];
    readonly writes?: readonly DocumentWrite[];
  };
}

export interface Desk {
  readonly store: JobStore;
  /** Grows with each job whose id is used up. */
  spent(): number;
  /** Durable when it returns. A change of state or code is a line in the audit log. */
  keep(record: JobRecord, writes?: readonly DocumentWrite[], others?: readonly JobRecord[]): void;
  become(record: JobRecord, state: JobRecord['state'], text: string, changes?: Changes): JobRecord;
  refuse(record: JobRecord, why: Reason): void;
  /** What is in the way may pass; the id is not spent. */
  wait(record: JobRecord, why: Reason, missing?: number): void;
  /** `wait` or `refuse`, as the reason is. */
  settle(record: JobRecord, why: Reason, missing?: number): void;
  /** Stays in its state with a trouble, and is looked at again in a while. */
  stall(record: JobRecord, why: Reason, missing?: number): void;
  verify(record: JobRecord, signal: AbortSignal): Promise<Verified | Reason>;
  evidenceOf(verified: Verified, signed: Digest): Evidence;
  submit(
    record: JobRecord,
    effect: BuiltEffect,
    evidence: Evidence,
    beginning: Beginning,
    signal: AbortSignal,
  ): Promise<void>;
}

const retryMs = 5 * 60_000;
const toldForMs = 2 * 24 * 60 * 60_000;

export function createDesk(needs: JobsNeeds): Desk {
  const { journal, audit, clock, time, admission } = needs;
  const store = createJobStore(journal);
  let spent = 0;

  const keep: Desk['keep'] = (record, writes = [], others = []) => {
    const records = [record, ...others];
    const documents = [...records.map((each) => store.write(each)), ...writes];
    const told = records.filter((each) => {
      const before = store.find(each.jobId);
      return before?.state !== each.state || before.code !== each.code;
    });
    if (told.length === 0) journal.append([], documents);
    else audit.appendAll(told.map(eventOf), { documents });
    for (const each of records) wrote(each);
  };

  const wrote = (record: JobRecord): void => {
    const before = store.find(record.jobId)?.state ?? 'waiting';
    if (before === 'waiting' && record.state !== 'waiting') spent += 1;
    store.wrote(record);
  };

  const become: Desk['become'] = (record, state, text, changes = {}) => {
    const { code: _code, work: _work, nextAt: _nextAt, ...rest } = record;
    const next = { ...rest, missing: 0, ...changes, state, text: text.slice(0, 1000).toWellFormed(), at: wallNow() };
    // An end is told for a while, however long it took to come to it.
    return isOver(next)
      ? { ...next, forgetAt: Math.max(next.forgetAt, Math.trunc(time.elapsedMs()) + toldForMs) }
      : next;
  };
  const wallNow = (): number => Math.max(0, Math.trunc(clock.now()));

  const refuse: Desk['refuse'] = (record, why) => keep(become(record, 'refused', why.text, { code: why.code }));

  const wait: Desk['wait'] = (record, why, missing = 0) => {
    const same = record.state === 'waiting' && record.code === why.code && record.missing === missing;
    const known = store.find(record.jobId);
    if (same && known?.people.join() === record.people.join()) return;
    keep(become(record, 'waiting', why.text, { code: why.code, missing }));
  };

  const settle: Desk['settle'] = (record, why, missing) =>
    isPassing(why) ? wait(record, why, missing) : refuse(record, why);

  const stall: Desk['stall'] = (record, why, missing = 0) =>
    keep(
      become(record, record.state, why.text, {
        code: why.code,
        missing,
        nextAt: Math.trunc(time.waitedMs()) + retryMs,
      }),
    );

  return {
    store,
    spent: () => spent,
    keep,
    become,
    refuse,
    wait,
    settle,
    stall,
    // Verification happens at execution, not at receipt: whoever was revoked meanwhile no longer counts [R39].
    verify: async (record, signal) => {
      const trust = needs.trust.read();
      if (trust.is !== 'held') return whyNoTrust(trust);
      const { document } = trust;
      const payload = Buffer.from(record.payload, 'base64');
      const { signatures } = record;
      const ask = { payload, signatures, document, namespace: signatureNamespaces.job, at: clock.now() };
      const answer = await verifyEnvelope(needs, ask, signal);
      if (answer.is !== 'verified') return answer.why;
      const parsed = parsePayload(jobKind, payload);
      if (parsed.is !== 'ok') return reason('job.unreadable', parsed.text);
      return { job: parsed.value, people: answer.people, document };
    },
    evidenceOf: ({ job, people, document }, signed) => ({
      is: 'signed-job',
      jobId: job.jobId,
      people,
      signed,
      trust: { thresholds: document.thresholds, loneOperator: document.loneOperator },
      // What it leads to counts as well: nobody lowers a threshold alone and then uses the lower one [R14].
      ...(job.kind === 'trust-change' ? { next: job.params.document } : {}),
    }),
    submit: async (record, effect, evidence, { doing, after, also }, signal) => {
      const guest = guestRefOf(effect);
      const about = guest === undefined ? {} : { guest: guest.name, uid: guest.uid };
      const state = doing === 'act' ? 'running' : record.state;
      let begun: readonly JobRecord[] = [];
      const result = await admission.submit(effect, evidence, signal, {
        signed: {
          jobId: record.jobId,
          envelope: JSON.stringify({ v: 1, payload: record.payload, signatures: record.signatures }),
          ...(after === undefined ? {} : { after }),
        },
        // What began and what the record says are durable in the same moment, so it cannot begin twice.
        atStart: (saga) => {
          const more = also?.(saga);
          begun = [
            become(record, state, `saga ${saga} is at work`, { ...about, work: { doing, saga } }),
            ...(more?.records ?? []),
          ];
          return [...begun.map((each) => store.write(each)), ...(more?.writes ?? [])];
        },
      });
      for (const each of begun) wrote(each);
      if (result.is === 'started') return void result.ended.then(needs.wake);
      const why = whyNotBegun(record, result);
      const missing = result.is === 'refused' ? result.missing : undefined;
      if (why === undefined) return undefined;
      return state === 'running' ? settle(record, why, missing) : stall(record, why, missing);
    },
  };
}

function eventOf(record: JobRecord): AuditEvent {
  return {
    at: record.at,
    kind: `job.${record.state}`,
    text: `job ${record.jobId} (${record.kind}) of ${record.people.join(' and ') || 'nobody'}: ${record.text}`,
    detail: { job: record.jobId, digest: record.digest, code: record.code ?? null, people: record.people },
    guest: record.uid,
  };
}

export const busy = (record: Pick<JobRecord, 'jobId'>, because: string): Reason =>
  reason('job.busy', `cannot begin job ${record.jobId} at the moment: ${because}`);

/** What a person or time mends by itself; the job waits for it as long as it is fresh. */
const mended: ReadonlySet<string> = new Set([
  'gate.on-hold',
  'gate.policy-unreadable',
  'gate.node-check',
  'gate.lane-parked',
  'trust.none',
  'trust.unreadable',
  'trust.exposed',
  'trust.verifier-missing',
]);

/** Whatever Proxmox says while facts are gathered is about the moment, not about the job. */
const isPassing = (why: Reason): boolean =>
  why.retry === 'later' || mended.has(why.code) || why.code.startsWith('pve.');

/** `undefined`: it is under way already. */
function whyNotBegun(record: JobRecord, result: Exclude<Submission, { is: 'started' }>): Reason | undefined {
  switch (result.is) {
    case 'already-running':
      return undefined;
    case 'busy':
      return busy(record, `saga ${result.holder} is at work on ${result.lane}`);
    case 'blocked':
    case 'refused':
      return result.why;
  }
}
