/**
 * What a host said about itself, kept as it was said: signed statements and copies of its audit log. The hub holds no
 * key to tell true from false; it keeps, compares, and never writes over anything.
 */
import type { Digest, HostId, SignedStatement } from '@felhom/protocol';

/** A statement that names the head of the audit log, by what the hub read out of it. */
export interface KeptStatement {
  readonly epoch: string;
  readonly sequence: number;
  readonly count: number;
  readonly head: Digest;
  /** By receipt, on the hub's clock. */
  readonly at: number;
  readonly signed: SignedStatement;
}

/** The copy of one epoch's log: entries 1 to `count` without a gap. */
export interface AuditCopy {
  readonly epoch: string;
  readonly count: number;
  /** When the first entry came. */
  readonly since: number;
}

/** Two texts for one number: the one that the hub held first stays in the copy, the other one is kept beside it. */
export interface AuditConflict {
  readonly epoch: string;
  readonly seq: number;
  readonly text: string;
  readonly at: number;
}

export interface TestimonyBounds {
  /** Epochs per host of which the highest statement is kept. */
  readonly epochs: number;
  /** Heads per host that are all kept; of older ones the last of each day. */
  readonly heads: number;
  readonly conflicts: number;
}

/** Kept as the newest one, and further as what is named; together with the contact that it came with. */
export interface StatementToKeep {
  readonly signed: SignedStatement;
  readonly highest?: KeptStatement | undefined;
  readonly head?: KeptStatement | undefined;
  readonly bounds: Pick<TestimonyBounds, 'epochs' | 'heads'>;
}

export interface TestimonyStore {
  /** The newest by receipt, readable or not. */
  newestStatement(hostId: HostId): Promise<SignedStatement | undefined>;
  /** That of the highest sequence within the epoch. */
  highestStatement(hostId: HostId, epoch: string): Promise<KeptStatement | undefined>;
  /** Lets go of highest statements that a later one of the same epoch has fallen behind of. */
  forgetHigherStatements(hostId: HostId, epoch: string, sequence: number): Promise<void>;
  /** Kept heads of an epoch with `from` ≤ count ≤ `to`, oldest first. */
  headsBetween(hostId: HostId, epoch: string, from: number, to: number): Promise<readonly KeptStatement[]>;
  lastHead(hostId: HostId, epoch: string): Promise<KeptStatement | undefined>;

  auditCopy(hostId: HostId, epoch: string): Promise<AuditCopy | undefined>;
  /** Copies of all epochs, oldest first. */
  auditCopies(hostId: HostId): Promise<readonly AuditCopy[]>;
  /** Bytes of all copies of a host, with what a row costs. */
  auditBytes(hostId: HostId): Promise<number>;
  /** At most `limit` texts from number `from` on. */
  auditEntries(hostId: HostId, epoch: string, from: number, limit: number): Promise<readonly string[]>;
  /** Puts entries behind the first `count` ones. `moved-on`: the copy has another count by now; nothing is done. */
  appendAudit(
    hostId: HostId,
    epoch: string,
    count: number,
    entries: readonly string[],
    now: number,
  ): Promise<'appended' | 'moved-on'>;
  auditConflicts(hostId: HostId): Promise<readonly AuditConflict[]>;
  /** Keeps other texts for numbers that are held, each once and at most `bounds.conflicts` in all. */
  keepConflicts(hostId: HostId, conflicts: readonly AuditConflict[], bounds: TestimonyBounds): Promise<void>;
  /** The first mark stands until it is cleared. */
  markAuditFork(hostId: HostId, mark: { readonly since: number; readonly text: string }): Promise<void>;
  clearAuditFork(hostId: HostId): Promise<void>;
}
