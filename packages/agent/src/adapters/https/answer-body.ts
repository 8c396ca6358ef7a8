/** Answers, bounded. */
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Dispatcher } from 'undici';

/**
 * The body as text, or `undefined` as soon as it is longer than `limit` bytes; the rest is never taken in. Of a compressed
 * one the limit counts what it becomes. Throws what the socket or zlib throws.
 */
export async function readUpTo(answer: Dispatcher.ResponseData, limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  const body = single(answer.headers['content-encoding']) === 'gzip' ? inflated(answer.body) : answer.body;
  for await (const chunk of body) {
    const bytes: Buffer = Buffer.from(chunk);
    size += bytes.length;
    if (size > limit) {
      body.destroy();
      return undefined;
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Whatever ends one of the two ends the other; whoever reads hears why. */
function inflated(body: Dispatcher.ResponseData['body']) {
  return pipeline(body, createGunzip(), () => undefined);
}

/** The first value of a header that may occur several times. */
export function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
