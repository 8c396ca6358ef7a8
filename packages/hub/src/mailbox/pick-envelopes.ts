/** Which envelopes one answer carries. Pure. */
import { maxEnvelopesPerPoll } from '@felhom/protocol';
import type { WaitingEnvelope } from '../store/mailbox-store.ts';

/** Bytes of all envelopes of one answer, as JSON strings; more than any single one can have. */
export const mostBytesPerAnswer = 1_048_576;

export interface PickedEnvelopes {
  /** Oldest first, because an order may take back the one before it. */
  readonly places: readonly number[];
  /** Where the next answer begins. */
  readonly after: number;
}

/**
 * Round robin: where not all fit, the next answer goes on behind the last one that was sent. An envelope that is never
 * taken thus holds up none of the others, and a stream of new ones does not hold up an old one.
 */
export function pickEnvelopes(waiting: readonly WaitingEnvelope[], after: number): PickedEnvelopes {
  const inTurn = [...waiting.filter(({ place }) => place > after), ...waiting.filter(({ place }) => place <= after)];
  const picked: number[] = [];
  let bytes = 0;
  for (const envelope of inTurn) {
    bytes += envelope.bytes;
    if (picked.length === maxEnvelopesPerPoll || bytes > mostBytesPerAnswer) break;
    picked.push(envelope.place);
  }
  const last = picked.at(-1);
  return {
    places: picked.toSorted((a, b) => a - b),
    after: last === undefined || picked.length === waiting.length ? after : last,
  };
}
