/**
 * The actions that wait for a signature. Nobody files or withdraws one: each pass asks again, and what is no longer
 * asked for is gone, with whatever approval somebody may still be preparing for it [R40].
 */
import type { BlockedAction, Digest } from '@felhom/protocol';
import type { Effect } from '../authority/effects.ts';

export interface BlockedActions {
  /** A pass over the whole desired state begins. */
  beginPass(): void;
  /**
   * It came to its end: drops what it did not ask for. A pass that broke off must not call this. `unseen` says of which
   * subjects (`<uid>.<incarnation>`) the pass could not tell; theirs stay.
   */
  endPass(unseen?: ReadonlySet<string>): void;
  /** Asked for now. Keeps the day on which it was first asked for without a gap. */
  note(action: BlockedAction, effect: Effect): BlockedAction;
  /** By age, oldest first. */
  list(): readonly SeenBlockedAction[];
  find(digest: Digest): SeenBlockedAction | undefined;
}

export interface SeenBlockedAction {
  /** `since` of it is when it was first seen. */
  readonly action: BlockedAction;
  /** What an approval of it would do, as it was asked for last. */
  readonly effect: Effect;
  readonly lastSeen: number;
}

/** `firstSeen`: what an earlier run of the agent knew, digest → milliseconds since the epoch. */
export function createBlockedActions(firstSeen: ReadonlyMap<string, number> = new Map()): BlockedActions {
  const earlier = new Map(firstSeen);
  const known = new Map<Digest, SeenBlockedAction & { readonly pass: number }>();
  let pass = 0;
  return {
    beginPass: () => {
      pass += 1;
    },
    endPass: (unseen = new Set()) => {
      for (const [digest, seen] of known)
        if (seen.pass < pass && !unseen.has(seen.action.document.subject)) known.delete(digest);
      // One whole pass later, what an earlier run knew is either asked for again or past.
      if (unseen.size === 0) earlier.clear();
    },
    note: (asked, effect) => {
      const since = known.get(asked.digest)?.action.since ?? earlier.get(asked.digest) ?? asked.since;
      const action = { ...asked, since: Math.min(since, asked.since) };
      known.set(asked.digest, { action, effect, lastSeen: asked.since, pass });
      return action;
    },
    list: () =>
      [...known.values()]
        .map(({ action, effect, lastSeen }) => ({ action, effect, lastSeen }))
        .sort((a, b) => a.action.since - b.action.since || (a.action.digest < b.action.digest ? -1 : 1)),
    find: (digest) => known.get(digest),
  };
}
