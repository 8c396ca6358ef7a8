/** What a saga must say before it restores, and what the front half of it journals. */
import type { GuestUid, Reason, StorageId, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestVolume } from '../authority/guest-record.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import type { Marker } from '../guests/settle.ts';
import type { Scenario } from './identity-policy.ts';

/** Decided once, before the first call; what later steps need of it is journaled. */
export interface RestorePlan {
  readonly words: RestoreWords;
  readonly archive: VolumeId;
  /** Storage of the call; each volume names its own. */
  readonly storage: StorageId;
  /** Where its VMID comes from: scratch guests never lie among the others. */
  readonly range: 'guests' | 'scratch';
  /** Of the guest that comes back; absent: a new guest, which gets one. */
  readonly uid?: GuestUid;
  readonly incarnation: number;
  readonly scenario: Scenario;
  readonly pveVersion: string;
  /**
   * Raw config values of the call, all of them: what is not passed may come from the archive and is refused by the
   * audit. `env` is added from the scenario where it is missing [R26].
   */
  readonly values: (marker: Marker) => Readonly<Record<string, string>>;
}

/** For people: `cannot <goal>: …`, `restoring <guest> as 9001`. */
export interface RestoreWords {
  /** `bring up guest photos` */
  readonly goal: string;
  /** `guest photos` */
  readonly guest: string;
  /** What the archive is, which decides what to do about a bad one. */
  readonly source: 'golden' | 'backup';
}

/** Plain JSON: every field is what an intent or an outcome made durable. */
export interface RestoreFrontState {
  // restore, as intended
  readonly restoring: {
    readonly words: RestoreWords;
    readonly archive: VolumeId;
    readonly storage: StorageId;
  };
  readonly uid: GuestUid;
  readonly incarnation: number;
  readonly marker: string;
  /** VMIDs to try in this order; each is tried only after root's listing showed no volume under it. */
  readonly candidates: readonly Vmid[];
  /** Passed over because something lies under them although no guest has them: to be reported. */
  readonly occupied: readonly { readonly vmid: Vmid; readonly volumes: readonly VolumeId[] }[];
  /** The node's clock in seconds before the first call: older tasks are not ours. */
  readonly since: number;
  /** Raw config values of the restore call, against which the audit compares. */
  readonly sent: Readonly<Record<string, string>>;

  // restore, as it became
  readonly vmid: Vmid;
  readonly warnings: readonly string[];
  /** Every volume this saga allocated, as far as it is known: the only ones that its undo may free [R1]. */
  readonly volumes: readonly GuestVolume[];
  /** Only where a failure is a value: why there is no guest that may be started. */
  readonly restoreFailure: Reason;

  // audit
  readonly strips: readonly string[];

  // later allocations
  /** Root's listing before the first one; what is there later and not in it is ours [R32]. */
  readonly mountsBefore: readonly VolumeId[];
  readonly mountsDone: true;
}

/** What these steps read of any saga's context. */
export type FrontContext = Omit<StepContext<unknown, RestoreFrontState, GuestNeeds>, 'params'>;

/** A value that an earlier step must have left; its absence is a bug of the step table, not of the world. */
export function want<S extends object, K extends keyof S>(
  ctx: { readonly state: Readonly<Partial<S>> },
  key: K,
): NonNullable<S[K]> {
  const value = ctx.state[key];
  if (value === undefined || value === null)
    throw new Error(`cannot go on with a restore: its journal holds no ${String(key)}`);
  return value;
}

/** The marker that only this saga's intent holds. */
export function markerOf(ctx: Pick<FrontContext, 'state'>): Marker {
  return { uid: want(ctx, 'uid'), incarnation: want(ctx, 'incarnation'), marker: want(ctx, 'marker') };
}
