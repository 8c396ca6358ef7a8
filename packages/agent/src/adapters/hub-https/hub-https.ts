/** The hub over HTTPS: the only adapter of `ports/hub.ts`. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Agent, request } from 'undici';
import { compressedAboveBytes, inflatesTooMuch, maxPollAnswerBytes } from '@felhom/protocol';
import type { Hub } from '../../ports/hub.ts';
import { classifyAnswer, classifyThrown, tooLarge } from './classify.ts';
import type { RawAnswer } from './classify.ts';
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
  /** The hub turned a compressed poll down and took the same one plain: an older release, or something in between. */
  let plainOnly = false;

  async function send(body: string | Buffer, signal: AbortSignal): Promise<RawAnswer | undefined> {
    const encoding = typeof body === 'string' ? {} : { 'content-encoding': 'gzip' };
    const answer = await request(endpoint, {
      method: 'POST',
      dispatcher,
      headers: {
        authorization,
        'content-type': 'application/json',
        accept: 'application/json',
        'accept-encoding': 'gzip',
        ...encoding,
      },
      body,
      // undici's own limits begin anew with every byte, so a hub that drips would hold the link for ever.
      signal: AbortSignal.any([signal, AbortSignal.timeout(connectTimeout + timeout)]),
    });
    const text = await readUpTo(answer, limit);
    if (text === undefined) return undefined;
    return {
      status: answer.statusCode,
      contentType: single(answer.headers['content-type']),
      retryAfter: single(answer.headers['retry-after']),
      // Something in between that shows the request in its answer must not get the key into reports and logs.
      body: text.replaceAll(options.apiKey, '…'),
    };
  }

  return {
    async poll(question, signal) {
      try {
        const text = JSON.stringify(question);
        const packed = plainOnly ? undefined : await compressed(text);
        let raw = await send(packed ?? text, signal);
        if (packed !== undefined && raw !== undefined && refusesBody(raw)) {
          // Whoever cannot read a body has done nothing with it, so the same poll may go again.
          raw = await send(text, signal);
          plainOnly = raw !== undefined && !refusesBody(raw);
        }
        return raw === undefined ? tooLarge(url) : classifyAnswer(url, raw);
      } catch (error) {
        return classifyThrown(url, error);
      }
    },
    close: () => dispatcher.close(),
  };
}

const pack = promisify(gzip);

/** `undefined`: it is better sent as it is. */
async function compressed(text: string): Promise<Buffer | undefined> {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= compressedAboveBytes) return undefined;
  const packed = await pack(bytes);
  return inflatesTooMuch(packed.length, bytes.length) ? undefined : packed;
}

/** 415 says it; a hub that knows nothing of compression takes the bytes for broken JSON and says 400. */
const refusesBody = ({ status }: RawAnswer): boolean => status === 415 || status === 400;
