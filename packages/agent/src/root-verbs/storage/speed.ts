/** How fast a disk answers: random reads of 4 KiB, one after the other, once in its life here. Reads only. */
import { open } from 'node:fs/promises';
import type { HostCommand } from '../../ports/host-command.ts';

export interface SpeedOptions {
  readonly device: string;
  readonly sizeBytes: number;
  readonly blockdev: HostCommand;
  /** Milliseconds; how far apart two readings are is all that counts. */
  readonly now: () => number;
  /** From 0 to just below 1. */
  readonly random: () => number;
}

const block = 4096;
const longestMs = 2_000;
const mostReads = 5_000;

/** Reads per second at which a disk counts as fast: no turning disk comes near it, and any with flash is far above. */
export const fastFrom = 500;

/** Reads per second; `undefined` where it could not be measured. */
export async function measureReads(options: SpeedOptions): Promise<number | undefined> {
  const { device, sizeBytes, blockdev, now, random } = options;
  const blocks = Math.floor(sizeBytes / block);
  if (blocks === 0) return undefined;
  try {
    // What is in memory already is no matter of the disk.
    await blockdev(['--flushbufs', device]);
    const file = await open(device, 'r');
    try {
      const piece = Buffer.allocUnsafe(block);
      const startedAt = now();
      let reads = 0;
      // A small disk would be in memory before long.
      const most = Math.max(1, Math.min(mostReads, Math.floor(blocks / 4)));
      while (reads < most && now() - startedAt < longestMs) {
        await file.read(piece, 0, block, Math.floor(random() * blocks) * block);
        reads += 1;
      }
      return Math.round((reads * 1000) / Math.max(1, now() - startedAt));
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
