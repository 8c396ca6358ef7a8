/**
 * Whether a copy of a host's audit log is whole: entries chained, and every head that the host ever signed in its place.
 * A copy that was cut at its end is whole in itself; only a signed head tells [R42]. Pure.
 */
import { auditEntry, digestOfEntry, emptyChain, openStatement, verifyChain } from '@felhom/protocol';
import type { AuditEntry, ChainCheck, ChainHead, HostStatement, SignedStatement } from '@felhom/protocol';
import type { Pin } from './pins.ts';

export interface AuditCopy {
  readonly host: string;
  readonly epoch: string;
  /** Texts of entries from number 1 on. */
  readonly entries: readonly string[];
  readonly heads: readonly SignedStatement[];
  /** Other texts that the host sent for numbers that it had sent before. */
  readonly conflicts: readonly { readonly seq: number }[];
}

export interface AuditFault {
  readonly is: 'cut' | 'edited' | 'unreadable' | 'forked' | 'not-the-host';
  /** Number of the first entry that is in doubt. */
  readonly at: number;
  readonly text: string;
}

export interface AuditVerdict {
  readonly count: number;
  readonly head: ChainHead;
  /** Heads signed by the host that are in their place. */
  readonly confirmed: number;
  /** Highest entry that a signed head vouches for. */
  readonly confirmedTo: number;
  readonly faults: readonly AuditFault[];
}

/** `pin`: its key verifies the heads; the newest head that this operator saw counts as well. */
export function checkAudit(copy: AuditCopy, pin: Pick<Pin, 'key' | 'current' | 'former'> | undefined): AuditVerdict {
  const chain = verifyChain(copy.entries);
  const faults: AuditFault[] = chain.is === 'broken' ? [{ is: chain.why, at: chain.at, text: chain.text }] : [];
  const sound = chain.is === 'broken' ? copy.entries.slice(0, soundUntil(chain)) : copy.entries;
  const digests = sound.map((text) => digestOfEntry(auditEntry.parse(JSON.parse(text))));
  const heads = pin === undefined ? [] : signedHeads(copy, pin, faults);
  let confirmed = 0;
  let confirmedTo = 0;
  for (const { count, head } of heads) {
    if (count > copy.entries.length) {
      faults.push({
        is: 'cut',
        at: copy.entries.length + 1,
        text: `the host signed ${count} entries, this copy ends with ${copy.entries.length}`,
      });
      continue;
    }
    if (count > sound.length) continue;
    const found = count === 0 ? emptyChain.head : digests[count - 1];
    if (found === head) {
      confirmed += 1;
      confirmedTo = Math.max(confirmedTo, count);
    } else
      faults.push({
        is: 'forked',
        at: confirmedTo + 1,
        text: `the host signed another log up to entry ${count}; entries ${confirmedTo + 1} to ${count} of this copy are in doubt`,
      });
  }
  for (const { seq } of copy.conflicts)
    faults.push({
      is: 'forked',
      at: seq,
      text: `the host sent two different entries ${seq}: its journal was rolled back, or two agents use its key`,
    });
  const head = { count: sound.length, head: digests.at(-1) ?? emptyChain.head };
  return { count: copy.entries.length, head, confirmed, confirmedTo, faults: firstOfEach(faults) };
}

/** What comes after the first broken entry hangs on nothing; where a link does not fit, either end of it was edited. */
function soundUntil(chain: Extract<ChainCheck, { is: 'broken' }>): number {
  return Math.max(0, chain.at - (chain.why === 'edited' ? 2 : 1));
}

/** Lowest first. Heads that the host did not sign, and statements that contradict each other, are faults. */
function signedHeads(
  copy: AuditCopy,
  pin: Pick<Pin, 'key' | 'current' | 'former'>,
  faults: AuditFault[],
): readonly ChainHead[] {
  const statements: HostStatement[] = [];
  for (const signed of copy.heads) {
    const opened = openStatement(pin.key, signed);
    if (opened.is !== 'ok' || opened.value.host !== copy.host || opened.value.hostEpoch !== copy.epoch)
      faults.push({
        is: 'not-the-host',
        at: 1,
        text: 'a head in this copy is not signed with the pinned key for this host and epoch',
      });
    else statements.push(opened.value);
  }
  statements.sort((a, b) => a.sequence - b.sequence);
  for (const [at, { audit, sequence }] of statements.entries()) {
    const before = statements[at - 1];
    if (before !== undefined && audit.count < before.audit.count)
      faults.push({
        is: 'forked',
        at: audit.count + 1,
        text: `the host signed ${before.audit.count} entries, and in statement ${sequence} after it only ${audit.count}`,
      });
  }
  const seen = [pin.current, ...pin.former].flatMap((life) => (life?.hostEpoch === copy.epoch ? [life.audit] : []));
  return [...statements.map(({ audit }) => audit), ...seen].sort((a, b) => a.count - b.count);
}

/** One fault of a kind and place says it; a hundred heads that miss the same entry say nothing more. */
function firstOfEach(faults: readonly AuditFault[]): readonly AuditFault[] {
  const seen = new Set<string>();
  return [...faults]
    .sort((a, b) => a.at - b.at)
    .filter(({ is, at }) => !seen.has(`${is} ${at}`) && seen.add(`${is} ${at}`));
}

/** Entries for people; those that cannot be read are left out, `checkAudit` names them. */
export function readEntries(texts: readonly string[]): readonly AuditEntry[] {
  return texts.flatMap((text) => {
    try {
      const parsed = auditEntry.safeParse(JSON.parse(text));
      return parsed.success ? [parsed.data] : [];
    } catch {
      return [];
    }
  });
}
