/**
 * What root completed, one small file per operation. No task of Proxmox will tell later what was done here; this does
 * [R13]. Receipts spare work and settle lost answers; nothing is allowed because of one.
 */
import { readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { HelperReceipt } from '../ports/host-helper.ts';
import { placeFile, readOwnFile } from './durable-file.ts';
import { ownFolder } from './root-files.ts';

/** Is a file name as it stands: no slash, and no dot to begin with. */
const operation = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/);
const receipt = z.strictObject({
  v: z.literal(1),
  operation,
  verb: z.string().regex(/^[a-z-]{1,40}$/),
  /** Milliseconds since the epoch. */
  at: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
});

const keptMs = 30 * 24 * 60 * 60_000;
/** Whoever may close break-glass may do so as often as they like; the disk is not theirs to fill. */
const keptMost = 1_000;

export interface Receipts {
  /** Throws where one lies that cannot be read: it must never look like none. */
  of(operation: string): HelperReceipt | undefined;
  /** On disk when it returns. Drops those of more than 30 days, and the oldest beyond a thousand. */
  keep(done: HelperReceipt): void;
}

/** The folder is made where it is missing, and belongs to root alone. */
export function receiptsIn(folder: string): Receipts {
  const fileOf = (id: string): string => join(folder, operation.parse(id));
  return {
    of: (id) => {
      const text = textOf(fileOf(id));
      if (text === undefined) return undefined;
      const { v: _, ...read } = receipt.parse(JSON.parse(text));
      if (read.operation !== id) throw new Error(`cannot use the receipt of ${id}: it is of ${read.operation}`);
      return read;
    },
    keep: (done) => {
      ownFolder(folder);
      const file = fileOf(done.operation);
      const text = JSON.stringify(receipt.parse({ v: 1, ...done }));
      placeFile(file, `${text}\n`, 0o600, (draft) => {
        utimesSync(draft, done.at / 1000, done.at / 1000);
        renameSync(draft, file);
      });
      try {
        dropOld(folder, done);
      } catch {
        // The receipt is there. What could not be dropped is tried again with the next one.
      }
    },
  };
}

const textOf = (file: string): string | undefined => readOwnFile(file, 0o022, 'others may write it');

/** Only one verb runs at a time, so a draft that lies here belongs to nobody any more. */
function dropOld(folder: string, newest: HelperReceipt): void {
  const kept: { readonly file: string; readonly at: number }[] = [];
  for (const name of readdirSync(folder)) {
    // However the clock was set, not the one that was just written.
    if (name === newest.operation) continue;
    const file = join(folder, name);
    const at = statSync(file).mtimeMs;
    if (name.startsWith('.') || newest.at - at > keptMs) rmSync(file);
    else kept.push({ file, at });
  }
  const newestFirst = kept.sort((a, b) => b.at - a.at);
  for (const { file } of newestFirst.slice(keptMost - 1)) rmSync(file);
}
