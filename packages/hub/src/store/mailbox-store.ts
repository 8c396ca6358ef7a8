/**
 * Envelopes for hosts, as the hub keeps them: bytes with a digest, in the order in which they came. What they say is
 * nobody's business here.
 */
import type { Digest, HostId } from '@felhom/protocol';

export interface EnvelopeRow {
  readonly digest: Digest;
  readonly text: string;
  readonly putAt: number;
  readonly putBy: string;
  /** When the host said that it need not be sent again. */
  readonly takenAt: number | undefined;
}

/** One that waits, without its text. */
export interface WaitingEnvelope {
  /** Rises with every envelope that comes. */
  readonly place: number;
  /** Bytes of the text as a JSON string, which is how it travels. */
  readonly bytes: number;
}

export interface MailboxStore {
  /**
   * Keeps an envelope under its digest. The same text is the same envelope, also after it was taken. `full`: as many
   * as `mostWaiting` wait already.
   */
  putEnvelope(
    hostId: HostId,
    row: Omit<EnvelopeRow, 'takenAt'>,
    mostWaiting: number,
  ): Promise<'put' | 'there-already' | 'full'>;
  /** Those that wait, oldest first, and after them those that were taken, newest first and at most `mostTaken`. */
  envelopes(hostId: HostId, mostTaken: number): Promise<readonly EnvelopeRow[]>;
  /** Takes back one that still waits. */
  withdrawEnvelope(hostId: HostId, digest: string): Promise<'withdrawn' | 'taken' | 'unknown'>;
  /** In the order of their turns: that in which they came or were last moved to the back. */
  waitingEnvelopes(hostId: HostId): Promise<readonly WaitingEnvelope[]>;
  /** Texts of the envelopes at these places, in the order of `places`. */
  textsAt(hostId: HostId, places: readonly number[]): Promise<readonly string[]>;
  moveToBack(hostId: HostId, places: readonly number[]): Promise<void>;
  /** The host named these digests; others than its own envelopes mean nothing. Forgets those taken before `keepFrom`. */
  markTaken(hostId: HostId, digests: readonly string[], now: number, keepFrom: number): Promise<void>;
  mailboxCounts(hostId: HostId): Promise<{ readonly waiting: number; readonly taken: number }>;
}
