/**
 * What a statement of a host says, as far as the hub needs it to keep the right ones: which epoch, which number, which
 * head. Nothing here tells whether it is true; the signature is for those who hold the host's key. Pure.
 */
import { chainStart, hostStatementKind, parseVersionedJson } from '@felhom/protocol';
import type { PollRequest, SignedStatement } from '@felhom/protocol';
import type { KeptStatement } from '../store/testimony-store.ts';

export type ReadStatement =
  | { readonly is: 'statement'; readonly statement: KeptStatement }
  /** Of another release, perhaps: kept as the newest one and no more. */
  | { readonly is: 'opaque' }
  /** Says of itself that it is not of this poll. */
  | { readonly is: 'foreign'; readonly text: string };

/** `now`: the hub's time of receipt in milliseconds. */
export function readStatement(
  poll: Pick<PollRequest, 'hostId' | 'hostEpoch' | 'sequence'>,
  signed: SignedStatement,
  now: number,
): ReadStatement {
  const parsed = parseVersionedJson(hostStatementKind, signed.text);
  if (parsed.is !== 'ok') return { is: 'opaque' };
  const { host, hostEpoch, sequence, audit } = parsed.value;
  if (host !== poll.hostId || hostEpoch !== poll.hostEpoch || sequence !== poll.sequence)
    return {
      is: 'foreign',
      text: `poll ${poll.sequence} brought a statement that is not its own (number ${sequence} of ${host}): somebody else uses this host's API key`,
    };
  return {
    is: 'statement',
    statement: { epoch: hostEpoch, sequence, count: audit.count, head: audit.head, at: now, signed },
  };
}

/** What the hub holds of the same epoch. */
export interface HeldStatements {
  readonly highest: KeptStatement | undefined;
  readonly lastHead: KeptStatement | undefined;
  /** Those that count to the same number. */
  readonly sameCount: readonly KeptStatement[];
}

export interface StatementVerdict {
  readonly isHighest: boolean;
  /** Count or head changed. */
  readonly isNewHead: boolean;
  /** Why it cannot be true together with the others. */
  readonly contradiction: string | undefined;
}

export function compareStatement(said: KeptStatement, held: HeldStatements): StatementVerdict {
  const { highest, lastHead } = held;
  return {
    isHighest: highest === undefined || said.sequence > highest.sequence,
    isNewHead: lastHead === undefined || lastHead.count !== said.count || lastHead.head !== said.head,
    contradiction: contradictionOf(said, held),
  };
}

function contradictionOf(said: KeptStatement, { highest, sameCount }: HeldStatements): string | undefined {
  if (said.count === 0 && said.head !== chainStart)
    return `statement ${said.sequence} names a head of an audit log without entries`;
  if (highest !== undefined && said.sequence > highest.sequence && said.count < highest.count)
    return `statement ${said.sequence} says that the audit log has ${said.count} entries, statement ${highest.sequence} said ${highest.count}`;
  const other = sameCount.find(({ head }) => head !== said.head);
  if (other !== undefined)
    return `statements ${other.sequence} and ${said.sequence} name two different entries ${said.count} of the audit log`;
  return undefined;
}
