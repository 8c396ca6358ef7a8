// Growing a volume. PVE: API2/LXC.pm resize_vm.
import type { Call } from '../core.ts';
import { die } from '../core.ts';
import { withLock } from './guest-lock.ts';
import type { MountPoint } from './property-string.ts';
import { parseMountPoint, parseSize, printMountPoint } from './property-string.ts';
import type { GuestTraits } from './store.ts';
import { assertUnmodified, checkLock, storeOf, text, vmidOf } from './store.ts';

export async function resize(call: Call): Promise<string> {
  const { pve, who } = call;
  const store = storeOf(pve);
  const vmid = vmidOf(call);
  store.load(vmid);
  const growth = await withLock(pve, vmid, async () => checkGrowth(call));
  return pve.tasks.fork(who, 'resize', `${vmid}`, (task) =>
    withLock(pve, vmid, async () => {
      const { config } = store.load(vmid);
      await task.io(() => pve.storage.resize(growth.mount.volume, growth.wanted));
      config.active.set(growth.key, printMountPoint(growth.mount, { sizeBytes: growth.wanted }));
      store.write(vmid, config);
      if (pve.storage.volume(growth.mount.volume)?.format !== 'raw') return;
      const path = pve.storage.path(growth.mount.volume);
      const lines = store.isRunning(vmid)
        ? onlineLog(growth.wanted, store.traits)
        : offlineLog(path, growth.current, growth.wanted);
      for (const line of lines) task.log(line);
    }),
  );
}

interface Growth {
  readonly key: string;
  readonly mount: MountPoint;
  /** Bytes. */
  readonly current: number;
  readonly wanted: number;
}

function checkGrowth(call: Call): Growth {
  const { pve } = call;
  const vmid = vmidOf(call);
  const key = text(call, 'disk') ?? '';
  const { config, digest } = storeOf(pve).load(vmid);
  checkLock(config);
  assertUnmodified(text(call, 'digest'), digest);
  const mount = parseMountPoint(key, config.active.get(key));
  if (mount.kind !== 'volume') die(`unable to parse volume ID '${mount.volume}'`);
  const owner = pve.storage.parse(mount.volume)?.vmid;
  if (owner !== vmid) die(`can't resize mount point owned by another container (${owner ?? ''})`);
  const storage = mount.volume.slice(0, mount.volume.indexOf(':'));
  pve.access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace']);
  pve.storage.activate(storage);
  const current = pve.storage.volume(mount.volume)?.sizeBytes;
  if (current === undefined) die(`Could not determine current size of volume '${mount.volume}'`);
  const wanted = wantedSize(text(call, 'size') ?? '', current);
  if (wanted < current) die('unable to shrink disk size');
  if (wanted === current) die('disk is already at specified size');
  return { key, mount, current, wanted };
}

function wantedSize(asked: string, current: number): number {
  const relative = asked.startsWith('+');
  return (relative ? current : 0) + (parseSize(relative ? asked.slice(1) : asked) ?? 0);
}

const BLOCK = 4096;
const BYTES_PER_INODE = 16 * 1024;

/** What qemu-img, e2fsck and resize2fs print when the filesystem is not mounted. */
function offlineLog(path: string, before: number, after: number): string[] {
  const blocks = Math.floor(after / BLOCK);
  const inodes = Math.floor(before / BYTES_PER_INODE);
  const used = Math.floor(before / BLOCK / 20);
  return [
    'Image resized.',
    'e2fsck 1.47.0 (5-Feb-2023)',
    'Pass 1: Checking inodes, blocks, and sizes',
    'Pass 2: Checking directory structure',
    'Pass 3: Checking directory connectivity',
    'Pass 4: Checking reference counts',
    'Pass 5: Checking group summary information',
    `${path}: 317/${inodes} files (0.0% non-contiguous), ${used}/${Math.floor(before / BLOCK)} blocks`,
    'resize2fs 1.47.0 (5-Feb-2023)',
    `Resizing the filesystem on ${path} to ${blocks} (4k) blocks.`,
    `The filesystem on ${path} is now ${blocks} (4k) blocks long.`,
    '',
  ];
}

/**
 * Through the loop device of a running guest. A filesystem that does not grow is only told in the log: the task still
 * succeeds and the config names the new size.
 */
function onlineLog(after: number, traits: GuestTraits): string[] {
  const loop = '/dev/loop4';
  const script = `mount --make-rprivate / && mount ${loop} /tmp && resize2fs ${loop}`;
  const grown = [`The filesystem on ${loop} is now ${Math.floor(after / BLOCK)} (4k) blocks long.`];
  const denied = [
    'resize2fs: Permission denied to resize filesystem',
    `Filesystem at ${loop} is mounted on /tmp; on-line resizing required`,
    'old_desc_blocks = 1, new_desc_blocks = 1',
    `Failed to update the container's filesystem: command 'unshare -m -- sh -c '${script}'' failed: exit code 1`,
  ];
  const outcome = traits.hotplug === 'works' ? grown : denied;
  return ['Image resized.', 'resize2fs 1.47.0 (5-Feb-2023)', ...outcome, ''];
}
