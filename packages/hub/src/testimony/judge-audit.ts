/** What entries of an audit log are worth beside those that the hub holds. Pure. */
import { auditEntry, chainStart, digestOfText } from '@felhom/protocol';
import type { AuditEntry } from '@felhom/protocol';
import type { KeptStatement } from '../store/testimony-store.ts';

export interface AuditVerdict {
  /** Belong behind those that are held. */
  readonly append: readonly string[];
  /** Cannot be true together with those that are held. */
  readonly conflicts: readonly { readonly seq: number; readonly text: string }[];
  readonly contradiction: string | undefined;
}

export interface HeldEntries {
  /** How many are held. */
  readonly count: number;
  /** Text of the last of them. */
  readonly last: string | undefined;
  /** Texts from the first number that was sent on, as far as they are held. */
  readonly overlap: readonly string[];
}

const nothing: AuditVerdict = { append: [], conflicts: [], contradiction: undefined };

/**
 * Entries behind a gap are not taken; the host sends from the count that it is told. Of those that are held already
 * only the sameness matters. What this release cannot read is kept as it is: a later one of the host may write it.
 */
export function judgeAudit(
  sent: { readonly from: number; readonly entries: readonly string[] },
  held: HeldEntries,
): AuditVerdict {
  if (sent.from > held.count + 1) return nothing;
  if (sent.from === held.count + 1) return follow(sent.entries, held);
  const conflicts = sent.entries.flatMap((text, at) =>
    held.overlap[at] === undefined || held.overlap[at] === text ? [] : [{ seq: sent.from + at, text }],
  );
  const [first] = conflicts;
  if (first === undefined) return nothing;
  return { append: [], conflicts, contradiction: `entry ${first.seq} of the audit log came with two texts` };
}

/** Takes entries as long as each names the one before it. */
function follow(texts: readonly string[], { count, last }: HeldEntries): AuditVerdict {
  let before: string = last === undefined ? chainStart : digestOfText(last);
  for (const [at, text] of texts.entries()) {
    const seq = count + 1 + at;
    const entry = read(text);
    if (entry !== undefined && (entry.seq !== seq || entry.prev !== before))
      return {
        append: texts.slice(0, at),
        conflicts: [{ seq, text }],
        contradiction: `entry ${seq} of the audit log does not follow the one before it`,
      };
    before = digestOfText(text);
  }
  return { append: texts, conflicts: [], contradiction: undefined };
}

/**
 * The first statement whose head is not that of the entry it counts to. The digest of an entry is that of its one text.
 * `entries` begin with number `from`; statements that count to others are passed over.
 */
export function findOtherHead(
  from: number,
  entries: readonly string[],
  heads: readonly Pick<KeptStatement, 'count' | 'head' | 'sequence'>[],
): string | undefined {
  const other = heads.find(({ count, head }) => {
    const text = entries[count - from];
    return text !== undefined && digestOfText(text) !== head;
  });
  return other === undefined
    ? undefined
    : `statement ${other.sequence} names another entry ${other.count} of the audit log than the hub holds`;
}

function read(text: string): AuditEntry | undefined {
  try {
    return auditEntry.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
