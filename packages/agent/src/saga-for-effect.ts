/**
 * Which saga carries out which effect. Whether it may happen is the gate's matter; an effect without a saga is refused
 * even where a gate would allow it.
 */
import type { Digest, StorageId } from '@felhom/protocol';
import type { BackupBytes, BuiltEffect, GuestRef } from './authority/effects.ts';
import { backup, deleteBackup, pruneBackup, renewMarker, unprotectBackup } from './backups/index.ts';
import { checkpointGuest, dropCheckpoint, rollBack } from './checkpoints/index.ts';
import { dropClaim, issueClaim, updateController } from './controllers/index.ts';
import { recoverGuest } from './recovery/index.ts';
import { remountGuest } from './stale-mounts/index.ts';
import { restoreTest, sweepScratch } from './restore-tests/index.ts';
import { finishRestore, restoreCopy, restoreInPlace, restoreOverwrite, undoRestore } from './restores/index.ts';
import { adoptGuest, cannotReRegister } from './adoption/index.ts';
import type { AnySaga, SagaDefinition } from './kernel/saga.ts';
import { addVolume } from './guests/add-volume.saga.ts';
import { bringUp } from './bring-up/bring-up.saga.ts';
import { changeConfig } from './guests/change-config.saga.ts';
import { changeAtRest } from './guests/change-at-rest.saga.ts';
import type { ChangeAtRest, ChangeAtRestParams } from './guests/change-at-rest.saga.ts';
import { growVolume } from './guests/grow-volume.saga.ts';
import type { SettingsChange } from './guests/pve-config.ts';
import { startGuest } from './guests/start.saga.ts';
import { stopGuest } from './guests/stop.saga.ts';
import type { GuestRecord } from './authority/guest-record.ts';
import { freeGuest, liftQuarantine, quarantine } from './removal/index.ts';
import type { Removal } from './removal/index.ts';
import type { SignedOrder } from './admission/index.ts';
import { breakGlassClose, breakGlassOpen } from './break-glass/index.ts';
import { targetChange, trustChange, tunnelChange } from './trust/index.ts';

export type SagaChoice =
  | {
      readonly is: 'saga';
      readonly definition: AnySaga;
      /** Plain JSON; the definition's `parseParams` reads it back. */
      readonly params: unknown;
    }
  | { readonly is: 'not-supported'; readonly why: string };

/** Holds parameters to their saga: nothing else does, because the registry and the runner look inside neither. */
const saga = <Params, State extends object, Needs>(
  definition: SagaDefinition<Params, State, Needs>,
  params: Params,
): SagaChoice => ({ is: 'saga', definition, params });

/** What of the plans and the catalogue an effect leaves out, because it names bytes and tiers. */
export interface SagaLookup {
  /** The id of the backup on record with these bytes. */
  backupId(bytes: BackupBytes): string | undefined;
  storageOf(tier: string): StorageId | undefined;
  readonly scratchStorage: StorageId | undefined;
}

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
    lookup: SagaLookup,
  ) => SagaChoice;
};
type RemovalOf = (guest: GuestRef) => OpenRemoval | undefined;

const not = (why: string) => (): SagaChoice => ({ is: 'not-supported', why });
const elsewhere = not('it needs no saga on a guest; another part of the agent carries it out');

const change = (effect: { readonly guest: GuestRef }, settings: SettingsChange): SagaChoice =>
  saga(changeConfig, { guest: effect.guest, change: settings });

const atRest = (effect: { readonly guest: ChangeAtRestParams['guest'] }, wanted: ChangeAtRest): SagaChoice =>
  saga(changeAtRest, { guest: effect.guest, change: wanted });

function onTier(tier: string, lookup: SagaLookup, choose: (storage: StorageId) => SagaChoice): SagaChoice {
  const storage = lookup.storageOf(tier);
  return storage === undefined ? { is: 'not-supported', why: `tier ${tier} is not in force here` } : choose(storage);
}

function onRecord(bytes: BackupBytes, lookup: SagaLookup, choose: (id: string) => SagaChoice): SagaChoice {
  const id = lookup.backupId(bytes);
  return id === undefined
    ? { is: 'not-supported', why: `no backup ${bytes.archive} with these bytes is on record` }
    : choose(id);
}

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
  return saga(trustChange, { jobId, envelope, before, after });
}

const changeTarget = (signed: SignedOrder | undefined): SagaChoice =>
  signed === undefined ? unsigned : saga(targetChange, { jobId: signed.jobId, envelope: signed.envelope });

/** What nobody signed for has no stage: a saga's own leftovers are taken back by that saga, never from here. */
function remove(effect: Of<'guest-remove' | 'guest-decommission'>, removal: RemovalOf): SagaChoice {
  const { guest, volumes, stage } = effect;
  if (stage === 'quarantine') return saga(quarantine, { guest });
  const jobId = removal(guest)?.jobId;
  if (stage === undefined || jobId === undefined)
    return {
      is: 'not-supported',
      why: 'a guest is destroyed only at the end of a signed removal, which is not on record',
    };
  return saga(freeGuest, { guest, lossSet: volumes, jobId });
}

const cores = (effect: Of<'cpu-up' | 'cpu-down'>): SagaChoice => change(effect, { cores: effect.to });

type Sized = Of<'memory-up' | 'memory-down' | 'swap-up' | 'swap-down'>;
const memory = (effect: Sized): SagaChoice => change(effect, { memoryMiB: effect.to });
const swap = (effect: Sized): SagaChoice => change(effect, { swapMiB: effect.to });

const choices: Choices = {
  'guest-provision': ({ desired }) => saga(bringUp, { desired }),
  'guest-start': ({ guest }) => saga(startGuest, { guest }),
  'guest-onboot-on': (effect) => change(effect, { onboot: true }),
  'cpu-up': cores,
  'cpu-down': cores,
  'memory-up': memory,
  'memory-down': memory,
  'swap-up': swap,
  'swap-down': swap,
  'volume-add': ({ guest, volume }) => saga(addVolume, { guest, volume }),
  'volume-grow': ({ guest, volid, volume, to }, known) => {
    const key = known?.volumes.find((candidate) => candidate.volid === volid)?.key;
    return key === undefined
      ? { is: 'not-supported', why: `volume ${volume} (${volid}) is not on record` }
      : saga(growVolume, { guest, key, toGiB: to });
  },
  'backup-flag-on': (effect, known) => onMount(known, effect.volume, (key) => change(effect, { backupOn: key })),
  'hostname-change': (effect) => change(effect, { hostname: effect.to }),
  'label-change': (effect) => change(effect, { tags: effect.tags, label: effect.label }),
  'startup-change': (effect) => change(effect, { startupOrder: effect.to === '' ? null : Number(effect.to) }),
  'timezone-change': (effect) => change(effect, { timezone: effect.to === '' ? null : effect.to }),
  'marker-repair': (effect) => change(effect, { repairMarker: true }),
  'guest-stop': ({ guest }) => saga(stopGuest, { guest }),
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
      : saga(liftQuarantine, { guest, before });
  },
  'guest-adopt': ({ vmid, name, configDigest, volumes }) => saga(adoptGuest, { vmid, name, configDigest, volumes }),
  'guest-re-register': not(cannotReRegister),
  'backup-run': ({ guest, tier, slot, lease }, _known, _removal, _signed, lookup) =>
    onTier(tier, lookup, (storage) =>
      saga(backup, { guest, tier, storage, slot, class: 'scheduled', ...(lease === undefined ? {} : { lease }) }),
    ),
  'backup-on-demand': ({ guest, tier, lease }, _known, _removal, _signed, lookup) =>
    onTier(tier, lookup, (storage) =>
      saga(backup, { guest, tier, storage, class: 'on-demand', ...(lease === undefined ? {} : { lease }) }),
    ),
  'backup-force': ({ guest, tier }, _known, _removal, _signed, lookup) =>
    onTier(tier, lookup, (storage) => saga(backup, { guest, tier, storage, class: 'on-demand' })),
  'backup-prune': ({ guest, backup: bytes }, _known, _removal, _signed, lookup) =>
    onRecord(bytes, lookup, (id) => saga(pruneBackup, { guest, backup: { ...bytes, id } })),
  'backup-delete': ({ guest, backup: bytes }) => saga(deleteBackup, { guest, backup: bytes }),
  'backup-unprotect': ({ guest, backup: bytes }) => saga(unprotectBackup, { guest, backup: bytes }),
  'marker-renew': ({ guest }) => saga(renewMarker, { guest }),
  'restore-test': ({ guest, tier, backup: bytes }, _known, _removal, _signed, lookup) =>
    onRecord(bytes, lookup, (id) =>
      lookup.scratchStorage === undefined
        ? { is: 'not-supported', why: 'no storage for scratch guests is in the policy' }
        : saga(restoreTest, { guest, tier, backup: { ...bytes, id }, storage: lookup.scratchStorage }),
    ),
  'scratch-sweep': ({ guest }) => saga(sweepScratch, { guest }),
  'guest-recover': ({ guest, tier, backup: bytes }) => saga(recoverGuest, { guest, tier, backup: bytes }),
  'checkpoint-drop': ({ guest, checkpoint }) => saga(dropCheckpoint, { guest, checkpoint }),
  'controller-update': ({ guest, role, version, digest }) => saga(updateController, { guest, role, version, digest }),
  'claim-issue': ({ guest }) => saga(issueClaim, { guest }),
  'claim-drop': ({ guest }) => saga(dropClaim, { guest }),
  'guest-remount': ({ guest, targets }) => saga(remountGuest, { guest, targets }),
  'snapshot-take': ({ guest, purpose }) => saga(checkpointGuest, { guest, purpose }),
  'self-rollback': ({ guest, checkpoint }) => saga(rollBack, { guest, checkpoint }),
  'guest-rollback': ({ guest, snapshot, takenAt, volumes }) =>
    saga(rollBack, { guest, checkpoint: snapshot, signed: { takenAt, volumes } }),
  'restore-overwrite': ({ guest, backup: bytes, bulk, loss, undoHours }, _known, _removal, signed) =>
    signed === undefined
      ? unsigned
      : saga(restoreOverwrite, { guest, backup: bytes, bulk, loss, undoHours, jobId: signed.jobId }),
  'restore-in-place': ({ guest, backup: bytes, bulk, loss }, _known, _removal, signed) =>
    signed === undefined ? unsigned : saga(restoreInPlace, { guest, backup: bytes, bulk, loss, jobId: signed.jobId }),
  'restore-copy': ({ guest, backup: bytes, name }, _known, _removal, signed) =>
    signed === undefined ? unsigned : saga(restoreCopy, { guest, backup: bytes, name, jobId: signed.jobId }),
  'restore-undo': ({ guest, sagaId, loss }, _known, _removal, signed) =>
    signed === undefined ? unsigned : saga(undoRestore, { guest, sagaId, loss, jobId: signed.jobId }),
  // At the end of the window it is the restore's own signature that covers this.
  'restore-finish': ({ guest, sagaId, loss }, _known, _removal, signed) =>
    saga(finishRestore, { guest, sagaId, loss, jobId: signed?.jobId ?? sagaId }),
  'hold-set': elsewhere,
  'hold-clear': elsewhere,
  'saga-resume': elsewhere,
  'saga-abandon': elsewhere,
  'trust-change': ({ before }, _known, _removal, signed) => changeTrust(before, signed),
  'floor-change': ({ before }, _known, _removal, signed) => changeTrust(before, signed),
  'break-glass-open': ({ minutes }, _known, _removal, signed) =>
    signed === undefined ? unsigned : saga(breakGlassOpen, { jobId: signed.jobId, envelope: signed.envelope, minutes }),
  'target-attach': (_effect, _known, _removal, signed) => changeTarget(signed),
  'target-detach': (_effect, _known, _removal, signed) => changeTarget(signed),
  'target-wipe': (_effect, _known, _removal, signed) => changeTarget(signed),
  'target-re-point': (_effect, _known, _removal, signed) => changeTarget(signed),
  'tunnel-change': (_effect, _known, _removal, signed) =>
    signed === undefined ? unsigned : saga(tunnelChange, { jobId: signed.jobId, envelope: signed.envelope }),
  'break-glass-close': (_effect, _known, _removal, signed) =>
    saga(breakGlassClose, { reason: signed === undefined ? 'the agent closes it' : `job ${signed.jobId}` }),
};

const knowsNothing: SagaLookup = {
  backupId: () => undefined,
  storageOf: () => undefined,
  scratchStorage: undefined,
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
  lookup: SagaLookup = knowsNothing,
): SagaChoice {
  return choose(effect.kind, effect, known, removal, signed, lookup);
}

function choose<K extends BuiltEffect['kind']>(
  kind: K,
  effect: Of<K>,
  known: Known,
  removal: RemovalOf,
  signed: SignedOrder | undefined,
  lookup: SagaLookup,
): SagaChoice {
  return choices[kind](effect, known, removal, signed, lookup);
}
