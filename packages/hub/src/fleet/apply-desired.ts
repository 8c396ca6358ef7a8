/** The next document of a host, from what an operator wants. Pure. */
import { digestOfText } from '@felhom/protocol';
import type { DesiredState } from '@felhom/protocol';
import type { DesiredRow, StaleMark } from '../store/store.ts';

export interface Author {
  readonly name: string;
  /** Wall time of the hub in milliseconds. */
  readonly now: number;
}

/** What a document asks for, apart from which document it is. */
export type DesiredContent = Pick<DesiredState, 'guests' | 'backups'>;

/**
 * `startOver`: the host leaves the lineage it is in, because an operator said so. Which one it leaves is said again
 * with every later generation, because the host may not have asked in between. A lineage whose numbers are used up,
 * which only a lying host can bring about, is left in the same way.
 */
export function nextDesired(
  content: DesiredContent,
  current: Pick<DesiredRow, 'lineage' | 'generation' | 'replaces'> | undefined,
  lineage: { readonly fresh: string; readonly startOver: boolean },
  author: Author,
): DesiredRow {
  const stays = current !== undefined && !lineage.startOver && current.generation < Number.MAX_SAFE_INTEGER;
  const state: DesiredState = {
    v: 1,
    lineage: stays ? current.lineage : lineage.fresh,
    generation: stays ? current.generation + 1 : 1,
    guests: [...content.guests],
    backups: content.backups,
  };
  return toRow(state, stays ? current.replaces : current?.lineage, author);
}

/**
 * Ends stale-hub: the chosen content becomes the generation above what the host holds, in the host's own lineage, so that
 * the host takes it without anybody having to declare a change of lineage. `highest` is the last generation of that
 * lineage that the hub itself has given, 0 for none: no number is given twice. Where no number is left, `fresh` is the
 * lineage that replaces it.
 */
export function resolveStale(
  content: DesiredContent,
  mark: StaleMark,
  lineage: { readonly highest: number; readonly fresh: string },
  author: Author,
): DesiredRow {
  const last = Math.max(mark.generation, lineage.highest);
  const stays = last < Number.MAX_SAFE_INTEGER;
  const state: DesiredState = {
    v: 1,
    lineage: stays ? mark.lineage : lineage.fresh,
    generation: stays ? last + 1 : 1,
    guests: [...content.guests],
    backups: content.backups,
  };
  return toRow(state, stays ? undefined : mark.lineage, author);
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
