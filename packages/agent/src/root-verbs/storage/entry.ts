/** What root has to do so that the entry of Proxmox is what the table of them says (`storage-entry.ts`). Pure. */
import { differenceText, entryDifferences } from '../../storage-entry.ts';
import type { EntryOptions } from '../../storage-entry.ts';

export type EntryChange =
  | { readonly is: 'same' }
  | { readonly is: 'create'; readonly params: EntryOptions }
  | { readonly is: 'update'; readonly params: EntryOptions; readonly remove: readonly string[] }
  /** There is another thing under its name. */
  | { readonly is: 'other'; readonly text: string };

/** What leads from the entry that is there to the one that should be. Other settings of a person's stay. */
export function entryChange(found: EntryOptions | undefined, wanted: EntryOptions): EntryChange {
  if (found === undefined) return { is: 'create', params: wanted };
  const differences = entryDifferences(found, wanted);
  const [first] = differences;
  if (first === undefined) return { is: 'same' };
  if (first.fixed) return { is: 'other', text: `${differenceText(first)}, which Proxmox cannot change` };
  return {
    is: 'update',
    params: Object.fromEntries(differences.flatMap((one) => (one.wanted === undefined ? [] : [[one.key, one.wanted]]))),
    remove: differences.flatMap((one) => (one.wanted === undefined ? [one.key] : [])),
  };
}
