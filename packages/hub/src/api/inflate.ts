/**
 * Compressed requests, taken in without trusting what they say of themselves: no more is inflated than the route takes,
 * and a body that becomes far more than it was is refused as soon as that shows, a few chunks in.
 */
import { Transform } from 'node:stream';
import type { Readable, TransformCallback } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { inflatesTooMuch } from '@felhom/protocol';
import { ProblemError } from './problem.ts';

/** Fastify compares the content length with what came, not with what it became. */
export type InflatedBody = Readable & { receivedEncodedLength?: number };

/** Ends with a `ProblemError` where the body is no gzip, or becomes too much. `mostBytes`: of the inflated body. */
export function inflate(payload: Readable, what: string, mostBytes: number): InflatedBody {
  let received = 0;
  let inflated = 0;
  const gunzip = createGunzip();
  const body: Transform & { receivedEncodedLength?: number } = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      inflated += chunk.length;
      // By what was inflated so far, not by what came: of a bomb that came whole the first chunks tell.
      if (inflated <= mostBytes && !inflatesTooMuch(gunzip.bytesWritten, inflated)) return done(null, chunk);
      return done(new ProblemError(413, 'request.too-large', `cannot serve ${what}: the body inflates to too much`));
    },
  });
  const end = (error: Error): void => {
    payload.unpipe(gunzip);
    gunzip.destroy();
    body.destroy(error);
  };
  payload.on('data', (chunk: Buffer) => {
    received += chunk.length;
    body.receivedEncodedLength = received;
  });
  payload.on('error', end);
  payload.on('close', () => {
    if (!payload.readableEnded) gunzip.end();
  });
  gunzip.on('error', () =>
    end(new ProblemError(400, 'request.unreadable', `cannot serve ${what}: the body is not gzip, or not whole`)),
  );
  // Whoever reads it has stopped listening after the first error; a second one must not end the process.
  body.on('error', () => gunzip.destroy());
  payload.pipe(gunzip).pipe(body);
  return body;
}
