/** What the health gate (`/usr/lib/felhom/health-gate`) wrote down about builds of the agent, as far as it reads. */
export interface GateRecords {
  /** A build is on trial. */
  readonly trial: GateTrial | undefined;
  /** How the last trial ended. */
  readonly last: GateVerdict | undefined;
}

interface OfTrial {
  /** `a`, `b`, or `base`: what the package brought. */
  readonly slot: string;
  /** The one that served before it. */
  readonly previous: string;
  /** Its version and the beginning of its digest. */
  readonly build: string;
  /** Why it was taken back, one word of the gate; `none`, `by-hand`: root's order. */
  readonly why: string;
}

export interface GateTrial extends OfTrial {
  /** The build is watched, or already the one before it, which has to be well. */
  readonly watched: 'trial' | 'previous';
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface GateVerdict extends OfTrial {
  /** `stuck`: the one before it fails too. `void`: somebody put another slot in force meanwhile, or its own could not be put there. */
  readonly verdict: 'good' | 'good-local' | 'reverted' | 'stuck' | 'void';
  /** What the link led to then; `other`: no slot. Absent: of a gate that did not say it yet. */
  readonly inForce?: 'a' | 'b' | 'base' | 'other' | undefined;
  /** It is not tried again. */
  readonly pinned: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export type ReadGate = () => GateRecords;
