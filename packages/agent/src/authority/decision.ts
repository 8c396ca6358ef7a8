/** The gate's answer, and what every road to it has in common. */
import { reason } from '@felhom/protocol';
import type { BlockedAction, ErrorCode, GuestName, Reason } from '@felhom/protocol';
import type { GateFacts, GuestFacts } from './facts.ts';
import type { GateRow, GateVerdict } from './gate-row.ts';
import type { RowId } from './gate-table.ts';
import type { Warrant } from './warrant.ts';

export type Decision =
  | { readonly is: 'allowed'; readonly row: RowId; readonly warrants: readonly Warrant[] }
  /** An operator can allow it by signing the digest of exactly this action. */
  | { readonly is: 'blocked'; readonly row: RowId; readonly action: BlockedAction; readonly why: Reason }
  | {
      readonly is: 'refused';
      readonly row: RowId;
      readonly why: Reason;
      /** With `job.more-people`: how many different people still have to sign. */
      readonly missing?: number;
    };
export type Refused = Extract<Decision, { is: 'refused' }>;

/** Why something may not be, before it is put into the words of what was asked. */
export interface Objection {
  readonly code: ErrorCode;
  readonly text: string;
}

export function refuse(row: RowId, what: string, code: ErrorCode, because: string): Refused {
  return { is: 'refused', row, why: reason(code, `cannot ${what}: ${because}`) };
}

/** The verdict on this guest: a row that diverts relaxes while the guest has nobody to cut off. */
export function verdictFor(row: GateRow, guest: GuestFacts | undefined): GateVerdict {
  const served = guest?.record.servedAt !== undefined;
  return row.verdict === 'signed' && row.beforeServed === 'ranged' && !served ? 'ranged' : row.verdict;
}

/** Root's holds and signed holds count alike. `name`: the guest, `undefined` for what is about the host. */
export function heldBy(
  row: GateRow,
  name: GuestName | undefined,
  { policy, holds }: Pick<GateFacts, 'policy' | 'holds'>,
): Objection | undefined {
  if (row.underHold === 'goes-on') return undefined;
  const hold = (by: typeof holds): string | undefined => {
    if (by.host) return 'this host';
    return name !== undefined && by.guests.includes(name) ? `guest ${name}` : undefined;
  };
  const byRoot = policy === undefined ? undefined : hold(policy.hold);
  if (byRoot !== undefined) return { code: 'gate.on-hold', text: `${byRoot} is on hold; see the policy file` };
  const signed = hold(holds);
  if (signed === undefined) return undefined;
  return { code: 'gate.on-hold', text: `${signed} is on hold by a signed job; another one, or root, lifts it` };
}
