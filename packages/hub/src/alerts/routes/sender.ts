/** One way out of the hub for messages. */
import { readFile } from 'node:fs/promises';
import type { Message } from '../message.ts';

export interface Outgoing {
  /** The same for every try: receivers tell a repeat by it. */
  readonly id: string;
  readonly message: Message;
}

/** `text` says why, without an address, a secret or words of the other side. */
export type Sent = { readonly is: 'delivered' } | { readonly is: 'failed'; readonly text: string };

/** Tries once. `at` is the hub's time. Aborting ends the try; whether it arrived is then unknown. */
export type Sender = (outgoing: Outgoing, at: number, signal: AbortSignal) => Promise<Sent>;

export interface SenderLimits {
  /** Milliseconds for one try, all of it. */
  readonly timeoutMs: number;
}
export const senderLimits: SenderLimits = { timeoutMs: 15_000 };

/** Read anew for every try, so that a secret is changed by changing its file. White space around it does not count. */
export async function readSecret(what: string, file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new SecretUnreadable(`cannot read the ${what}: ${codeOf(error)}`, { cause: error });
  }
  if (text === '' || text.length > 4096 || /[\r\n\0]/.test(text))
    throw new SecretUnreadable(`cannot use the ${what}: it must be one line of at most 4096 characters`);
  return text;
}

/** Its message is safe to show. */
export class SecretUnreadable extends Error {}

/** The code of an error of the system or of a library, never its text. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string' && /^[A-Z0-9_]{1,60}$/.test(error.code)) return error.code;
  return error.cause === undefined ? error.name : codeOf(error.cause);
}
