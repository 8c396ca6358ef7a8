/** The next document of a host, from what an operator wants. Pure. */
import { digestOfText } from '@felhom/protocol';
import type { DesiredGuest, DesiredRef, DesiredState } from '@felhom/protocol';
import type { DesiredRow, StaleMark } from '../store/store.ts';

export interface Author {
  readonly name: string;
  /** Wall time of the hub in milliseconds. */
  readonly now: number;
}

/** `newLineage` starts over: the host leaves the lineage it is in, because an operator said so. */
export function nextDesired(
  guests: readonly DesiredGuest[],
  current: DesiredRef | undefined,
  lineage: { readonly fresh: string; readonly startOver: boolean },
  author: Author,
): DesiredRow {
  const stays = current !== undefined && !lineage.startOver;
  const state: DesiredState = {
    v: 1,
    lineage: stays ? current.lineage : lineage.fresh,
    generation: stays ? current.generation + 1 : 1,
    guests: [...guests],
  };
  return toRow(state, stays ? undefined : current?.lineage, author);
}

/**
 * Ends stale-hub: the chosen guests become the generation above what the host holds, in the host's own lineage, so that
 * the host takes it without anybody having to declare a change of lineage.
 */
export function resolveStale(guests: readonly DesiredGuest[], mark: StaleMark, author: Author): DesiredRow {
  const state: DesiredState = {
    v: 1,
    lineage: mark.lineage,
    generation: mark.generation + 1,
    guests: [...guests],
  };
  return toRow(state, undefined, author);
}

function toRow(state: DesiredState, replaces: string | undefined, author: Author): DesiredRow {
  const text = JSON.stringify(state);
  return {
    lineage: state.lineage,
    generation: state.generation,
    digest: digestOfText(text),
    text,
    replaces,
    putAt: author.now,
    putBy: author.name,
  };
}
