/**
 * Which saga carries out which effect. Whether it may happen is the gate's matter; an effect without a saga is refused
 * even where a gate would allow it.
 */
import type { BuiltEffect } from './authority/effects.ts';
import type { AnySaga } from './kernel/saga.ts';
import { addVolume } from './guests/add-volume.saga.ts';
import type { AddVolumeParams } from './guests/add-volume.saga.ts';
import { bringUp } from './bring-up/bring-up.saga.ts';
import type { BringUpParams } from './bring-up/bring-up-state.ts';
import { changeConfig } from './guests/change-config.saga.ts';
import type { ChangeConfigParams } from './guests/change-config.saga.ts';
import { changeAtRest } from './guests/change-at-rest.saga.ts';
import type { ChangeAtRest, ChangeAtRestParams } from './guests/change-at-rest.saga.ts';
import { growVolume } from './guests/grow-volume.saga.ts';
import type { GrowVolumeParams } from './guests/grow-volume.saga.ts';
import type { GuestNeeds } from './guests/needs.ts';
import type { SettingsChange } from './guests/pve-config.ts';
import { startGuest } from './guests/start.saga.ts';
import type { StartParams } from './guests/start.saga.ts';
import { stopGuest } from './guests/stop.saga.ts';
import type { StopParams } from './guests/stop.saga.ts';
import type { GuestRecord } from './authority/guest-record.ts';

export type SagaChoice =
  | {
      readonly is: 'saga';
      readonly definition: AnySaga<GuestNeeds>;
      /** Plain JSON; the definition's `parseParams` reads it back. */
      readonly params:
        | BringUpParams
        | ChangeConfigParams
        | ChangeAtRestParams
        | AddVolumeParams
        | GrowVolumeParams
        | StartParams
        | StopParams;
    }
  | { readonly is: 'not-supported'; readonly why: string };

type Known = Pick<GuestRecord, 'volumes'> | undefined;
/** The effects of one kind; an intersection, because some of them share their shape with another kind. */
type Of<K extends BuiltEffect['kind']> = BuiltEffect & { readonly kind: K };
type Choices = { readonly [K in BuiltEffect['kind']]: (effect: Of<K>, known: Known) => SagaChoice };

const not = (why: string) => (): SagaChoice => ({ is: 'not-supported', why });
const elsewhere = not('it needs no saga on a guest; another part of the agent carries it out');

const change = (effect: { readonly guest: ChangeConfigParams['guest'] }, settings: SettingsChange): SagaChoice => ({
  is: 'saga',
  definition: changeConfig,
  params: { guest: effect.guest, change: settings },
});

const atRest = (effect: { readonly guest: ChangeAtRestParams['guest'] }, wanted: ChangeAtRest): SagaChoice => ({
  is: 'saga',
  definition: changeAtRest,
  params: { guest: effect.guest, change: wanted },
});

/** On the mount that the record has for a volume's name. */
function onMount(known: Known, volume: string, choose: (key: string) => SagaChoice): SagaChoice {
  const key = known?.volumes.find((candidate) => candidate.name === volume)?.key;
  return key === undefined ? { is: 'not-supported', why: `volume ${volume} is not on record` } : choose(key);
}

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
  'backup-flag-on': (effect, known) => onMount(known, effect.volume, (key) => change(effect, { backupOn: key })),
  'hostname-change': (effect) => change(effect, { hostname: effect.to }),
  'label-change': (effect) => change(effect, { tags: effect.tags, label: effect.label }),
  'startup-change': (effect) => change(effect, { startupOrder: effect.to === '' ? null : Number(effect.to) }),
  'timezone-change': (effect) => change(effect, { timezone: effect.to === '' ? null : effect.to }),
  'marker-repair': (effect) => change(effect, { repairMarker: true }),
  'guest-stop': ({ guest }) => ({ is: 'saga', definition: stopGuest, params: { guest } }),
  'guest-onboot-off': (effect) => change(effect, { onboot: false }),
  'mount-change': (effect, known) =>
    onMount(known, effect.volume, (key) => atRest(effect, { is: 'mount', key, to: effect.to })),
  'backup-flag-off': (effect, known) =>
    onMount(known, effect.volume, (key) => atRest(effect, { is: 'backup-off', key })),
  'network-change': (effect) => atRest(effect, { is: 'network', network: effect.network, to: effect.to }),
  'nameserver-change': (effect) =>
    atRest(effect, { is: 'nameservers', to: effect.to === '' ? [] : effect.to.split(' ') }),
  'volume-shrink': not(
    'Proxmox cannot make a disk smaller; add a smaller volume, copy, then have the large one removed',
  ),
  'volume-remove': not('this release frees volumes only together with their guest'),
  'volume-move': not('this release moves no volumes between storages; move it in Proxmox while the guest stands still'),
  'guest-remove': not('this release cannot do that yet'),
  'guest-decommission': not('this release cannot do that yet'),
  'guest-lift-quarantine': not('this release cannot do that yet'),
  'guest-adopt': not('this release cannot do that yet'),
  'guest-re-register': not('this release cannot do that yet'),
  'hold-set': elsewhere,
  'hold-clear': elsewhere,
  'saga-resume': elsewhere,
  'saga-abandon': elsewhere,
  'trust-change': elsewhere,
  'floor-change': elsewhere,
  'break-glass-open': elsewhere,
  'break-glass-close': elsewhere,
};

/** `known`: the record of the guest that the effect is about. */
export function sagaForEffect(effect: BuiltEffect, known: Known): SagaChoice {
  return choose(effect.kind, effect, known);
}

function choose<K extends BuiltEffect['kind']>(kind: K, effect: Of<K>, known: Known): SagaChoice {
  return choices[kind](effect, known);
}
