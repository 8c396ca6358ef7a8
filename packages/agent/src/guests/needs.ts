/** What the guest sagas need of the world. Smallest useful set; `main.ts` composes it once. */
import type { GuestRegistry } from '../authority/guest-record.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { GuestWitness } from '../ports/guest-witness.ts';
import type {
  BackupRemover,
  BackupWriter,
  GuestDestroyer,
  GuestReader,
  GuestWriter,
  NodeFacts,
  PveTasks,
  Snapshots,
  Stores,
  VolumeMover,
} from '../ports/proxmox.ts';
import type { VmidClaims } from './vmid-claims.ts';

export interface GuestNeeds {
  readonly reader: GuestReader;
  readonly writer: GuestWriter;
  readonly destroyer: GuestDestroyer;
  readonly tasks: PveTasks;
  readonly stores: Stores;
  readonly node: NodeFacts;
  readonly helper: HostHelper;
  readonly registry: GuestRegistry;
  readonly claims: VmidClaims;
  readonly policy: () => HostPolicy;
  /** `user@realm!token` as it stands in our own UPIDs. */
  readonly tokenId: string;
}

/** Besides, for what protects a guest: copies, snapshots, their proof. */
export interface ProtectionNeeds extends GuestNeeds {
  readonly backups: BackupWriter;
  readonly remover: BackupRemover;
  readonly snapshots: Snapshots;
  readonly mover: VolumeMover;
  readonly witness: GuestWitness;
}

/** The part of a step's context that is the same in every saga here. */
export type Acting = Pick<
  StepContext<unknown, object, GuestNeeds>,
  'needs' | 'clock' | 'sagaId' | 'recordHandle' | 'progress' | 'handle'
>;

/** Work on snapshots, whichever saga does it. */
export type Snapping = Acting & { readonly needs: { readonly snapshots: Pick<Snapshots, 'list' | 'take' | 'drop'> } };
