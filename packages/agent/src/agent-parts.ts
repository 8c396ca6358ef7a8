/** What the agent is made of and what it offers: the real world or a simulated one on one side, the host's commands on the other. */
import type { ChainHead, GuestName, HostId, HostVitals, Reason, Report, SignedStatement } from '@felhom/protocol';
import type { GuestRecord } from './authority/guest-record.ts';
import type { DesiredSource } from './desired-source.ts';
import type { HostPolicy } from './host-policy.ts';
import type { Held } from './hub-link/index.ts';
import type { Clock, CrashPoints, Journal, Outcome, Random, SagaStatus } from './kernel/index.ts';
import type { LocalApi } from './local-api/index.ts';
import type { NodeCheck } from './node-check/index.ts';
import type { PlannedEffect } from './open-work.ts';
import type { GuestWitness } from './ports/guest-witness.ts';
import type { HostHelper } from './ports/host-helper.ts';
import type { Log } from './ports/log.ts';
import type {
  BackupRemover,
  BackupWriter,
  GuestDestroyer,
  GuestReader,
  GuestWriter,
  NodeFacts,
  NodePackages,
  PveTasks,
  Snapshots,
  StorageEntries,
  Stores,
  VolumeMover,
} from './ports/proxmox.ts';
import type { HostKey, SignatureVerifier } from './ports/signatures.ts';
import type { SignedHelper } from './ports/signed-helper.ts';
import type { StorageDevices } from './ports/storage-devices.ts';
import type { StorageHelper } from './ports/storage-helper.ts';
import type { ManifestRead } from './storage-manifest.ts';
import type { TrustStore } from './ports/trust-store.ts';
import type { LocalContact } from './protection/index.ts';
import type { LoopProgress } from './progress.ts';
import type { HostPorts } from './watch-host.ts';

/** Proxmox as the agent needs it; `PveClient` is one. */
export interface ProxmoxPorts {
  readonly reader: GuestReader;
  readonly writer: GuestWriter;
  readonly destroyer: GuestDestroyer;
  readonly tasks: PveTasks;
  readonly stores: Stores;
  readonly entries: StorageEntries;
  readonly backups: BackupWriter;
  readonly remover: BackupRemover;
  readonly snapshots: Snapshots;
  readonly mover: VolumeMover;
  readonly facts: NodeFacts & NodePackages;
}

export interface AgentParts {
  readonly host: HostId;
  readonly version: string;
  readonly journal: Journal;
  readonly crashPoints: CrashPoints;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly proxmox: ProxmoxPorts;
  /** `user@realm!token`, as it stands in our own task ids. */
  readonly tokenId: string;
  readonly helper: HostHelper;
  readonly signedHelper: SignedHelper;
  readonly witness: GuestWitness;
  /** The targets that root declared, and what is seen of them. */
  readonly storage: {
    readonly devices: StorageDevices;
    readonly manifest: () => ManifestRead;
    /** Below it each declared disk has a folder of its own; `/mnt/felhom` unless told. */
    readonly mountRoot?: string;
    readonly helper: StorageHelper;
  };
  /** Where guests find this host; `undefined`: they cannot ask anything of it. */
  readonly localContact: () => LocalContact | undefined;
  /** IANA name, for schedules that name no zone of their own. */
  readonly timeZone: string;
  readonly hostKey: HostKey;
  readonly verifier: SignatureVerifier;
  readonly trustStore: TrustStore;
  /** `undefined` while the policy file does not read: then nothing is changed. */
  readonly policy: () => HostPolicy | undefined;
  readonly source: DesiredSource;
  /** Numbers of now, for the heartbeat; must be cheap. `undefined`: not known, and then none are sent. */
  readonly vitals?: (() => HostVitals | undefined) | undefined;
  /** The host itself, where this process runs on it; absent: nobody looks at it. */
  readonly monitoring?: HostPorts | undefined;
  readonly reconcile: { readonly intervalMs: number; readonly pauseMs: number };
  /** The process has to begin again: the fence is lost, or the journal failed. */
  readonly onHalt: (why: Reason) => void;
}

export interface Agent {
  /** Resumes what was open, then works until stopped. */
  start(): void;
  /** Stops waiting everywhere; running Proxmox tasks go on and are picked up by the next start. */
  stop(): Promise<void>;
  wake(): void;
  /** The guests were looked at, or could not be. */
  readonly looked: Promise<void>;
  /** Why nothing is changed now, as far as it is the same for all guests. */
  trouble(): Reason | undefined;
  /** What must never stand still, for the watchdog. */
  progress(): readonly LoopProgress[];
  report(): Report;
  /** Numbers of the host of now; `undefined` where nobody looks at it, or not yet. */
  vitals(): HostVitals | undefined;
  held(): Held;
  guests(): readonly GuestRecord[];
  sagas(): readonly SagaStatus[];
  /** One pass without acting: every planned effect with the gate's answer. */
  preview(signal: AbortSignal): Promise<readonly PlannedEffect[]>;
  checkNode(signal: AbortSignal): Promise<NodeCheck>;
  /** Report and statement as a poll would carry them: for an operator who has no hub. */
  statement(): { readonly statement: SignedStatement; readonly report: Report };
  /** An envelope from a file on this host; it goes the way of one that a hub brought. */
  takeEnvelope(text: string): void;
  /** Texts of audit entries from number `from` on, at most a thousand. */
  auditFrom(from: number): { readonly head: ChainHead; readonly entries: readonly string[] };
  consents(): readonly {
    readonly guest: GuestName;
    readonly id: string | undefined;
    readonly at: number | undefined;
  }[];
  /** What the customer of a guest said about break-glass, by the word of root at the host. */
  recordConsent(guest: string, given: boolean): Outcome<void>;
  /** On the word of root at the host. Done: it is on its way; the report says when it is closed. */
  closeBreakGlass(signal: AbortSignal): Promise<Outcome<void>>;
  /** Root's word that the clock is right as it is. Voids every signature that was not yet carried out. */
  resetClock(): void;
  /** What guests may ask; `undefined` without a contact, or while the policy does not read. */
  localApi(): LocalApi | undefined;
  /** Guests can reach the local API from now on, or no longer. */
  listening(on: boolean): void;
  resumeSaga(id: string, by: string): Outcome<unknown>;
  abandonSaga(id: string, by: string): Outcome<void>;
}
