/**
 * The journal as the kernel needs it: append, and read back. The one implementation lies on SQLite
 * (`adapters/sqlite-journal`); everything here is synchronous, because "durable" must be true when a call returns.
 */
import type { FactRecord, JournalRecord, SagaRecord, UnreadableRecord } from './records.ts';

export interface Journal extends Documents {
  /** Number of this opening. Every opening is one higher; an append under an older one is refused. */
  readonly epoch: number;
  /** 128 random bits minted with the journal, lower-case hex. A new journal voids every earlier signature [R11]. */
  readonly hostEpoch: string;
  /** Another 32 hex digits, durable when it returns: this journal turned out to be older than what the host has said. */
  renewHostEpoch(next: string): void;
  /**
   * Writes all of it or nothing, in one transaction that also checks the epoch; on disk when it returns.
   * Throws `JournalError`.
   */
  append(records: readonly JournalRecord[], documents?: readonly DocumentWrite[]): void;
  /** All records of one saga in order; empty when there are none (any more). */
  recordsOf(saga: string): readonly (SagaRecord | UnreadableRecord)[];
  /** Ids of the sagas that have not ended, oldest first. Parked ones are among them. */
  openSagas(): readonly string[];
  /** The newest sagas, ended ones too, newest first. */
  recentSagas(limit: number): readonly string[];
  /** The newest facts of a topic, newest first. */
  facts(topic: string, limit: number): readonly FactRecord[];
  /** The epoch as it stands on disk now. */
  storedEpoch(): number;
  close(): void;
}

/**
 * Durable documents of other rooms, by key (`guest/<uid>`). A document written together with records is durable with
 * them or not at all.
 */
export interface Documents {
  get(key: string): StoredDocument | undefined;
  put(document: StoredDocument): void;
  remove(key: string): void;
  /** All documents whose key begins with `prefix`, by key. */
  list(prefix: string): readonly StoredDocument[];
}

export interface StoredDocument {
  readonly key: string;
  /** Version of the body's shape, owned by the room that wrote it. */
  readonly v: number;
  /** JSON. */
  readonly body: unknown;
}

export type DocumentWrite = { readonly put: StoredDocument } | { readonly remove: string };

export type JournalErrorCode =
  /** Another process holds the state directory. */
  | 'journal-locked'
  /** The file is truncated, altered, missing or not a journal. It is never replaced. */
  | 'journal-damaged'
  /** Written by a newer release. */
  | 'journal-newer'
  /** Somebody opened the journal after us; we must not write any more. */
  | 'journal-fenced'
  /** The disk refused (full, read-only, gone), or the journal is closed. */
  | 'journal-io';

export class JournalError extends Error {
  readonly code: JournalErrorCode;
  constructor(code: JournalErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'JournalError';
    this.code = code;
  }
}
