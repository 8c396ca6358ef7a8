/** Testimony's part of a poll: keeps what the host says about itself, and compares it with what it said before. */
import type { HostId, PollAnswer, PollRequest } from '@felhom/protocol';
import type { ForkMark, HostRow } from '../store/store.ts';
import type { KeptStatement, StatementToKeep, TestimonyBounds, TestimonyStore } from '../store/testimony-store.ts';
import { findOtherHead, judgeAudit } from './judge-audit.ts';
import { compareStatement, readStatement } from './judge-statement.ts';

/** What one host may make the hub keep; a host with its own key must not fill the disk of all. */
export const testimonyBounds: TestimonyBounds & { readonly auditBytes: number } = {
  epochs: 100,
  heads: 1000,
  conflicts: 1000,
  /** Decades of an ordinary host. */
  auditBytes: 256 * 1024 * 1024,
};

export interface HeardTestimony {
  readonly auditCount: number;
  readonly newerStatement: PollAnswer['newerStatement'];
  /** Set where this poll is not of the one agent that the hub knows. */
  readonly fork: ForkMark | undefined;
  readonly auditFork: ForkMark | undefined;
  /** To be kept together with the contact. */
  readonly statement: StatementToKeep | undefined;
}

export async function hearTestimony(
  store: TestimonyStore,
  host: Pick<HostRow, 'hostId' | 'contact'>,
  poll: PollRequest,
  now: number,
): Promise<HeardTestimony> {
  const { hostId } = host;
  const highest = await store.highestStatement(hostId, poll.hostEpoch);
  const inAudit = poll.audit === undefined ? undefined : await hearAudit(store, hostId, poll, poll.audit, now);
  const heard = await hearStatement(store, hostId, poll, highest, now);
  const contradiction = inAudit ?? heard.contradiction;
  const auditFork = contradiction === undefined ? undefined : { since: now, text: contradiction };
  if (auditFork !== undefined) await store.markAuditFork(hostId, auditFork);
  const fork = heard.foreign ?? returnToEpoch(host.contact?.hostEpoch, poll, highest);
  return {
    auditCount: (await store.auditCopy(hostId, poll.hostEpoch))?.count ?? 0,
    newerStatement: highest !== undefined && highest.sequence >= poll.sequence ? highest.signed : undefined,
    fork: fork === undefined ? undefined : { since: now, text: fork },
    auditFork,
    statement: heard.keep,
  };
}

/** Whether the hub takes no more entries of this host. */
export async function auditCopyFull(store: TestimonyStore, hostId: HostId): Promise<boolean> {
  return (await store.auditBytes(hostId)) >= testimonyBounds.auditBytes;
}

/** An epoch ends for good; whoever comes back to it is another agent, or an older journal. */
function returnToEpoch(
  last: string | undefined,
  poll: PollRequest,
  highest: KeptStatement | undefined,
): string | undefined {
  if (last === undefined || last === poll.hostEpoch || highest === undefined) return undefined;
  return `poll ${poll.sequence} came from an epoch that this host had left: two agents use its key, or its journal was rolled back`;
}

async function hearAudit(
  store: TestimonyStore,
  hostId: HostId,
  { hostEpoch }: PollRequest,
  sent: NonNullable<PollRequest['audit']>,
  now: number,
): Promise<string | undefined> {
  // As SQLite and UTF-8 will give them back.
  const entries = sent.entries.map((text) => text.toWellFormed());
  const count = (await store.auditCopy(hostId, hostEpoch))?.count ?? 0;
  const [last] = count === 0 ? [] : await store.auditEntries(hostId, hostEpoch, count, 1);
  const overlap = sent.from > count ? [] : await store.auditEntries(hostId, hostEpoch, sent.from, entries.length);
  const verdict = judgeAudit({ from: sent.from, entries }, { count, last, overlap });
  if (verdict.conflicts.length > 0)
    await store.keepConflicts(
      hostId,
      verdict.conflicts.map((conflict) => ({ ...conflict, epoch: hostEpoch, at: now })),
      testimonyBounds,
    );
  if (verdict.append.length === 0 || (await auditCopyFull(store, hostId))) return verdict.contradiction;
  if ((await store.appendAudit(hostId, hostEpoch, count, verdict.append, now)) === 'moved-on')
    return verdict.contradiction;
  const heads = await store.headsBetween(hostId, hostEpoch, count + 1, count + verdict.append.length);
  return verdict.contradiction ?? findOtherHead(count + 1, verdict.append, heads);
}

async function hearStatement(
  store: TestimonyStore,
  hostId: HostId,
  poll: PollRequest,
  highest: KeptStatement | undefined,
  now: number,
): Promise<{
  readonly keep?: StatementToKeep;
  readonly contradiction?: string | undefined;
  readonly foreign?: string;
}> {
  const signed = poll.statement;
  if (signed === undefined) return {};
  const read = readStatement(poll, signed, now);
  if (read.is === 'foreign') return { foreign: read.text };
  if (read.is === 'opaque') return { keep: { signed, bounds: testimonyBounds } };
  const said = read.statement;
  const entries = said.count === 0 ? [] : await store.auditEntries(hostId, said.epoch, said.count, 1);
  const verdict = compareStatement(said, {
    highest,
    lastHead: await store.lastHead(hostId, said.epoch),
    sameCount: await store.headsBetween(hostId, said.epoch, said.count, said.count),
  });
  return {
    keep: {
      signed,
      highest: verdict.isHighest ? said : undefined,
      head: verdict.isNewHead ? said : undefined,
      bounds: testimonyBounds,
    },
    contradiction: verdict.contradiction ?? findOtherHead(said.count, entries, [said]),
  };
}
