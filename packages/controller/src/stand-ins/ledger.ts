/**
 * An app for labs and tests: two books that must agree. It enters a number into the left book and, a while later, into
 * the right one; whoever copies its files while it works is likely to find them torn. Asked to stand still, it makes them
 * agree first.
 */
import { z } from 'zod';
import type { Clock, GuestFiles } from '../ports.ts';

const book = z.object({ count: z.number(), sum: z.number() });
type Book = z.output<typeof book>;
const emptyBook: Book = { count: 0, sum: 0 };
const longestBook = 4096;

export interface LedgerOptions {
  readonly folder: string;
  /** Milliseconds between entries, and between the two books. */
  readonly everyMs: number;
  readonly gapMs: number;
}

export interface Ledger {
  start(): void;
  /** Resolves when the books agree and nothing will be entered any more. */
  stop(): Promise<void>;
  readonly works: () => boolean;
}

type LedgerNeeds = { readonly files: GuestFiles; readonly clock: Clock };

export function createLedger(needs: LedgerNeeds, options: LedgerOptions): Ledger {
  let working: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;
  return {
    start: () => {
      if (working !== undefined) return;
      const stop = new AbortController();
      working = { stop, done: work(needs, options, stop.signal) };
    },
    stop: async () => {
      const ending = working;
      ending?.stop.abort();
      await ending?.done;
      if (working === ending) working = undefined;
    },
    works: () => working !== undefined && !working.stop.signal.aborted,
  };
}

async function work({ files, clock }: LedgerNeeds, options: LedgerOptions, signal: AbortSignal): Promise<void> {
  const { folder, everyMs, gapMs } = options;
  const pause = (ms: number): Promise<void> => clock.sleep(ms, signal).catch(() => undefined);
  let left = await readBook(files, `${folder}/left.json`);
  while (!signal.aborted) {
    left = { count: left.count + 1, sum: left.sum + (left.count % 7) };
    await writeBook(files, `${folder}/left.json`, left);
    // Cut short when it is to stand still: then both are written at once.
    await pause(gapMs);
    await writeBook(files, `${folder}/right.json`, left);
    if (!signal.aborted) await pause(everyMs);
  }
}

/** `torn`: the books were copied while the app worked on them. */
export async function checkLedger(
  files: GuestFiles,
  folder: string,
): Promise<{ readonly is: 'empty' | 'agrees' | 'torn'; readonly count: number }> {
  const [left, right] = [await readBook(files, `${folder}/left.json`), await readBook(files, `${folder}/right.json`)];
  if (left.count === 0 && right.count === 0) return { is: 'empty', count: 0 };
  return { is: left.count === right.count && left.sum === right.sum ? 'agrees' : 'torn', count: left.count };
}

async function readBook(files: GuestFiles, path: string): Promise<Book> {
  const bytes = await files.read(path, longestBook);
  if (bytes === undefined) return emptyBook;
  try {
    return book.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return emptyBook;
  }
}

async function writeBook(files: GuestFiles, path: string, value: Book): Promise<void> {
  await files.write(path, new TextEncoder().encode(JSON.stringify(value)), 0o644);
}
