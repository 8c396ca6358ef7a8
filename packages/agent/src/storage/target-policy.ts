/** The policy of the host with its declared targets in it: both files are root's, and of one name the manifest's wins. */
import { targetIdentity, isDisk } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import type { StorageManifest } from '../storage-manifest.ts';

/** Pure. A decommissioned target takes nothing any more: what desired state still sends there is said to have no target. */
export function withTargets(policy: HostPolicy, { targets }: StorageManifest): HostPolicy {
  if (targets.length === 0) return policy;
  const inUse = targets.filter(({ state }) => state === 'attached').map(({ target }) => target);
  const names = new Set(targets.map(({ target }) => target.name));
  const declared = inUse.filter(({ role }) => role === 'vzdump-target' || role === 'pbs-offsite');
  const storagesOf = (of: typeof inUse) => of.map(({ storage }) => storage);
  const forGuests = inUse.filter(({ role }) => role === 'primary' || role === 'bulk-data');
  return {
    ...policy,
    storages: [...new Set([...policy.storages, ...storagesOf(forGuests)])],
    slowStorages: [
      ...new Set([...policy.slowStorages, ...storagesOf(inUse.filter((target) => target.class === 'slow'))]),
    ],
    backups: {
      ...policy.backups,
      targets: Object.fromEntries([
        ...Object.entries(policy.backups.targets).filter(([name]) => !names.has(name)),
        ...declared.map((target) => [
          target.name,
          {
            storage: target.storage,
            class: target.class,
            offsite: target.offsite,
            // What the helper calls the device of a share or a server, it alone knows.
            ...(isDisk(target) ? { device: targetIdentity(target) } : {}),
          },
        ]),
      ]),
    },
  };
}
