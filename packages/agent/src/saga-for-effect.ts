/**
 * Which saga carries out which effect. Whether it may happen is the gate's matter; an effect without a saga is refused
 * even where a gate would allow it.
 */
import type { Digest } from '@felhom/protocol';
import type { BuiltEffect, GuestRef } from './authority/effects.ts';
import { adoptGuest, cannotReRegister } from './adoption/index.ts';
import type { AdoptParams } from './adoption/index.ts';
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
import { freeGuest, liftQuarantine, quarantine } from './removal/index.ts';
import type { FreeGuestParams, LiftQuarantineParams, QuarantineParams, Removal } from './removal/index.ts';
import type { SignedOrder } from './admission/index.ts';
import { breakGlassClose, breakGlassOpen } from './break-glass/index.ts';
import type { BreakGlassCloseParams, BreakGlassNeeds, BreakGlassOpenParams } from './break-glass/index.ts';
import { trustChange } from './trust/index.ts';
import type { TrustChangeNeeds, TrustChangeParams } from './trust/index.ts';

export type SagaChoice =
  | {
      readonly is: 'saga';
      readonly definition: AnySaga<GuestNeeds & TrustChangeNeeds & BreakGlassNeeds>;
      /** Plain JSON; the definition's `parseParams` reads it back. */
      readonly params:
        | BringUpParams
        | ChangeConfigParams
        | ChangeAtRestParams
        | AddVolumeParams
        | GrowVolumeParams
        | StartParams
        | StopParams
        | QuarantineParams
        | LiftQuarantineParams
        | FreeGuestParams
        | AdoptParams
        | TrustChangeParams
        | BreakGlassOpenParams
        | BreakGlassCloseParams;
    }
  | { readonly is: 'not-supported'; readonly why: string };

/** What is known of the open removal of a guest; nothing of a guest that nobody removes. */
export type OpenRemoval = Pick<Removal, 'jobId' | 'before'>;

type Known = Pick<GuestRecord, 'volumes'> | undefined;
/** The effects of one kind; an intersection, because some of them share their shape with another kind. */
type Of<K extends BuiltEffect['kind']> = BuiltEffect & { readonly kind: K };
type Choices = {
  readonly [K in BuiltEffect['kind']]: (
    effect: Of<K>,
    known: Known,
    removal: RemovalOf,
    signed: SignedOrder | undefined,
  ) => SagaChoice;
};
type RemovalOf = (guest: GuestRef) => OpenRemoval | undefined;

const not = (why: string) => (): SagaChoice => ({ is: 'not-supported', why });
const soon = not('its saga is being built');
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

/** The root helper reads the signatures itself, so there is nothing to do without them. */
const unsigned: SagaChoice = { is: 'not-supported', why: 'it is carried out on the envelope of a signed job only' };

function changeTrust(before: Digest, signed: SignedOrder | undefined): SagaChoice {
  if (signed?.after === undefined) return unsigned;
  const { jobId, envelope, after } = signed;
  return { is: 'saga', definition: trustChange, params: { jobId, envelope, before, after } };
}

/** What nobody signed for has no stage: a saga's own leftovers are taken back by that saga, never from here. */
function remove(effect: Of<'guest-remove' | 'guest-decommission'>, removal: RemovalOf): SagaChoice {
  const { guest, volumes, stage } = effect;
  if (stage === 'quarantine') return { is: 'saga', definition: quarantine, params: { guest } };
  const jobId = removal(guest)?.jobId;
  if (stage === undefined || jobId === undefined)
    return {
      is: 'not-supported',
      why: 'a guest is destroyed only at the end of a signed removal, which is not on record',
    };
  return { is: 'saga', definition: freeGuest, params: { guest, lossSet: volumes, jobId } };
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
  'guest-remove': (effect, _, removal) => remove(effect, removal),
  'guest-decommission': (effect, _, removal) => remove(effect, removal),
  'guest-lift-quarantine': ({ guest }, _, removal) => {
    const before = removal(guest)?.before;
    return before === undefined
      ? { is: 'not-supported', why: 'no removal on record says how it was before its quarantine' }
      : { is: 'saga', definition: liftQuarantine, params: { guest, before } };
  },
  'guest-adopt': ({ vmid, name, configDigest, volumes }) => ({
    is: 'saga',
    definition: adoptGuest,
    params: { vmid, name, configDigest, volumes },
  }),
  'guest-re-register': not(cannotReRegister),
  'backup-run': soon,
  'backup-on-demand': soon,
  'backup-force': soon,
  'backup-prune': soon,
  'backup-delete': soon,
  'backup-unprotect': soon,
  'marker-renew': soon,
  'restore-test': soon,
  'scratch-sweep': soon,
  'guest-recover': soon,
  'checkpoint-drop': soon,
  'controller-update': soon,
  'claim-issue': soon,
  'claim-drop': soon,
  'snapshot-take': soon,
  'self-rollback': soon,
  'restore-overwrite': soon,
  'restore-in-place': soon,
  'restore-copy': soon,
  'guest-rollback': soon,
  'restore-undo': soon,
  'restore-finish': soon,
  'hold-set': elsewhere,
  'hold-clear': elsewhere,
  'saga-resume': elsewhere,
  'saga-abandon': elsewhere,
  'trust-change': ({ before }, _known, _removal, signed) => changeTrust(before, signed),
  'floor-change': ({ before }, _known, _removal, signed) => changeTrust(before, signed),
  'break-glass-open': ({ minutes }, _known, _removal, signed) =>
    signed === undefined
      ? unsigned
      : {
          is: 'saga',
          definition: breakGlassOpen,
          params: { jobId: signed.jobId, envelope: signed.envelope, minutes },
        },
  'break-glass-close': (_effect, _known, _removal, signed) => ({
    is: 'saga',
    definition: breakGlassClose,
    params: { reason: signed === undefined ? 'the agent closes it' : `job ${signed.jobId}` },
  }),
};

/**
 * `known`: the record of the guest that the effect is about. `removal`: the open or cancelled removal of a guest, which
 * a removal's second half and the lifting of a quarantine rest on. `signed`: the job behind signed evidence.
 */
export function sagaForEffect(
  effect: BuiltEffect,
  known: Known,
  removal: RemovalOf = () => undefined,
  signed?: SignedOrder,
): SagaChoice {
  return choose(effect.kind, effect, known, removal, signed);
}

function choose<K extends BuiltEffect['kind']>(
  kind: K,
  effect: Of<K>,
  known: Known,
  removal: RemovalOf,
  signed: SignedOrder | undefined,
): SagaChoice {
  return choices[kind](effect, known, removal, signed);
}
