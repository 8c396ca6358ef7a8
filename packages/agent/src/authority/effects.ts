/**
 * Every effect the agent can have, as data. The planner produces them, the gate decides them, a saga carries them out.
 * Directions are separate kinds, because adding and taking away are different powers.
 */
import type { DesiredGuest, DesiredNetwork, DesiredVolume, GuestName, GuestUid, VolumeId } from '@felhom/protocol';

/** A guest of ours as effects name it: the uid binds, the name is for people. */
export interface GuestRef {
  readonly uid: GuestUid;
  readonly incarnation: number;
  readonly name: GuestName;
}

/** Guest effects, the part that desired state can ask for today. Later pieces are rows of the gate table already. */
export type GuestEffect =
  | { readonly kind: 'guest-provision'; readonly desired: DesiredGuest }
  | { readonly kind: 'guest-remove'; readonly guest: GuestRef; readonly volumes: readonly VolumeId[] }
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
