/** The hub over HTTPS: the only adapter of `ports/hub.ts`. */
import { Agent, request } from 'undici';
import { maxPollAnswerBytes } from '@felhom/protocol';
import type { Hub } from '../../ports/hub.ts';
import { classifyAnswer, classifyThrown, tooLarge } from './classify.ts';
import { connectorFor, readUpTo, single } from '../https/index.ts';
import type { ServerTrust } from '../https/index.ts';

export interface HubHttpsOptions {
  /** `https://host[:port]`. Plain http is for a hub on loopback only and needs no trust. */
  readonly url: string;
  readonly apiKey: string;
  readonly trust?: ServerTrust;
  /** Wall time in milliseconds. */
  readonly now: () => number;
  /** Told until when the certificate is valid that the hub showed, milliseconds since the epoch. */
  readonly certificateSeen?: (endsAt: number) => void;
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
  const connectTimeout = options.connectTimeoutMs ?? 10_000;
  const limit = options.maxAnswerBytes ?? maxPollAnswerBytes;
  const dispatcher = new Agent({
    connections: 1,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    ...(options.trust === undefined
      ? {}
      : { connect: connectorFor(options.trust, connectTimeout, options.now, options.certificateSeen) }),
  });
  const endpoint = new URL('/v1/poll', base).href;
  const authorization = `Bearer ${options.apiKey}`;
  return {
    async poll(question, signal) {
      try {
        const answer = await request(endpoint, {
          method: 'POST',
          dispatcher,
          headers: { authorization, 'content-type': 'application/json', accept: 'application/json' },
          body: JSON.stringify(question),
          // undici's own limits begin anew with every byte, so a hub that drips would hold the link for ever.
          signal: AbortSignal.any([signal, AbortSignal.timeout(connectTimeout + timeout)]),
        });
        const body = await readUpTo(answer, limit);
        if (body === undefined) return tooLarge(url);
        // Something in between that shows the request in its answer must not get the key into reports and logs.
        const text = body.replaceAll(options.apiKey, '…');
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
