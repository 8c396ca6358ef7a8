/** What a poll means and what it is answered, decided over facts. Pure. */
import { digestOfText } from '@felhom/protocol';
import type { DesiredOffer, HeldReference, PollRequest } from '@felhom/protocol';
import type { ContactRow, DesiredRow, ForkMark, HostRow, StaleMark } from '../store/store.ts';

export interface PollDecision {
  readonly offer: DesiredOffer;
  readonly sendReport: boolean;
  readonly sendHeld: boolean;
  /** Set when it changed with this poll. */
  readonly stale: StaleMark | undefined;
  readonly fork: ForkMark | undefined;
}

/** `now` is the hub's time of receipt in milliseconds. */
export function decidePoll(
  host: Pick<HostRow, 'contact' | 'report' | 'desired' | 'stale'>,
  request: PollRequest,
  now: number,
): PollDecision {
  const stale = markStale(host.stale, host.desired, request, now);
  const inForce = stale ?? host.stale;
  return {
    offer: inForce === undefined ? offerDesired(host.desired, request.held) : withheld(inForce),
    sendReport: request.report === undefined && host.report?.digest !== request.reportDigest,
    sendHeld: inForce !== undefined && inForce.text === undefined && request.held.is === 'held',
    stale,
    fork: markFork(host.contact, request, now),
  };
}

function withheld(mark: StaleMark): DesiredOffer {
  return {
    is: 'withheld',
    why: `this host reported generation ${mark.generation}, which the hub does not have; an operator has to choose with felhom desired resolve`,
  };
}

function offerDesired(current: DesiredRow | undefined, held: HeldReference): DesiredOffer {
  if (current === undefined) return { is: 'nothing' };
  if (held.is === 'held' && held.digest === current.digest) return { is: 'unchanged' };
  return {
    is: 'document',
    digest: current.digest,
    text: current.text,
    ...(current.replaces === undefined ? {} : { replaces: current.replaces }),
  };
}

/**
 * A hub that was restored from a backup knows less than its hosts. It must not push its old document, and must not take
 * a week-old edit for the next generation: from the moment it notices, only an operator moves things on [R38].
 */
function markStale(
  mark: StaleMark | undefined,
  current: DesiredRow | undefined,
  request: PollRequest,
  now: number,
): StaleMark | undefined {
  const { held } = request;
  if (held.is !== 'held' || (mark === undefined && !isAhead(held, current))) return undefined;
  const same = mark?.digest === held.digest;
  const sent = request.heldText;
  // Only the very bytes that the host goes by are a copy that an operator may adopt.
  const arrived = sent !== undefined && digestOfText(sent) === held.digest ? sent : undefined;
  const text = arrived ?? (same ? mark.text : undefined);
  if (same && text === mark.text) return undefined;
  return {
    lineage: held.lineage,
    generation: held.generation,
    digest: held.digest,
    since: mark?.since ?? now,
    text,
  };
}

/** Whether the host holds a document that the hub's current one does not lawfully follow. */
export function isAhead(held: Extract<HeldReference, { is: 'held' }>, current: DesiredRow | undefined): boolean {
  if (current === undefined) return true;
  if (held.lineage !== current.lineage) return current.replaces !== held.lineage;
  if (held.generation === current.generation) return held.digest !== current.digest;
  return held.generation > current.generation;
}

/** A retry after a lost answer has a number of its own, so a number that repeats or falls is never one. */
function markFork(last: ContactRow | undefined, request: PollRequest, now: number): ForkMark | undefined {
  if (last === undefined || last.hostEpoch !== request.hostEpoch || request.sequence > last.sequence) return undefined;
  return {
    since: now,
    text: `poll ${request.sequence} came after ${last.sequence}: two agents use this host's key, or its journal was rolled back`,
  };
}
