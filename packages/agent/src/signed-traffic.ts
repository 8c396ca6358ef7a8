/**
 * What goes between this host and its operators by way of a hub that is believed nothing: statements and audit entries
 * up, envelopes down. Without a hub the same statement is printed for an operator to carry.
 */
import { maxAuditEntriesPerPoll, openStatement, reason, signatureNamespaces, statementText } from '@felhom/protocol';
import type { Digest, HostId, Reason, SignedStatement } from '@felhom/protocol';
import type { AuditLog } from './audit/index.ts';
import type { SignedTraffic } from './hub-link/index.ts';
import type { Jobs } from './jobs/index.ts';
import type { Clock, Journal, Random } from './kernel/index.ts';
import type { HostKey } from './ports/signatures.ts';
import type { TrustStore } from './ports/trust-store.ts';
import type { TrustedTime } from './trust/index.ts';

export interface SignedTrafficNeeds {
  readonly host: HostId;
  readonly hostKey: HostKey;
  readonly journal: Journal;
  readonly audit: AuditLog;
  readonly jobs: Pick<Jobs, 'bring' | 'taken'>;
  readonly time: TrustedTime;
  readonly trust: TrustStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
  /** This journal has forgotten: earlier signatures are void from the moment it returns. */
  readonly rolledBack: (why: Reason, detail: Readonly<Record<string, number>>) => void;
}

export function createSignedTraffic(needs: SignedTrafficNeeds): SignedTraffic {
  const { journal, audit, jobs, time, hostKey } = needs;
  /** Of this run; a hub that says nothing gets nothing. */
  let hubHas: number | undefined;
  /** Texts that this run signed last: whoever shows one of them shows nothing new. */
  let signedHere: readonly string[] = [];

  const statement = (sequence: number, reportDigest: Digest, lastPassAt: number | undefined): SignedStatement => {
    const trust = needs.trust.read();
    const text = statementText({
      v: 1,
      host: needs.host,
      hostEpoch: journal.hostEpoch,
      sequence,
      at: Math.max(0, Math.trunc(needs.clock.now())),
      ...(lastPassAt === undefined ? {} : { lastPassAt: Math.max(0, Math.trunc(lastPassAt)) }),
      challenge: time.challenge(),
      reportDigest,
      audit: audit.head(),
      trust: trust.is === 'held' ? { version: trust.document.version, digest: trust.digest } : null,
    });
    signedHere = [...signedHere, text].slice(-mostSignedKept);
    return { text, signature: hostKey.sign(signatureNamespaces.report, Buffer.from(text, 'utf8')) };
  };

  /**
   * A statement of this very host and epoch that is not behind this poll can only come from a later state of this
   * journal, or from a second agent with this host's key. In both cases jobs may have run that this journal does not
   * know, so all earlier signatures are void [R11].
   */
  const noticeRollback = (newer: SignedStatement, sequence: number): void => {
    const opened = openStatement(hostKey.publicLine, newer);
    if (opened.is !== 'ok') return;
    const said = opened.value;
    if (said.host !== needs.host || said.hostEpoch !== journal.hostEpoch || said.sequence < sequence) return;
    // That of this very poll, or one that was printed while the hub let the poll wait.
    if (signedHere.includes(newer.text)) return;
    const why = reason(
      'journal.rolled-back',
      `the journal of ${needs.host} is older than what this host has signed: it counts polls to ${sequence}, and poll ` +
        `${said.sequence} was signed already; every earlier signature is void`,
    );
    needs.rolledBack(why, { sequence, signed: said.sequence, auditCount: said.audit.count });
  };

  return {
    statement,
    taken: () => jobs.taken(),
    audit: () => {
      if (hubHas === undefined) return undefined;
      const entries = fitting(audit.from(hubHas + 1, maxAuditEntriesPerPoll));
      return entries.length === 0 ? undefined : { from: hubHas + 1, entries: [...entries] };
    },
    brought: ({ envelopes, auditCount, newerStatement }, sequence) => {
      hubHas = auditCount;
      if (newerStatement !== undefined) noticeRollback(newerStatement, sequence);
      jobs.bring(envelopes);
    },
  };
}

/** More than root prints while one poll is under way. */
const mostSignedKept = 64;
/** A poll carries a report and perhaps a held document besides. */
const mostAuditBytes = 262_144;

function fitting(entries: readonly string[]): readonly string[] {
  let bytes = 0;
  return entries.filter((entry) => (bytes += Buffer.byteLength(entry, 'utf8')) <= mostAuditBytes);
}
