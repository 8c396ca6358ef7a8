/**
 * Which saga carries out which effect. Whether it may happen is the gate's matter; an effect without a saga is refused
 * even where a gate would allow it.
 */
import type { GuestEffect } from './authority/effects.ts';
import type { AnySaga } from './kernel/saga.ts';
import { addVolume } from './guests/add-volume.saga.ts';
import type { AddVolumeParams } from './guests/add-volume.saga.ts';
import { bringUp } from './bring-up/bring-up.saga.ts';
import type { BringUpParams } from './bring-up/bring-up-state.ts';
import { changeConfig } from './guests/change-config.saga.ts';
import type { ChangeConfigParams } from './guests/change-config.saga.ts';
import { growVolume } from './guests/grow-volume.saga.ts';
import type { GrowVolumeParams } from './guests/grow-volume.saga.ts';
import type { GuestNeeds } from './guests/needs.ts';
import type { SettingsChange } from './guests/pve-config.ts';
import { startGuest } from './guests/start.saga.ts';
import type { StartParams } from './guests/start.saga.ts';
import type { GuestRecord } from './authority/guest-record.ts';

export type SagaChoice =
  | {
      readonly is: 'saga';
      readonly definition: AnySaga<GuestNeeds>;
      /** Plain JSON; the definition's `parseParams` reads it back. */
      readonly params: BringUpParams | ChangeConfigParams | AddVolumeParams | GrowVolumeParams | StartParams;
    }
  | { readonly is: 'not-supported'; readonly why: string };

type Known = Pick<GuestRecord, 'volumes'> | undefined;
/** The effects of one kind; an intersection, because some of them share their shape with another kind. */
type Of<K extends GuestEffect['kind']> = GuestEffect & { readonly kind: K };
type Choices = { readonly [K in GuestEffect['kind']]: (effect: Of<K>, known: Known) => SagaChoice };

const needsSignature = (): SagaChoice => ({
  is: 'not-supported',
  why: 'it takes something away from a guest, and this release carries that out for nobody yet',
});

const change = (effect: { readonly guest: ChangeConfigParams['guest'] }, settings: SettingsChange): SagaChoice => ({
  is: 'saga',
  definition: changeConfig,
  params: { guest: effect.guest, change: settings },
});

const cores = (effect: Of<'cpu-up' | 'cpu-down'>): SagaChoice => change(effect, { cores: effect.to });

type Sized = Of<'memory-up' | 'memory-down' | 'swap-up' | 'swap-down'>;
const memory = (effect: Sized): SagaChoice => change(effect, { memoryMiB: effect.to });
const swap = (effect: Sized): SagaChoice => change(effect, { swapMiB: effect.to });

const choices: Choices = {
  'guest-provision': ({ desired }) => ({ is: 'saga', definition: bringUp, params: { desired } }),
  'guest-start': ({ guest }) => ({ is: 'saga', definition: startGuest, params: { guest } }),
  'guest-onboot-on': (effect) => change(effect, { onboot: true }),
  'cpu-up': cores,
  'cpu-down': cores,
  'memory-up': memory,
  'memory-down': memory,
  'swap-up': swap,
  'swap-down': swap,
  'volume-add': ({ guest, volume }) => ({ is: 'saga', definition: addVolume, params: { guest, volume } }),
  'volume-grow': ({ guest, volid, volume, to }, known) => {
    const key = known?.volumes.find((candidate) => candidate.volid === volid)?.key;
    return key === undefined
      ? { is: 'not-supported', why: `volume ${volume} (${volid}) is not on record` }
      : { is: 'saga', definition: growVolume, params: { guest, key, toGiB: to } };
  },
  'backup-flag-on': (effect, known) => {
    const key = known?.volumes.find((candidate) => candidate.name === effect.volume)?.key;
    return key === undefined
      ? { is: 'not-supported', why: `volume ${effect.volume} is not on record` }
      : change(effect, { backupOn: key });
  },
  'hostname-change': (effect) => change(effect, { hostname: effect.to }),
  'label-change': (effect) => change(effect, { tags: effect.tags, label: effect.label }),
  'startup-change': (effect) => change(effect, { startupOrder: effect.to === '' ? null : Number(effect.to) }),
  'timezone-change': (effect) => change(effect, { timezone: effect.to === '' ? null : effect.to }),
  'marker-repair': (effect) => change(effect, { repairMarker: true }),
  'guest-remove': needsSignature,
  'guest-stop': needsSignature,
  'guest-onboot-off': needsSignature,
  'volume-shrink': needsSignature,
  'volume-remove': needsSignature,
  'volume-move': needsSignature,
  'mount-change': needsSignature,
  'backup-flag-off': needsSignature,
  'network-change': needsSignature,
  'nameserver-change': needsSignature,
};

/** `known`: the record of the guest that the effect is about. */
export function sagaForEffect(effect: GuestEffect, known: Known): SagaChoice {
  return choose(effect.kind, effect, known);
}

function choose<K extends GuestEffect['kind']>(kind: K, effect: Of<K>, known: Known): SagaChoice {
  return choices[kind](effect, known);
}
