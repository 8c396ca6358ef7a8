/** The hub over HTTPS: the only adapter of `ports/hub.ts`. */
import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { maxPollAnswerBytes } from '@felhom/protocol';
import type { Hub } from '../../ports/hub.ts';
import { classifyAnswer, classifyThrown, tooLarge } from './classify.ts';
import { connectorFor } from './tls-pin.ts';
import type { ServerTrust } from './tls-pin.ts';

export interface HubHttpsOptions {
  /** `https://host[:port]`. Plain http is for a hub on loopback only and needs no trust. */
  readonly url: string;
  readonly apiKey: string;
  readonly trust?: ServerTrust;
  /** Wall time in milliseconds. */
  readonly now: () => number;
  readonly connectTimeoutMs?: number;
  /** For the whole answer once connected. */
  readonly answerTimeoutMs?: number;
  /** Bytes; lowered in tests. */
  readonly maxAnswerBytes?: number;
}

export interface HubHttps extends Hub {
  close(): Promise<void>;
}

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Throws on an address that would send the API key in the clear or to an unknown server. */
export function createHubHttps(options: HubHttpsOptions): HubHttps {
  const base = new URL(options.url);
  const url = base.origin;
  if (base.protocol !== 'https:' && !(base.protocol === 'http:' && loopback.has(base.hostname)))
    throw new Error(`cannot use hub ${url}: only https, or http on loopback, may carry the API key`);
  if (base.protocol === 'https:' && options.trust === undefined)
    throw new Error(`cannot use hub ${url}: no trust is configured; give the CA or the hub's public key`);
  const timeout = options.answerTimeoutMs ?? 30_000;
  const limit = options.maxAnswerBytes ?? maxPollAnswerBytes;
  const dispatcher = new Agent({
    connections: 1,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    ...(options.trust === undefined
      ? {}
      : { connect: connectorFor(options.trust, options.connectTimeoutMs ?? 10_000, options.now) }),
  });
  const endpoint = new URL('/v1/poll', base).href;
  const authorization = `Bearer ${options.apiKey}`;
  return {
    async poll(body, signal) {
      try {
        const answer = await request(endpoint, {
          method: 'POST',
          dispatcher,
          headers: { authorization, 'content-type': 'application/json', accept: 'application/json' },
          body: JSON.stringify(body),
          signal,
        });
        const text = await readUpTo(answer, limit);
        if (text === undefined) return tooLarge(url);
        return classifyAnswer(url, {
          status: answer.statusCode,
          contentType: single(answer.headers['content-type']),
          retryAfter: single(answer.headers['retry-after']),
          body: text,
        });
      } catch (error) {
        return classifyThrown(url, error);
      }
    },
    close: () => dispatcher.close(),
  };
}

/** The body as text, or `undefined` as soon as it is longer than `limit` bytes; the rest is never taken in. */
async function readUpTo(answer: Dispatcher.ResponseData, limit: number): Promise<string | undefined> {
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

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
