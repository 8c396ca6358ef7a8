/** What a poll carries besides report and desired state: what the host signs, and what operators signed for it. */
import type { Digest, PollAnswer, PollRequest, SignedStatement } from '@felhom/protocol';

export interface SignedTraffic {
  /** Signed anew for every poll. `lastPassAt`: wall time of the last completed pass. */
  statement(sequence: number, reportDigest: Digest, lastPassAt: number | undefined): SignedStatement;
  /** Envelopes that need not come again. */
  taken(): readonly Digest[];
  /** Entries of the audit log that the hub lacks, by what it said last. */
  audit(): PollRequest['audit'];
  /** `sequence`: that of the poll. Must not throw and must not wait: polls go on whatever is in an envelope. */
  brought(answer: Pick<PollAnswer, 'envelopes' | 'auditCount' | 'newerStatement'>, sequence: number): void;
}
