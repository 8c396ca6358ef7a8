/**
 * Numbers the polls, strictly increasing within one journal. Each number is durable before it is used, so that a crash
 * skips one and never repeats one. Not in blocks: a journal that is put back is known by numbers that were used since
 * [R11], and a block that it skips would hide exactly the last hours, in which signatures still count.
 */
import type { HeldStateStore } from './held-store.ts';

export interface PollSequence {
  next(): number;
}

/** Throws when the stored value is damaged: repeating numbers would look like a second agent with this host's key. */
export function createPollSequence(store: HeldStateStore): PollSequence {
  const stored = store.get();
  let last = stored === undefined ? 0 : Number(stored);
  if (!Number.isSafeInteger(last) || last < 0)
    throw new Error(`cannot number polls: the stored sequence is not a number. Restore the journal or start a new one`);
  return {
    next() {
      store.put(String(last + 1));
      last += 1;
      return last;
    },
  };
}
