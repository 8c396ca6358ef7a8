/**
 * An agent that was overtaken gets nothing changed by root any more [R49]. Each opening of a journal has a higher number
 * than the one before; root remembers the highest that ever asked, in a file of its own. A process that was stopped and
 * goes on later has a lower one.
 *
 * A journal that was put back from a copy has a lower one too, and must not be locked out for ever: it is told by `witness`,
 * which it asks when it starts, that it is older than what root remembers. It then begins a new epoch of the host, which
 * voids every earlier signature [R11], and which root takes. One that was overtaken cannot begin an epoch: its journal
 * takes nothing from it.
 */
import type { HelperReceipt } from '../ports/host-helper.ts';
import { epochWasLeft } from './witness-count.ts';
import type { WitnessCount } from './witness-count.ts';

interface Asked {
  readonly verb: string;
  readonly fence?: { readonly epoch: string; readonly opening: number } | undefined;
}

type Answer =
  | { readonly is: 'done'; readonly witnessed: number; readonly receipt?: HelperReceipt }
  | { readonly is: 'busy'; readonly text: string }
  | undefined;

/** What only looks, and what has to work whoever asks: closing narrows. */
const free: ReadonlySet<string> = new Set(['show', 'break-glass-show', 'break-glass-close']);

/** What to answer instead of doing it; `undefined`: it may be done. Throws what the disk throws. */
export function whyOvertaken({ verb, fence }: Asked, highest: WitnessCount): Answer {
  if (free.has(verb) || fence === undefined) return undefined;
  const before = highest.raise(fence.epoch, fence.opening);
  if (before !== epochWasLeft && before <= fence.opening) return undefined;
  if (verb === 'witness') return { is: 'done', witnessed: epochWasLeft };
  const said = before === epochWasLeft ? 'its epoch of the host was left' : `a later one (${before}) has asked since`;
  // Not "refused": whoever was overtaken must not take that for a reason to undo something.
  return {
    is: 'busy',
    text: `cannot ${verb}: the agent that asks was overtaken: it is opening ${fence.opening}, and ${said}`,
  };
}
