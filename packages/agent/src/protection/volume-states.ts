/**
 * Whether a guest can rely on its volumes now. Told from what is in memory, because every guest asks once a minute and a
 * disk that went away must be told while Proxmox waits for another one.
 */
import { reason } from '@felhom/protocol';
import type { GuestUid, LocalAnswer, Vmid } from '@felhom/protocol';
import type { GuestRegistry } from '../authority/guest-record.ts';
import { storageOf } from '../guests/index.ts';
import type { SeenConfig } from '../guests/index.ts';
import { done, refused } from '../kernel/index.ts';
import type { Outcome } from '../kernel/index.ts';
import type { StaleMounts } from '../stale-mounts/index.ts';

export interface VolumeStates {
  /** After a pass; one that could not look tells nothing. */
  saw(pass: { readonly problem: unknown; readonly seen: ReadonlyMap<Vmid, SeenConfig> }): void;
  of(guest: GuestUid, signal: AbortSignal): Promise<Outcome<LocalAnswer<'volumes'>>>;
}

export function createVolumeStates(needs: {
  readonly registry: Pick<GuestRegistry, 'byUid'>;
  readonly mounts: Pick<StaleMounts, 'reliance'>;
}): VolumeStates {
  let seen: ReadonlyMap<Vmid, SeenConfig> = new Map();
  return {
    saw: (pass) => {
      if (pass.problem === undefined) ({ seen } = pass);
    },
    async of(guest, signal) {
      const record = needs.registry.byUid(guest);
      if (record === undefined)
        return refused(reason('guest.unknown-uid', 'cannot tell about volumes: the guest is not known here'));
      const config = seen.get(record.vmid);
      if (config?.is !== 'present')
        return refused(reason('pve.guest-absent', 'cannot tell about volumes: the guest was not seen yet'));
      const stateOf = await needs.mounts.reliance(record, signal);
      return done({
        volumes: config.view.disks.map(({ key, volid, path }) => {
          const state = stateOf(storageOf(volid));
          return {
            name: record.volumes.find((volume) => volume.volid === volid)?.name ?? key,
            path: key === 'rootfs' ? '/' : path,
            ...(state === 'attached' ? {} : { state }),
          };
        }),
      });
    },
  };
}
