/**
 * Which VMIDs the open sagas of this process mean to use. A locked stub carries nothing that says which of two
 * restores it belongs to, so two sagas never aim at the same VMID: a claim is taken before the intent is durable and
 * stands until the saga has ended. Claims of sagas that were open at start are taken from the journal.
 */
import type { GuestName, Vmid } from '@felhom/protocol';

export interface VmidClaims {
  /** False when another saga holds it; true again for the holder itself. */
  claim(vmid: Vmid, sagaId: string): boolean;
  release(sagaId: string): void;
  all(): ReadonlyMap<Vmid, string>;
}

export function createVmidClaims(open: readonly OpenSaga[]): VmidClaims {
  const holders = new Map<Vmid, string>();
  for (const saga of open) for (const vmid of inFlightOf([saga]).vmids) holders.set(vmid, saga.sagaId);
  return {
    claim(vmid, sagaId) {
      const holder = holders.get(vmid);
      if (holder !== undefined) return holder === sagaId;
      holders.set(vmid, sagaId);
      return true;
    },
    release(sagaId) {
      for (const [vmid, holder] of holders) if (holder === sagaId) holders.delete(vmid);
    },
    all: () => new Map(holders),
  };
}

/** An open saga as the journal's fold knows it: running, unwinding or parked. */
export interface OpenSaga {
  readonly sagaId: string;
  readonly name: string;
  readonly params: unknown;
  /** The fold of its intents and outcomes so far. */
  readonly state: Readonly<Record<string, unknown>>;
}

export interface InFlight {
  /** Guests that are being made: neither to be provisioned twice nor missing. */
  readonly names: ReadonlySet<GuestName>;
  /** VMIDs that open sagas may have something at: never foreign. */
  readonly vmids: ReadonlySet<Vmid>;
}

/** What open bring-ups account for. Sagas of other kinds work on registered guests, so they add nothing. */
export function inFlightOf(open: readonly OpenSaga[]): InFlight {
  const names = new Set<GuestName>();
  const vmids = new Set<Vmid>();
  for (const saga of open) {
    const name = nameIn(saga.params);
    if (name !== undefined) names.add(name);
    const { candidates, vmid } = saga.state;
    if (typeof vmid === 'number') vmids.add(vmid as Vmid);
    else if (Array.isArray(candidates))
      for (const candidate of candidates) if (typeof candidate === 'number') vmids.add(candidate as Vmid);
  }
  return { names, vmids };
}

function nameIn(params: unknown): GuestName | undefined {
  if (typeof params !== 'object' || params === null || !('desired' in params)) return undefined;
  const { desired } = params;
  if (typeof desired !== 'object' || desired === null || !('name' in desired)) return undefined;
  return typeof desired.name === 'string' ? (desired.name as GuestName) : undefined;
}
