/** What a signed change of trust makes of the document in force. Pure; the root helper decides with the same lines. */
import { digestOfTrust, peopleNeeded, raisesFloor, reason, trustDocumentKind, parseVersioned } from '@felhom/protocol';
import type { ErrorCode, JobOf, Reason, TrustDocument } from '@felhom/protocol';

export type TrustJob = JobOf<'trust-change' | 'floor-change'>;

export type TrustChange =
  { readonly is: 'next'; readonly document: TrustDocument } | { readonly is: 'refused'; readonly why: Reason };

const day = 24 * 60 * 60_000;
/** A document may not be issued later than the host's clock says; clocks of two machines differ a little. */
const clockTolerance = 60 * 60_000;
export const expiresSoonMs = 14 * day;

export type TrustStanding = 'in-force' | 'expires-soon' | 'expired';

/** Once expired only a renewal counts, and root on the host [R39]. */
export function trustStanding(document: Pick<TrustDocument, 'expiresAt'>, at: number): TrustStanding {
  if (at >= document.expiresAt) return 'expired';
  return document.expiresAt - at <= expiresSoonMs ? 'expires-soon' : 'in-force';
}

/**
 * `people` are those whose signatures verified under `current`. An expired document still admits a `trust-change`: that
 * is the renewal.
 *
 * Errors: `job.other-host`, `job.not-yet`, `job.expired`, `trust.not-the-next`, `trust.expired`, `trust.unreadable`,
 * `job.more-people`.
 */
export function applyTrustChange(
  current: TrustDocument,
  job: TrustJob,
  people: readonly string[],
  at: number,
): TrustChange {
  const bound = objectionToJob(current, job, at);
  if (bound !== undefined) return { is: 'refused', why: bound };
  const made = job.kind === 'trust-change' ? replaced(current, job, at) : floorMoved(current, job, at);
  if (made.is === 'refused') return made;
  const needed = peopleForTrustChange(current, made.document, job);
  const found = new Set(people).size;
  if (found >= needed) return made;
  return refuse(
    'job.more-people',
    `cannot change trust: ${needed} people have to sign, ${found} did; ` +
      'every threshold of the old and of the new document is asked, so a higher one comes after the people who can meet it',
  );
}

/**
 * A change of the document needs the highest of all thresholds before and after it, and two people unless both documents
 * say that one person runs the host [R14]. A floor alone: one person up, the people of a destroying effect down.
 */
export function peopleForTrustChange(current: TrustDocument, next: TrustDocument, job: TrustJob): number {
  if (job.kind === 'floor-change')
    return raisesFloor(job.params.floor, job.params.from, job.params.to) ? 1 : peopleNeeded(current, ['destroy'], 1);
  const alone = current.loneOperator && next.loneOperator;
  return Math.max(alone ? 1 : 2, ...Object.values(current.thresholds), ...Object.values(next.thresholds));
}

/** Whether `document` already is what the job makes: then a repeat has nothing to do. */
export function isApplied(document: TrustDocument, job: TrustJob): boolean {
  if (job.kind === 'trust-change') return digestOfTrust(document) === digestOfTrust(job.params.document);
  const { floor, from, to, before } = job.params;
  if (document.floors[floor] !== to || document.version < 2) return false;
  const previous = { ...document, version: document.version - 1, floors: { ...document.floors, [floor]: from } };
  return digestOfTrust(previous) === before;
}

function objectionToJob(current: TrustDocument, job: TrustJob, at: number): Reason | undefined {
  if (job.host !== current.host)
    return reason('job.other-host', `cannot change trust: the job is for ${job.host}, this is ${current.host}`);
  if (at < job.notBefore) return reason('job.not-yet', 'cannot change trust: the job is not valid yet');
  if (at >= job.expiresAt) return reason('job.expired', 'cannot change trust: the job has expired');
  if (job.params.before !== digestOfTrust(current))
    return reason(
      'trust.not-the-next',
      `cannot change trust: the job was made from another document than version ${current.version}, which is in force`,
    );
  return undefined;
}

function replaced(current: TrustDocument, job: JobOf<'trust-change'>, at: number): TrustChange {
  const { document } = job.params;
  if (document.host !== current.host)
    return refuse('job.other-host', `cannot change trust: the document is for ${document.host}, not ${current.host}`);
  if (document.version !== current.version + 1)
    return refuse(
      'trust.not-the-next',
      `cannot change trust: the document has version ${document.version}, after ${current.version} comes ${current.version + 1}`,
    );
  if (document.issuedAt < current.issuedAt || document.issuedAt > at + clockTolerance)
    return refuse(
      'trust.not-the-next',
      'cannot change trust: the document was issued before the one in force, or in the future by the clock of this host',
    );
  if (document.expiresAt <= at) return refuse('trust.expired', 'cannot change trust: the new document has expired');
  return { is: 'next', document };
}

function floorMoved(current: TrustDocument, job: JobOf<'floor-change'>, at: number): TrustChange {
  const { floor, from, to } = job.params;
  if (trustStanding(current, at) === 'expired')
    return refuse('trust.expired', `cannot change ${floor}: the trust document has expired; renew it first`);
  if (current.floors[floor] !== from || from === to)
    return refuse(
      'trust.not-the-next',
      `cannot change ${floor} from ${from} to ${to}: it is ${current.floors[floor]} at present`,
    );
  const next = { ...current, version: current.version + 1, floors: { ...current.floors, [floor]: to } };
  const parsed = parseVersioned(trustDocumentKind, next);
  return parsed.is === 'ok'
    ? { is: 'next', document: parsed.value }
    : refuse('trust.unreadable', `cannot change ${floor} to ${to}: ${parsed.text}`);
}

const refuse = (code: ErrorCode, text: string): TrustChange => ({ is: 'refused', why: reason(code, text) });
