/**
 * Whether an offered document becomes the desired state. It is taken whole or not at all: whatever is wrong with it,
 * the last good one stays in force and the operator sees why. Pure.
 */
import {
  desiredState,
  desiredStateVersions,
  digestOfText,
  maxDesiredStateBytes,
  parseVersionedJson,
  reason,
} from '@felhom/protocol';
import type {
  DesiredOffer,
  DesiredState,
  Digest,
  ErrorCode,
  HeldDesiredState,
  Reason,
  Versioned,
} from '@felhom/protocol';

/** What this host goes by. Unreadable plans nothing, like never-received, but is reported as the trouble it is. */
export type Held =
  | { readonly is: 'never-received' }
  | {
      readonly is: 'held';
      readonly state: DesiredState;
      readonly digest: Digest;
      readonly receivedAt: number;
      /** The exact bytes that the digest is of. */
      readonly text: string;
    }
  | { readonly is: 'unreadable'; readonly why: Reason };

export type Adoption =
  | { readonly is: 'adopted'; readonly held: Extract<Held, { is: 'held' }> }
  | { readonly is: 'kept' }
  /** Kept, and somebody has to know. */
  | { readonly is: 'refused'; readonly why: Reason };

export const desiredStateKind: Versioned<DesiredState> = {
  what: 'desired state',
  versions: desiredStateVersions,
  schema: desiredState,
};

/** Decides over one offer. `now` is wall time in milliseconds and becomes `receivedAt`. */
export function adoptDesired(offer: DesiredOffer, held: Held, now: number): Adoption {
  switch (offer.is) {
    case 'nothing':
    case 'unchanged':
      return { is: 'kept' };
    case 'withheld':
      return {
        is: 'refused',
        why: reason('desired.withheld', `cannot fetch desired state: the hub serves none for this host: ${offer.why}`),
      };
    case 'document':
      return adoptDocument(offer, held, now);
  }
}

function adoptDocument(offer: Extract<DesiredOffer, { is: 'document' }>, held: Held, now: number): Adoption {
  const bytes = Buffer.byteLength(offer.text, 'utf8');
  if (bytes > maxDesiredStateBytes)
    return refuse('desired.too-large', `the document has ${bytes} bytes, at most ${maxDesiredStateBytes} are taken`);
  const digest = digestOfText(offer.text);
  if (digest !== offer.digest)
    return refuse('desired.digest-mismatch', `the text has digest ${digest}, announced was ${offer.digest}`);
  const parsed = parseVersionedJson(desiredStateKind, offer.text);
  if (parsed.is === 'unknown-version') return { is: 'refused', why: reason('desired.unknown-version', parsed.text) };
  if (parsed.is === 'invalid') return { is: 'refused', why: reason('desired.unreadable', parsed.text) };
  const state = parsed.value;
  const adopted: Adoption = { is: 'adopted', held: { is: 'held', state, digest, receivedAt: now, text: offer.text } };
  if (held.is !== 'held') return adopted;
  const mine = held.state;
  if (state.lineage !== mine.lineage)
    return offer.replaces === mine.lineage
      ? adopted
      : refuse(
          'desired.other-lineage',
          `it belongs to lineage ${state.lineage}, held is ${mine.lineage} generation ${mine.generation}, and no operator ` +
            'declared that the one replaces the other; choose with felhom desired resolve',
        );
  if (state.generation < mine.generation)
    return refuse(
      'desired.older-generation',
      `generation ${state.generation} is older than the held ${mine.generation}; choose with felhom desired resolve`,
    );
  if (state.generation > mine.generation) return adopted;
  if (digest === held.digest) return { is: 'kept' };
  return refuse(
    'desired.same-generation-differs',
    `generation ${state.generation} with digest ${digest} is not the held one (${held.digest}); apply it again as a new generation`,
  );
}

function refuse(code: ErrorCode, because: string): Adoption {
  return {
    is: 'refused',
    why: reason(code, `cannot adopt desired state: ${because}. The last good one stays in force`),
  };
}

/** As the reconciler takes it: unreadable is not a state to plan from. */
export function heldForPlanning(held: Held): HeldDesiredState {
  if (held.is !== 'held') return { is: 'never-received' };
  return { is: 'held', state: held.state, digest: held.digest, receivedAt: held.receivedAt };
}
