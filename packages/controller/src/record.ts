/**
 * Small durable records. Each is padded to a fixed size: a restore-test compares numbers of files and bytes with what a
 * guest declared, and a record that is rewritten must not look like a difference.
 */
import type { z } from 'zod';
import type { GuestFiles } from './ports.ts';

const blockBytes = 4096;
const longestRecord = 1_200_000;

export interface RecordKind<T> {
  readonly path: string;
  readonly schema: z.ZodType<T>;
}

export type Recorded<T> =
  | { readonly is: 'held'; readonly value: T }
  | { readonly is: 'none' }
  /** There is something, and it is not what it should be. */
  | { readonly is: 'unreadable' };

export async function readRecord<T>(files: GuestFiles, { path, schema }: RecordKind<T>): Promise<Recorded<T>> {
  const bytes = await files.read(path, longestRecord);
  if (bytes === undefined) return { is: 'none' };
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return { is: 'unreadable' };
  }
  const parsed = schema.safeParse(raw);
  return parsed.success ? { is: 'held', value: parsed.data } : { is: 'unreadable' };
}

export async function writeRecord<T>(files: GuestFiles, { path }: RecordKind<T>, value: T): Promise<void> {
  await files.write(path, paddedJson(value), 0o600);
}

/** JSON, and blanks up to the next full block. */
export function paddedJson(value: unknown): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const padded = new Uint8Array(Math.ceil((json.length + 1) / blockBytes) * blockBytes).fill(0x20);
  padded.set(json);
  padded[padded.length - 1] = 0x0a;
  return padded;
}
