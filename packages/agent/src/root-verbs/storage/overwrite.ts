/**
 * What wiping does to a device: its ends are overwritten and its signatures taken away, so that nothing takes it for what it
 * was. No secure erase: what lies between stays. The kernel itself says whether anybody holds the device, in whatever mount
 * namespace: an exclusive opening of a disk fails while a part of it is mounted, swap, or of LVM, md or ZFS.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { HostCommand } from '../../ports/host-command.ts';

export interface OverwriteOrder {
  /** As the kernel names it now. */
  readonly device: string;
  /** The disk that it is, or is a part of. */
  readonly whole: string;
  readonly sizeBytes: number;
}

export type OverwriteAnswer =
  | { readonly is: 'done' }
  /** Somebody holds it. `begun`: only once a part of it was overwritten. */
  | { readonly is: 'held' | 'begun'; readonly text: string };

export type Overwrite = (order: OverwriteOrder) => Promise<OverwriteAnswer>;

const mebibyte = 1024 * 1024;
const endBytes = 4 * mebibyte;
/** The superblocks of ext4, XFS and btrfs begin before it. Last, so that the disk is told by its UUID until then. */
const headBytes = 128 * 1024;

/** Opens real devices. The same again does it again. Throws what the disk says. */
export function createOverwrite(wipefs: HostCommand): Overwrite {
  return async ({ device, whole, sizeBytes }) => {
    const held = (await heldBy(whole)) ?? (await heldBy(device));
    if (held !== undefined) return { is: 'held', text: held };
    const tail = Math.max(headBytes, sizeBytes - endBytes);
    await zero(device, [
      [tail, sizeBytes],
      [headBytes, Math.min(endBytes, tail)],
    ]);
    const { code, stderr } = await wipefs(['--all', '--', device]);
    if (code !== 0) return { is: 'begun', text: `wipefs ended with ${code}: ${stderr.trim().slice(0, 300)}` };
    await zero(device, [[0, Math.min(headBytes, sizeBytes)]]);
    return { is: 'done' };
  };
}

async function heldBy(device: string): Promise<string | undefined> {
  try {
    await (await open(device, constants.O_RDONLY | constants.O_EXCL)).close();
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    return `${device} is in use: the kernel does not let it be held alone`;
  }
}

/** From the first byte up to the second one. On the disk when it returns. */
async function zero(device: string, ranges: readonly (readonly [from: number, to: number])[]): Promise<void> {
  const file = await open(device, constants.O_RDWR | constants.O_EXCL);
  try {
    const piece = Buffer.alloc(mebibyte);
    for (const [from, to] of ranges)
      for (let at = from; at < to;)
        at += (await file.write(piece, 0, Math.min(piece.length, to - at), at)).bytesWritten;
    await file.sync();
  } finally {
    await file.close();
  }
}
