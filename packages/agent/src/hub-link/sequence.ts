/**
 * Numbers the polls, strictly increasing within one journal. A block is reserved durably before its first number is
 * used, so that a crash skips numbers and never repeats one, at one write per thousand polls.
 */
import type { HeldStateStore } from './held-store.ts';

export interface PollSequence {
  next(): number;
}

const block = 1000;

/** Throws when the stored value is damaged: repeating numbers would look like a second agent with this host's key. */
export function createPollSequence(store: HeldStateStore): PollSequence {
  const stored = store.get();
  let last = stored === undefined ? 0 : Number(stored);
  if (!Number.isSafeInteger(last) || last < 0)
    throw new Error(`cannot number polls: the stored sequence is not a number. Restore the journal or start a new one`);
  let reserved = last;
  return {
    next() {
      last += 1;
      if (last > reserved) {
        reserved = last + block - 1;
        store.put(String(reserved));
      }
      return last;
    },
  };
}
