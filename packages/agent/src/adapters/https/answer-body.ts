/** Answers, bounded. */
import type { Dispatcher } from 'undici';

/** The body as text, or `undefined` as soon as it is longer than `limit` bytes; the rest is never taken in. */
export async function readUpTo(answer: Dispatcher.ResponseData, limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    const bytes: Buffer = Buffer.from(chunk);
    size += bytes.length;
    if (size > limit) {
      answer.body.destroy();
      return undefined;
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The first value of a header that may occur several times. */
export function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
