/** Which envelopes one answer carries. Pure. */
import { maxEnvelopesPerPoll } from '@felhom/protocol';
import type { WaitingEnvelope } from '../store/mailbox-store.ts';

/** Bytes of all envelopes of one answer, as JSON strings; more than any single one can have. */
export const mostBytesPerAnswer = 1_048_576;

export interface PickedEnvelopes {
  /** Oldest first, because an order may take back the one before it. */
  readonly places: readonly number[];
  /** Not all fit: these go to the back of the queue, so that the others come first next time. */
  readonly moveToBack: boolean;
}

/**
 * `inTurn`: all that wait, in the order of their turns. With new ones and sent ones going to the back, an envelope that
 * is never taken holds up none of the others, and a stream of new ones holds up no old one.
 */
export function pickEnvelopes(inTurn: readonly WaitingEnvelope[]): PickedEnvelopes {
  const picked: number[] = [];
  let bytes = 0;
  for (const envelope of inTurn) {
    bytes += envelope.bytes;
    if (picked.length === maxEnvelopesPerPoll || bytes > mostBytesPerAnswer) break;
    picked.push(envelope.place);
  }
  return { places: picked.toSorted((a, b) => a - b), moveToBack: picked.length < inTurn.length };
}
