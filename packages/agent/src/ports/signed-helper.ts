/**
 * The verbs of the root helper that widen something. Each takes the operator's envelope, or only narrows; the helper
 * verifies the envelope again itself against root-owned files, so a taken-over agent gains nothing by asking [R13].
 */
import type { Outcome } from '../kernel/saga.ts';
import type { HelperOperation, HelperReceipt } from './host-helper.ts';

export interface SignedHelper {
  /**
   * Puts the next trust document in the place of the present one. The helper verifies the envelope again itself, under
   * the document that is in force, and refuses on its own account [R13].
   */
  trustUpdate(operation: HelperOperation, envelope: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Attaches or detaches a storage target as the envelope says; the helper verifies it again itself [R13]. */
  targetApply(operation: HelperOperation, envelope: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Puts what the envelope lets the tunnel in to in force: cloudflared's rules and both fences; verified there again [R13]. */
  tunnelApply(operation: HelperOperation, envelope: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Starts the second, otherwise absent tunnel for as long as the envelope says; it closes by itself [R9]. */
  breakGlassOpen(operation: HelperOperation, envelope: string, signal: AbortSignal): Promise<Outcome<void>>;
  /** Needs nobody's signature: closing only narrows. */
  breakGlassClose(operation: HelperOperation, signal: AbortSignal): Promise<Outcome<void>>;
  /** Until when the tunnel is open, milliseconds since the epoch; `undefined` = it is closed. */
  breakGlassShow(signal: AbortSignal): Promise<Outcome<{ readonly until: number } | undefined>>;
  /**
   * Root remembers the largest count it was ever told in this epoch of the host, and answers the one before: a journal
   * that counts less, or is of an epoch that was left, was put back from a copy [R11]. Whoever lies here voids signatures
   * and gains none.
   */
  witness(epoch: string, count: number, signal: AbortSignal): Promise<Outcome<number>>;
  /**
   * The receipt of one of these operations, or `undefined` if it was never completed. Of its own, because the program that
   * does them need not be the one behind `HostHelper`.
   */
  show(operation: HelperOperation, signal: AbortSignal): Promise<Outcome<HelperReceipt | undefined>>;
}
