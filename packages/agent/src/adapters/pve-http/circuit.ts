/**
 * The breaker for a refused token. Every 401 costs 3 s on the node and none of them heals by repetition, so after one
 * all calls are held back and a single probe goes out per back-off. Pure: states in, states out.
 */
export type Circuit =
  | { readonly is: 'closed' }
  /** No call goes out before `until` (monotonic ms); then one does, and the others wait for what becomes of it. */
  | { readonly is: 'open'; readonly failures: number; readonly until: number; readonly probing: boolean };

export const closedCircuit: Circuit = { is: 'closed' };

const firstMs = 10_000;
const longestMs = 300_000;

/** Whether a call may go out at `nowMs`. */
export function admitCall(circuit: Circuit, nowMs: number): { readonly may: boolean; readonly circuit: Circuit } {
  if (circuit.is === 'closed') return { may: true, circuit };
  if (circuit.probing || nowMs < circuit.until) return { may: false, circuit };
  return { may: true, circuit: { ...circuit, probing: true } };
}

/** What a call that went out tells: `silent` is anything that says nothing about the token, e.g. no connection. */
export function settleCall(circuit: Circuit, result: 'accepted' | 'unauthorized' | 'silent', nowMs: number): Circuit {
  if (result === 'accepted') return closedCircuit;
  if (result === 'silent') return circuit.is === 'open' && circuit.probing ? { ...circuit, probing: false } : circuit;
  const failures = circuit.is === 'open' ? circuit.failures + 1 : 1;
  const waitMs = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 10));
  return { is: 'open', failures, until: nowMs + waitMs, probing: false };
}
