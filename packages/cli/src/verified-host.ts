/**
 * The one door from what a hub shows to what an operator may sign. Nothing behind it comes from the hub alone: the
 * statement carries the signature of the pinned key, the report is the one that the statement names, and the blocked
 * actions and the trust document in it are recomputed [R10, R40]. Pure.
 */
import {
  digestOfBlocked,
  digestOfReport,
  digestOfText,
  digestOfTrust,
  openStatement,
  parsePublicKey,
  reportAsOf,
} from '@felhom/protocol';
import type { HostStatement, Report, SignedStatement, TrustDocument } from '@felhom/protocol';
import { formatDuration } from '@felhom/terminal';
import { CliError, exitCodes } from './io.ts';
import { seenIn } from './pins.ts';
import type { Pin, Seen } from './pins.ts';

export interface VerifiedHost {
  readonly hostId: string;
  readonly statement: HostStatement;
  readonly report: Report;
  /** `undefined`: the host trusts nobody yet, or cannot read whom. */
  readonly trust: TrustDocument | undefined;
  /** What the operator has seen of the host, for the pins. */
  readonly seen: Seen;
}

/** What a hub, or a file, claims about a host. */
export interface HostClaim {
  readonly statement?: SignedStatement | undefined;
  readonly report?: Report | undefined;
}

/** Older statements are not signed upon. */
export const oldestStatementMs = 15 * 60_000;
/** A statement from further ahead would stay fresh for too long. */
export const farthestAheadMs = 5 * 60_000;

/** `reading`: what a host said last is worth reading however long it has been silent; nothing is signed upon it. */
export type Purpose = 'signing' | 'reading';

/** Throws a `CliError` with exit code `unproven` for everything that is not the host's own word, now. */
export function verifyHost(
  hostId: string,
  claim: HostClaim,
  pin: Pin | undefined,
  now: number,
  purpose: Purpose = 'signing',
): VerifiedHost {
  const opened = verifyStatement(hostId, claim.statement, pin);
  const epochs = epochVerdict(opened.statement, pin);
  if (epochs !== undefined) throw epochs;
  const current = pin?.current;
  if (current !== undefined) refuseOlder(hostId, opened, current);
  refuseUntimely(hostId, opened.statement, now, purpose);
  const { report } = claim;
  if (report === undefined)
    throw unproven(
      'host.no-report',
      `cannot tell how ${hostId} is: the hub has no report of it`,
      `wait for its next poll; felhom status ${hostId} shows when it was last heard`,
    );
  if (digestOfReport(report) !== opened.statement.reportDigest)
    throw unproven(
      'host.report-altered',
      `cannot believe the report of ${hostId}: it is not the one that the host signed`,
      `try again after its next poll; if it stays, the hub shows something else than the host said`,
    );
  return {
    hostId,
    statement: opened.statement,
    // The digest is not of ages: a hub could have put in any.
    report: reportAsOf(report, opened.statement.at, opened.statement.lastPassAt),
    trust: verifiedTrust(hostId, opened.statement, report),
    seen: opened.seen,
  };
}

export interface OpenedStatement {
  readonly statement: HostStatement;
  readonly seen: Seen;
}

/** Signed with the pinned key, and about this host. Says nothing about its age. */
export function verifyStatement(
  hostId: string,
  signed: SignedStatement | undefined,
  pin: Pick<Pin, 'key'> | undefined,
): OpenedStatement {
  if (pin === undefined)
    throw unproven(
      'host.not-pinned',
      `cannot believe what is said about ${hostId}: its key is not pinned here`,
      `felhom-agent identity on the host's own screen shows its fingerprint; then felhom hosts trust ${hostId} FINGERPRINT`,
    );
  if (signed === undefined)
    throw unproven(
      'host.no-statement',
      `cannot believe what is said about ${hostId}: there is no statement signed by the host`,
      `look at felhom status ${hostId}: the host may not have polled since its key was made, or the hub keeps it back`,
    );
  const opened = openStatement(pin.key, signed);
  if (opened.is !== 'ok')
    throw unproven(
      'host.other-key',
      `cannot believe what is said about ${hostId}: ${opened.text}`,
      `the pinned key is ${parsePublicKey(pin.key)?.fingerprint ?? 'unreadable'}; compare it with the host's own screen, not with the hub`,
    );
  if (opened.value.host !== hostId)
    throw unproven(
      'host.other-host',
      `cannot believe what is said about ${hostId}: the statement is about ${opened.value.host}`,
      'two hosts have one key, or the hub mixes them up; find out before anything is signed',
    );
  return { statement: opened.value, seen: seenIn(opened.value, digestOfText(signed.text)) };
}

/** An error where the statement is of another life of the host than the one that is believed. */
export function epochVerdict(statement: HostStatement, pin: Pin | undefined): CliError | undefined {
  const { hostEpoch } = statement;
  if (pin?.current === undefined || pin.current.hostEpoch === hostEpoch) return undefined;
  if (pin.former.some((life) => life.hostEpoch === hostEpoch))
    return unproven(
      'host.former-epoch',
      `cannot believe what is said about ${statement.host}: it is from an earlier life of the host (epoch ${hostEpoch})`,
      'an old statement is being shown; find out why before anything is signed',
    );
  return unproven(
    'host.other-epoch',
    `cannot go on with ${statement.host}: it began a new epoch (${hostEpoch}, before ${pin.current.hostEpoch}). ` +
      'Its journal is another one: the host was installed again, or its state directory was lost or replaced, ' +
      'and everything signed before is void',
    `find out why, then felhom hosts trust ${statement.host} --accept-epoch`,
  );
}

function refuseOlder(hostId: string, opened: OpenedStatement, newest: Seen): void {
  const { sequence, audit } = opened.statement;
  if (sequence < newest.sequence)
    throw unproven(
      'host.sequence-back',
      `cannot believe what is said about ${hostId}: statement ${sequence} is shown, but ${newest.sequence} was seen before`,
      'an old statement is being shown again, or the state directory of the host was rolled back',
    );
  if (sequence === newest.sequence && opened.seen.statement !== newest.statement)
    throw unproven(
      'host.sequence-forked',
      `cannot believe what is said about ${hostId}: there are two statements ${sequence}`,
      'two agents use the key of this host; find the other one before anything is signed',
    );
  if (audit.count < newest.audit.count || (audit.count === newest.audit.count && audit.head !== newest.audit.head))
    throw unproven(
      'host.audit-back',
      `cannot believe what is said about ${hostId}: its audit log had ${newest.audit.count} entries before and is another one now`,
      `felhom audit verify ${hostId}`,
    );
}

function refuseUntimely(hostId: string, statement: HostStatement, now: number, purpose: Purpose): void {
  const age = now - statement.at;
  if (purpose === 'signing' && age > oldestStatementMs)
    throw unproven(
      'host.statement-old',
      `cannot sign for ${hostId}: its newest statement is ${formatDuration(age)} old by this clock, at most ${formatDuration(oldestStatementMs)} are taken`,
      `look at felhom status ${hostId}: the host may be silent, the hub may keep newer ones back, or the clocks differ`,
    );
  if (-age > farthestAheadMs)
    throw unproven(
      'host.statement-ahead',
      `cannot sign for ${hostId}: its statement is ${formatDuration(-age)} ahead of this clock`,
      `set the clocks right; felhom status ${hostId} shows what the host says`,
    );
}

function verifiedTrust(hostId: string, statement: HostStatement, report: Report): TrustDocument | undefined {
  const altered = report.blocked.find((action) => digestOfBlocked(action.document) !== action.digest);
  if (altered !== undefined)
    throw unproven(
      'host.blocked-altered',
      `cannot believe the blocked actions of ${hostId}: ${altered.digest} is not the digest of what it names`,
      'the host itself contradicts itself; look at it before anything is signed',
    );
  const { trust } = report;
  if (trust.is !== 'held') return undefined;
  const found = digestOfTrust(trust.document);
  if (found === trust.digest && found === statement.trust?.digest && trust.document.host === hostId)
    return trust.document;
  throw unproven(
    'host.trust-altered',
    `cannot believe the trust document of ${hostId}: its digest is not the one that the host signed`,
    'try again after its next poll; if it stays, look at the host itself',
  );
}

function unproven(code: string, text: string, next: string): CliError {
  return new CliError(exitCodes.unproven, code, text, next);
}
