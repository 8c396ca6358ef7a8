/** What root's verbs about storage stand on, on a host as it is. */
import { createHostCommand } from '../adapters/host-command/index.ts';
import { loadFile } from '../adapters/config-file/index.ts';
import { createManifestFile } from '../adapters/storage-manifest-file/index.ts';
import { systemRandom } from '../adapters/system-clock/index.ts';
import { createSystemctl } from '../adapters/systemctl/index.ts';
import { readRootOwned } from '../adapters/trust-file/index.ts';
import { hostPolicy } from '../host-policy.ts';
import { createBlockDevices } from '../root-verbs/storage/index.ts';
import type { StorageWorld } from '../root-verbs/storage/index.ts';
import { mountRoot } from '../storage-manifest.ts';

const manifestFile = '/etc/felhom/storage.json';
const rootUid = 0;

/** `policy`: the root-owned file that names node and pool. */
export function hostStorage(policy: string): StorageWorld {
  const tool = (program: string) => createHostCommand({ program, timeoutMs: 60_000 });
  const random = systemRandom();
  const wipefs = tool('/usr/sbin/wipefs');
  const hex = (bytes: number): string => Buffer.from(random.bytes(bytes)).toString('hex');
  return {
    registry: { file: manifestFile, read: createManifestFile(manifestFile, { ownerUids: [rootUid] }) },
    units: '/etc/systemd/system',
    mountRoot,
    credentials: '/etc/felhom/credentials',
    guestConfigs: ['/etc/pve/lxc', '/etc/pve/qemu-server'],
    systemctl: createSystemctl(),
    tools: {
      lsblk: tool('/usr/bin/lsblk'),
      blkid: tool('/usr/sbin/blkid'),
      findmnt: tool('/usr/bin/findmnt'),
      blockdev: tool('/usr/sbin/blockdev'),
      chattr: tool('/usr/bin/chattr'),
      dd: tool('/usr/bin/dd'),
      // Proxmox waits a minute for the lock of its configuration, and then for the server.
      perl: createHostCommand({ program: '/usr/bin/perl', timeoutMs: 110_000 }),
      systemdCreds: tool('/usr/bin/systemd-creds'),
      mount: tool('/usr/bin/mount'),
      umount: tool('/usr/bin/umount'),
      wipefs,
    },
    lookFolder: '/run/felhom-root/private/look',
    blockDevices: createBlockDevices(wipefs),
    newMark: () => hex(16),
    random: () => Number.parseInt(hex(6), 16) / 2 ** 48,
    node: () => {
      const owned = readRootOwned(policy, [rootUid]);
      if (owned.is === 'unreadable') return { bad: owned.why.text };
      const loaded = loadFile(policy, hostPolicy);
      return loaded.is === 'bad' ? { bad: loaded.why.text } : { node: loaded.value.node, pool: loaded.value.pool };
    },
  };
}
