/**
 * Every effect the agent can have, as data. The planner produces them, the gate decides them, a saga carries them out.
 * Directions are separate kinds, because adding and taking away are different powers.
 */
import type {
  DesiredGuest,
  DesiredNetwork,
  DesiredVolume,
  Digest,
  EffectClass,
  Floors,
  GuestName,
  GuestUid,
  Vmid,
  VolumeId,
} from '@felhom/protocol';

/** A guest of ours as effects name it: the uid binds, the name is for people. */
export interface GuestRef {
  readonly uid: GuestUid;
  readonly incarnation: number;
  readonly name: GuestName;
}

/**
 * A removal happens twice: the guest is stopped, cut off and protected; after its quarantine it is freed. The stage is
 * no part of what is signed, so that one signature covers both.
 */
export type RemovalStage = 'quarantine' | 'free';

/** Guest effects, the part that desired state can ask for today. Later pieces are rows of the gate table already. */
export type GuestEffect =
  | { readonly kind: 'guest-provision'; readonly desired: DesiredGuest }
  | {
      readonly kind: 'guest-remove';
      readonly guest: GuestRef;
      readonly volumes: readonly VolumeId[];
      /** On a signature only; what a saga made itself is taken away at once. */
      readonly stage?: RemovalStage;
    }
  | { readonly kind: 'guest-start'; readonly guest: GuestRef }
  | { readonly kind: 'guest-stop'; readonly guest: GuestRef }
  | { readonly kind: 'guest-onboot-on'; readonly guest: GuestRef }
  | { readonly kind: 'guest-onboot-off'; readonly guest: GuestRef }
  | { readonly kind: 'cpu-up' | 'cpu-down'; readonly guest: GuestRef; readonly from: number; readonly to: number }
  | {
      readonly kind: 'memory-up' | 'memory-down' | 'swap-up' | 'swap-down';
      readonly guest: GuestRef;
      readonly from: number;
      readonly to: number;
    }
  | { readonly kind: 'volume-add'; readonly guest: GuestRef; readonly volume: DesiredVolume }
  | {
      readonly kind: 'volume-grow' | 'volume-shrink';
      readonly guest: GuestRef;
      readonly volume: string;
      readonly volid: VolumeId;
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: 'volume-remove' | 'volume-move';
      readonly guest: GuestRef;
      readonly volume: string;
      readonly volid: VolumeId;
      readonly to?: string;
    }
  | {
      readonly kind: 'mount-change';
      readonly guest: GuestRef;
      readonly volume: string;
      readonly from: string;
      readonly to: string;
    }
  | { readonly kind: 'backup-flag-on' | 'backup-flag-off'; readonly guest: GuestRef; readonly volume: string }
  | {
      readonly kind: 'network-change';
      readonly guest: GuestRef;
      readonly network: string;
      readonly from: string;
      readonly to: DesiredNetwork | null;
    }
  | { readonly kind: 'nameserver-change'; readonly guest: GuestRef; readonly from: string; readonly to: string }
  | { readonly kind: 'hostname-change'; readonly guest: GuestRef; readonly from: string; readonly to: string }
  | {
      readonly kind: 'label-change';
      readonly guest: GuestRef;
      readonly tags: readonly string[];
      readonly label: string;
    }
  | { readonly kind: 'startup-change'; readonly guest: GuestRef; readonly from: string; readonly to: string }
  | { readonly kind: 'timezone-change'; readonly guest: GuestRef; readonly from: string; readonly to: string }
  | { readonly kind: 'marker-repair'; readonly guest: GuestRef };

/** What only a signed job asks for, or root at the socket of this box: no desired state can express it. */
export type JobEffect =
  | {
      readonly kind: 'guest-decommission';
      readonly guest: GuestRef;
      readonly volumes: readonly VolumeId[];
      readonly backups: 'keep' | 'delete';
      readonly stage: RemovalStage;
    }
  | { readonly kind: 'guest-lift-quarantine'; readonly guest: GuestRef }
  | {
      readonly kind: 'guest-adopt';
      readonly vmid: Vmid;
      readonly name: GuestName;
      /** The digest that Proxmox gives a config. */
      readonly configDigest: string;
      readonly volumes: readonly VolumeId[];
    }
  | {
      readonly kind: 'guest-re-register';
      readonly guest: GuestRef;
      readonly vmid: Vmid;
      readonly volumes: readonly VolumeId[];
    }
  | { readonly kind: 'hold-set' | 'hold-clear'; readonly scope: 'host' | GuestRef }
  | {
      readonly kind: 'saga-resume' | 'saga-abandon';
      readonly sagaId: string;
      readonly step: string;
      /** What the saga leads to, from its definition and the journal. It decides who must sign and is not signed itself. */
      readonly classes: readonly EffectClass[];
      /** Whether it removes a guest that served. */
      readonly removal: boolean;
      readonly loss: readonly string[];
    }
  | { readonly kind: 'trust-change'; readonly before: Digest; readonly after: Digest }
  | {
      readonly kind: 'floor-change';
      /** Digest of the trust document in force. */
      readonly before: Digest;
      readonly floor: keyof Floors;
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: 'break-glass-open';
      readonly minutes: number;
      /** Public key that may log in meanwhile. */
      readonly key: string;
      readonly consents: readonly string[];
    }
  | { readonly kind: 'break-glass-close' }
  /** `declaration`: digest of the whole of it; `identity`: what tells the target from any other. */
  | {
      readonly kind: 'target-attach';
      readonly target: string;
      readonly identity: string;
      readonly declaration: Digest;
    }
  | {
      readonly kind: 'target-detach' | 'target-wipe';
      readonly target: string;
      readonly serial: string;
      readonly uuid: string;
      readonly idFile: string;
    }
  | {
      readonly kind: 'target-re-point';
      readonly target: string;
      readonly serial: string;
      readonly uuid: string;
      readonly idFile: string;
      readonly identity: string;
      readonly declaration: Digest;
    }
  /** Digests of whole declarations; `before` is empty where there was none. `guests`: their addresses. */
  | {
      readonly kind: 'tunnel-change';
      readonly before: string;
      readonly declaration: string;
      readonly guests: readonly string[];
    }
  | { readonly kind: 'backup-force'; readonly guest: GuestRef; readonly tier: string }
  | { readonly kind: 'backup-delete' | 'backup-unprotect'; readonly guest: GuestRef; readonly backup: BackupBytes }
  | {
      readonly kind: 'restore-overwrite';
      readonly guest: GuestRef;
      readonly backup: BackupBytes;
      /** Carried over as they are. */
      readonly bulk: readonly VolumeId[];
      /** Freed at the end of the undo window. */
      readonly loss: readonly VolumeId[];
      readonly undoHours: number;
    }
  | {
      readonly kind: 'restore-in-place';
      readonly guest: GuestRef;
      readonly backup: BackupBytes;
      readonly bulk: readonly VolumeId[];
      readonly loss: readonly VolumeId[];
    }
  /** `guest`: whose backup it is. */
  | { readonly kind: 'restore-copy'; readonly guest: GuestRef; readonly backup: BackupBytes; readonly name: GuestName }
  | {
      readonly kind: 'guest-rollback';
      readonly guest: GuestRef;
      readonly snapshot: string;
      /** Seconds since the epoch, as Proxmox has it. */
      readonly takenAt: number;
      readonly volumes: readonly VolumeId[];
    }
  | {
      /** Of a restore that has an undo: `sagaId` is the saga that restored. */
      readonly kind: 'restore-undo' | 'restore-finish';
      readonly guest: GuestRef;
      readonly sagaId: string;
      readonly loss: readonly VolumeId[];
    };

/** A backup by its bytes, never by its name alone [R8]. */
export interface BackupBytes {
  readonly archive: VolumeId;
  readonly sha256: Digest;
}

/**
 * What protects a guest and goes on by itself: backups by schedule, their pruning and proving, bringing back what was
 * lost, and the controller's known releases. The first kinds are the agent's own, the last ones a guest asks for itself.
 */
export type ProtectionEffect =
  | {
      readonly kind: 'backup-run';
      readonly guest: GuestRef;
      readonly tier: string;
      /** The time of the schedule that it is for, milliseconds since the epoch. */
      readonly slot: number;
      /** The lease under which the guest's controller holds its apps still; absent: crash-consistent. */
      readonly lease?: string;
    }
  | { readonly kind: 'backup-prune'; readonly guest: GuestRef; readonly backup: BackupBytes }
  | { readonly kind: 'marker-renew'; readonly guest: GuestRef }
  | { readonly kind: 'restore-test'; readonly guest: GuestRef; readonly tier: string; readonly backup: BackupBytes }
  | { readonly kind: 'scratch-sweep'; readonly guest: GuestRef }
  | { readonly kind: 'guest-recover'; readonly guest: GuestRef; readonly tier: string; readonly backup: BackupBytes }
  | { readonly kind: 'checkpoint-drop'; readonly guest: GuestRef; readonly checkpoint: string }
  | {
      readonly kind: 'controller-update';
      readonly guest: GuestRef;
      readonly role: string;
      readonly version: string;
      readonly digest: Digest;
    }
  /** A new claim for a guest whose token is worth nothing any more; it restarts to read it. */
  | { readonly kind: 'claim-issue'; readonly guest: GuestRef }
  /** A claim that is worth nothing any more leaves its config. */
  | { readonly kind: 'claim-drop'; readonly guest: GuestRef }
  /** A restart in place of a guest that has a disk mounted that was pulled. `targets`: of which disks. */
  | { readonly kind: 'guest-remount'; readonly guest: GuestRef; readonly targets: readonly string[] }
  | RouteEffect;

/** What a guest asks of its host about itself, through the local API. */
export type RouteEffect =
  | { readonly kind: 'snapshot-take'; readonly guest: GuestRef; readonly purpose: 'deploy' | 'update' }
  | { readonly kind: 'self-rollback'; readonly guest: GuestRef; readonly checkpoint: string }
  | { readonly kind: 'backup-on-demand'; readonly guest: GuestRef; readonly tier: string; readonly lease?: string };

/** What this release can carry out. */
export type BuiltEffect = GuestEffect | JobEffect | ProtectionEffect;

/** The guest on record that an effect is about. A provision and an adoption are about none. */
export function guestRefOf(effect: Effect): GuestRef | undefined {
  if ('guest' in effect) return effect.guest;
  return 'scope' in effect && effect.scope !== 'host' ? effect.scope : undefined;
}

/**
 * Effects of later pieces. They are here because the gate's table is whole from the first day: whoever asks for one is
 * refused with a reason, and the piece that brings one finds its row waiting. Parameters grow with their piece.
 */
export type LaterEffect = GuestBackupEffect | TargetEffect | HostEffect | ControllerEffect | SilentRouteEffect;

type GuestBackupEffect =
  | {
      readonly kind: 'backup-options-change';
      readonly guest: GuestRef;
      readonly option: 'excludes' | 'mode' | 'notes-template';
      readonly from: string;
      readonly to: string;
    }
  | { readonly kind: 'bulk-backup-drop'; readonly guest: GuestRef; readonly volume: string; readonly target: string }
  /** Of a saga that has no restore's undo. */
  | { readonly kind: 'saga-undo' | 'saga-finish'; readonly sagaId: string; readonly step: string };

type TargetEffect =
  | {
      readonly kind: 'target-change' | 'target-class-change' | 'target-role-change';
      readonly target: string;
      readonly from: string;
      readonly to: string;
    }
  | { readonly kind: 'target-decommission'; readonly target: string }
  | { readonly kind: 'target-creds-rotate'; readonly target: string };

type HostEffect =
  | {
      readonly kind:
        'schedule-change' | 'retention-change' | 'restore-test-change' | 'reporting-change' | 'update-window-change';
      readonly setting: string;
      readonly from: string;
      readonly to: string;
    }
  | { readonly kind: 'hub-re-point'; readonly spkiSha256: Digest }
  | { readonly kind: 'downgrade'; readonly product: 'agent' | 'controller' | 'golden'; readonly digest: Digest };

type ControllerEffect =
  | { readonly kind: 'controller-image-change'; readonly guest: GuestRef; readonly digest: Digest }
  | {
      readonly kind: 'controller-config-provision' | 'controller-config-change';
      readonly guest: GuestRef;
      readonly setting: string;
      readonly to: string;
    };

/** What a guest tells its host and no saga follows; the local API carries it out itself. */
interface SilentRouteEffect {
  readonly kind: 'claim-redeem' | 'manifest-store' | 'consent-record' | 'quiesce-set' | 'controller-report';
  readonly guest: GuestRef;
}

export type Effect = BuiltEffect | LaterEffect;
export type EffectKind = Effect['kind'];
