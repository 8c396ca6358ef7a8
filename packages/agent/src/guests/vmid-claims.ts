/**
 * Which VMIDs the open sagas of this process mean to use. A locked stub carries nothing that says which of two
 * restores it belongs to, so two sagas never aim at the same VMID: a claim is taken before the intent is durable and
 * stands until the saga has ended. Claims of sagas that were open at start are taken from the journal.
 */
import type { Vmid } from '@felhom/protocol';

export interface VmidClaims {
  /** False when another saga holds it; true again for the holder itself. */
  claim(vmid: Vmid, sagaId: string): boolean;
  release(sagaId: string): void;
  all(): ReadonlyMap<Vmid, string>;
}

/**
 * `isOpen`: a saga that was recovered may end without coming by a release of its own, because its last step was done
 * before the restart; its claims go with it all the same.
 */
export function createVmidClaims(open: readonly OpenSaga[], isOpen: (sagaId: string) => boolean): VmidClaims {
  const holders = new Map<Vmid, string>();
  for (const saga of open) for (const vmid of inFlightOf([saga]).vmids) holders.set(vmid, saga.sagaId);
  return {
    claim(vmid, sagaId) {
      const holder = holders.get(vmid);
      if (holder !== undefined && holder !== sagaId && isOpen(holder)) return false;
      holders.set(vmid, sagaId);
      return true;
    },
    release(sagaId) {
      for (const [vmid, holder] of holders) if (holder === sagaId) holders.delete(vmid);
    },
    all: () => new Map(holders),
  };
}

/** An open saga: waiting for its lanes, running, unwinding or parked. */
export interface OpenSaga {
  readonly sagaId: string;
  readonly lanes: readonly string[];
  /** The fold of its intents and outcomes so far; empty while it waits for its lanes. */
  readonly state: Readonly<Record<string, unknown>>;
}

export interface InFlight {
  /** Guests whose lane an open saga holds or waits for: nothing more is asked for them meanwhile. */
  readonly names: ReadonlySet<string>;
  /** VMIDs that open sagas may have something at: never foreign. */
  readonly vmids: ReadonlySet<Vmid>;
}

const guestLane = 'guest:';

export function inFlightOf(open: readonly OpenSaga[]): InFlight {
  const names = new Set<string>();
  const vmids = new Set<Vmid>();
  for (const saga of open) {
    for (const lane of saga.lanes) if (lane.startsWith(guestLane)) names.add(lane.slice(guestLane.length));
    const { candidates, vmid } = saga.state;
    if (typeof vmid === 'number') vmids.add(vmid as Vmid);
    else if (Array.isArray(candidates))
      for (const candidate of candidates) if (typeof candidate === 'number') vmids.add(candidate as Vmid);
  }
  return { names, vmids };
}

/** One lane per guest. By name, so that making a guest and changing it never overlap either. */
export const laneOf = (guest: { readonly name: string }): string => `${guestLane}${guest.name}`;
