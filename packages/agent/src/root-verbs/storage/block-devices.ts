/**
 * What wiping does to a device: its ends are overwritten and its signatures taken away, so that nothing takes it for what it
 * was. No secure erase: what lies between stays. The kernel itself says whether anybody holds the device, in whatever mount
 * namespace: an exclusive opening of a disk fails while a part of it is mounted, swap, or of LVM, md or ZFS.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { HostCommand } from '../../ports/host-command.ts';

export interface OverwriteOrder {
  /** As the kernel names it now. */
  readonly device: string;
  readonly sizeBytes: number;
  /** Asked while it is held, before the first byte: whether that is still what it was when somebody looked. */
  readonly isStill: () => Promise<boolean>;
  /** All but its first bytes are zeros, on disk: from here on it may not show its UUID any more. */
  readonly beforeHead: () => void;
}

export type OverwriteAnswer =
  | { readonly is: 'done' }
  /** `held`: somebody has it, or it is another one now; not a byte was written. */
  | { readonly is: 'held' | 'begun'; readonly text: string };

export interface BlockDevices {
  /** Why nobody may have it alone; `undefined`: nobody has it, nor a part of it. Throws what the disk says. */
  heldBy(device: string): Promise<string | undefined>;
  /** The same again does it again. Throws what the disk says. */
  overwrite(order: OverwriteOrder): Promise<OverwriteAnswer>;
  /** Whether its ends are zeros, as `overwrite` leaves them before the first bytes go. Throws what the disk says. */
  isOverwritten(part: Pick<OverwriteOrder, 'device' | 'sizeBytes'>): Promise<boolean>;
}

const mebibyte = 1024 * 1024;
const endBytes = 4 * mebibyte;
/** The superblocks of ext4, XFS and btrfs begin before it. Last, so that the disk is told by its UUID until then. */
const headBytes = 128 * 1024;

/** What is overwritten before the first bytes: from, to. */
const endsOf = (sizeBytes: number): readonly (readonly [from: number, to: number])[] => {
  const tail = Math.max(headBytes, sizeBytes - endBytes);
  return [
    [tail, sizeBytes],
    [headBytes, Math.min(endBytes, tail)],
  ];
};

/** `wipefs`: for signatures that lie elsewhere. */
export function createBlockDevices(wipefs: HostCommand): BlockDevices {
  const alone = async (device: string, mode: number): Promise<FileHandle | undefined> => {
    try {
      return await open(device, mode | constants.O_EXCL);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return undefined;
      throw error;
    }
  };
  const inUse = (device: string): string => `${device} is in use: the kernel does not let it be held alone`;
  return {
    heldBy: async (device) => {
      const file = await alone(device, constants.O_RDONLY);
      await file?.close();
      return file === undefined ? inUse(device) : undefined;
    },
    overwrite: async ({ device, sizeBytes, isStill, beforeHead }) => {
      // As long as it is held its name goes to no other disk, whatever is pulled and plugged (Linux: sd.c scsi_disk_release):
      // what is asked now stays true.
      const file = await alone(device, constants.O_RDWR);
      if (file === undefined) return { is: 'held', text: inUse(device) };
      try {
        if (!(await isStill())) return { is: 'held', text: `${device} is another disk now` };
        for (const [from, to] of endsOf(sizeBytes)) await zero(file, from, to);
        await file.sync();
        beforeHead();
        // It would hold the device itself, which is held already.
        const { code, stderr } = await wipefs(['--all', '--force', '--', device]);
        if (code !== 0) return { is: 'begun', text: `wipefs ended with ${code}: ${stderr.trim().slice(0, 300)}` };
        await zero(file, 0, Math.min(headBytes, sizeBytes));
        await file.sync();
        return { is: 'done' };
      } finally {
        await file.close();
      }
    },
    isOverwritten: async ({ device, sizeBytes }) => {
      const file = await open(device, constants.O_RDONLY);
      try {
        for (const [from, to] of endsOf(sizeBytes)) if (!(await isZero(file, from, to))) return false;
        return true;
      } finally {
        await file.close();
      }
    },
  };
}

/** From the first byte up to the second one. */
async function zero(file: FileHandle, from: number, to: number): Promise<void> {
  const piece = Buffer.alloc(mebibyte);
  for (let at = from; at < to;) at += (await file.write(piece, 0, Math.min(piece.length, to - at), at)).bytesWritten;
}

async function isZero(file: FileHandle, from: number, to: number): Promise<boolean> {
  const piece = Buffer.alloc(mebibyte);
  for (let at = from; at < to;) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, to - at), at);
    if (bytesRead === 0 || piece.subarray(0, bytesRead).some((byte) => byte !== 0)) return false;
    at += bytesRead;
  }
  return true;
}
