/** Parameters and journaled state of the bring-up saga. */
import { z } from 'zod';
import { desiredGuest } from '@felhom/protocol';
import type { DesiredGuest, GuestUid, Vmid, VolumeId } from '@felhom/protocol';
import type { GuestVolume } from '../authority/guest-record.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { GuestNeeds } from '../guests/needs.ts';
import type { Marker } from '../guests/settle.ts';

export const bringUpParams = z.strictObject({ desired: desiredGuest });
export interface BringUpParams {
  readonly desired: DesiredGuest;
}

/** Plain JSON: every field is what an intent or an outcome made durable. */
export interface BringUpState {
  // assess
  readonly archive: VolumeId;
  readonly pveVersion: string;
  readonly archivedNetworks: readonly string[];

  // restore, as intended
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

  // audit
  readonly strips: readonly string[];

  // mounts
  /** Root's listing before the first allocation; what is there later and not in it is ours [R32]. */
  readonly mountsBefore: readonly VolumeId[];
  readonly mountsDone: true;

  // enable
  readonly digest: string;
  readonly servedAt: number;
}

export type BringUpContext = StepContext<BringUpParams, BringUpState, GuestNeeds>;

/** A value that an earlier step must have left; its absence is a bug of the step table, not of the world. */
export function want<K extends keyof BringUpState>(ctx: Pick<BringUpContext, 'state'>, key: K): BringUpState[K] {
  const value = ctx.state[key];
  if (value === undefined) throw new Error(`cannot go on with a bring-up: its journal holds no ${key}`);
  return value;
}

export function markerOf(ctx: Pick<BringUpContext, 'state'>): Marker {
  return { uid: want(ctx, 'uid'), incarnation: want(ctx, 'incarnation'), marker: want(ctx, 'marker') };
}
