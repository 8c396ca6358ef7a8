/** What the gate is told about the world. Gathered by the caller, judged here; the gate itself reads nothing. */
import type { Digest, GuestName, GuestUid, TrustDocument, Vmid, VolumeId } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { BlastGroup } from './gate-row.ts';
import type { GuestRecord } from './guest-record.ts';
import type { Identity } from './identity.ts';
import type { DestroyBasis, SeenBeforeDestroy } from './provenance.ts';

export interface GateFacts {
  /** The journal's own: another journal voids every digest that was ever approved. */
  readonly hostEpoch: string;
  /** `undefined`: the policy file does not read, and nothing is mutated. */
  readonly policy: HostPolicy | undefined;
  /** The guest the effect is about; for a provision, the guest that already has the name. */
  readonly guest: GuestFacts | undefined;
  /** What is at the VMID of an adoption or a new registration, read a moment ago. `undefined`: not seen, or not asked. */
  readonly stranger: StrangerFacts | undefined;
  /** Signed holds, which the agent keeps; those in the policy file count besides. */
  readonly holds: { readonly host: boolean; readonly guests: readonly GuestName[] };
  readonly sums: HostSums;
  /** By storage id. One that is missing could not be read. */
  readonly storages: ReadonlyMap<string, StorageFacts>;
  /** What the guest that asks has used up of its quotas; `undefined`: not asked by a guest, or not known. */
  readonly self?: SelfUse | undefined;
  /** What was begun unsigned in the last 24 h; older entries are ignored. */
  readonly touches: readonly Touch[];
}

export interface GuestFacts {
  readonly record: GuestRecord;
  readonly identity: Identity;
  /** Volumes seen under its VMID, in config, pending, unused or listing: what a removal would lose. */
  readonly seenVolumes: readonly VolumeId[];
  /** Mount paths of its current config, volume name → path. */
  readonly mountPaths: ReadonlyMap<string, string>;
  /** Sum of the virtual sizes of its volumes now, GiB. */
  readonly sizeGiB: number;
  /** Growth of its volumes in the last 24 h, GiB. */
  readonly grownGiB: number;
  /** Milliseconds since the epoch: when somebody other than the agent stopped it, if that is how it was stopped. */
  readonly personStoppedAt: number | undefined;
}

/** A guest's use of what its host does for it [R42]. */
export interface SelfUse {
  /** Checkpoints that it holds. */
  readonly snapshots: number;
  /** Backups on demand in the last 24 h. */
  readonly onDemandToday: number;
  /** Proxmox tasks that it caused in the last hour. */
  readonly tasksThisHour: number;
}

export interface StrangerFacts {
  readonly vmid: Vmid;
  readonly configDigest: string;
  /** Every volume under the VMID: in config, pending, unused or listing. */
  readonly volumes: readonly VolumeId[];
  /** A guest of ours is on record at this VMID. */
  readonly onRecord: boolean;
  /** Another guest of ours has the name. */
  readonly nameTaken: boolean;
}

/** Over all guests of this agent, scratch included. */
export interface HostSums {
  readonly guests: number;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly swapMiB: number;
}

export interface StorageFacts {
  readonly capacityGiB: number;
  readonly availableGiB: number;
  /** Sum of the virtual sizes of all volumes on it, GiB [R37]. */
  readonly virtualGiB: number;
}

export interface Touch {
  readonly at: number;
  readonly group: BlastGroup;
  readonly guest: GuestName;
}

/** On what an effect rests. */
export type Evidence =
  /** From the hub or from the local file: the same, because a file that a program wrote is no signature. */
  | { readonly is: 'desired-state' }
  /** Compensation: what the saga's own journal says that it made, and what is there now. */
  | {
      readonly is: 'same-saga';
      readonly sagaId: string;
      readonly basis: DestroyBasis;
      readonly seen: SeenBeforeDestroy;
    }
  /** A guest of restore-tests, which only the agent's own sagas make. */
  | {
      readonly is: 'scratch';
      readonly record: GuestRecord;
      readonly listedBeforeCreate: readonly VolumeId[] | undefined;
      readonly seen: SeenBeforeDestroy;
    }
  /**
   * A signed job, verified a moment ago under the trust document in force. It opens exactly the action whose digest it
   * covers, if that is still what would happen, and if enough different people signed.
   */
  | {
      readonly is: 'signed-job';
      readonly jobId: string;
      /** Distinct principals whose signatures are valid now. */
      readonly people: readonly string[];
      /** Digest of the action document (`blocked-action.ts`) that the signatures cover. */
      readonly signed: Digest;
      readonly trust: Pick<TrustDocument, 'thresholds' | 'loneOperator'>;
      /** For a trust change: the document that it puts in force, whose thresholds bind it too [R14]. */
      readonly next?: TrustDocument;
    }
  /** The guest itself, through the local API: its token and its bridge port say so. About itself only. */
  | { readonly is: 'guest-itself'; readonly uid: GuestUid }
  /** The end of an undo window, by the journal: the restore's own signature covers it, and nothing else [R16]. */
  | {
      readonly is: 'restore-window';
      readonly sagaId: string;
      readonly loss: readonly VolumeId[];
      /** Wall time, milliseconds. */
      readonly endedAt: number;
    }
  /** Root at the admin socket of this box. */
  | { readonly is: 'local-root' };
