/**
 * What running sagas will have taken from the host's budget when they are done. Facts are gathered from guests on
 * record; several effects of one pass are decided against the same facts, so without this ten guests would each fit.
 */
import type { BuiltEffect } from '../authority/effects.ts';
import type { GateFacts, StorageFacts } from '../authority/facts.ts';

export interface Reservation {
  readonly guests: number;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly swapMiB: number;
  readonly storagesGiB: Readonly<Record<string, number>>;
}

/** Only what takes more: what gives back is counted when it is seen. */
export function reservationOf(effect: BuiltEffect): Reservation | undefined {
  const none: Reservation = { guests: 0, cores: 0, memoryMiB: 0, swapMiB: 0, storagesGiB: {} };
  switch (effect.kind) {
    case 'guest-provision': {
      const { cores, memoryMiB, swapMiB, rootfs, volumes } = effect.desired;
      const storagesGiB = new Map<string, number>();
      for (const { storage, sizeGiB } of [rootfs, ...volumes])
        storagesGiB.set(storage, (storagesGiB.get(storage) ?? 0) + sizeGiB);
      return { guests: 1, cores, memoryMiB, swapMiB, storagesGiB: Object.fromEntries(storagesGiB) };
    }
    case 'cpu-up':
      return { ...none, cores: effect.to - effect.from };
    case 'memory-up':
      return { ...none, memoryMiB: effect.to - effect.from };
    case 'swap-up':
      return { ...none, swapMiB: effect.to - effect.from };
    case 'volume-grow': {
      const storage = effect.volid.slice(0, effect.volid.indexOf(':'));
      return { ...none, storagesGiB: { [storage]: effect.to - effect.from } };
    }
    case 'volume-add':
      return { ...none, storagesGiB: { [effect.volume.storage]: effect.volume.sizeGiB } };
    case 'guest-remove':
    case 'guest-start':
    case 'guest-stop':
    case 'guest-onboot-on':
    case 'guest-onboot-off':
    case 'cpu-down':
    case 'memory-down':
    case 'swap-down':
    case 'volume-shrink':
    case 'volume-remove':
    case 'volume-move':
    case 'mount-change':
    case 'backup-flag-on':
    case 'backup-flag-off':
    case 'network-change':
    case 'nameserver-change':
    case 'hostname-change':
    case 'label-change':
    case 'startup-change':
    case 'timezone-change':
    case 'marker-repair':
    case 'backup-run':
    case 'backup-on-demand':
    case 'backup-force':
    case 'backup-prune':
    case 'backup-delete':
    case 'backup-unprotect':
    case 'marker-renew':
    case 'restore-test':
    case 'scratch-sweep':
    case 'guest-recover':
    case 'checkpoint-drop':
    case 'controller-update':
    case 'claim-issue':
    case 'claim-drop':
    case 'guest-remount':
    case 'snapshot-take':
    case 'self-rollback':
    case 'restore-overwrite':
    case 'restore-in-place':
    case 'restore-copy':
    case 'guest-rollback':
    case 'restore-undo':
    case 'restore-finish':
    case 'guest-decommission':
    case 'guest-lift-quarantine':
    // What is adopted was there before, and is counted as soon as it is on record.
    case 'guest-adopt':
    case 'guest-re-register':
    case 'hold-set':
    case 'hold-clear':
    case 'saga-resume':
    case 'saga-abandon':
    case 'trust-change':
    case 'floor-change':
    case 'break-glass-open':
    case 'break-glass-close':
    case 'target-attach':
    case 'target-detach':
    case 'target-wipe':
    case 'target-re-point':
    case 'tunnel-change':
      return undefined;
  }
}

export function withReservations<F extends Pick<GateFacts, 'sums' | 'storages'>>(
  facts: F,
  reservations: readonly Reservation[],
): F {
  const sum = (of: (reservation: Reservation) => number): number =>
    reservations.reduce((total, reservation) => total + of(reservation), 0);
  const storages = new Map<string, StorageFacts>(
    [...facts.storages].map(([id, storage]) => [
      id,
      { ...storage, virtualGiB: storage.virtualGiB + sum((reservation) => reservation.storagesGiB[id] ?? 0) },
    ]),
  );
  return {
    ...facts,
    storages,
    sums: {
      guests: facts.sums.guests + sum((reservation) => reservation.guests),
      cores: facts.sums.cores + sum((reservation) => reservation.cores),
      memoryMiB: facts.sums.memoryMiB + sum((reservation) => reservation.memoryMiB),
      swapMiB: facts.sums.swapMiB + sum((reservation) => reservation.swapMiB),
    },
  };
}
