/**
 * HTTPS to pveproxy. Facts that shaped it (PVE: APIServer/AnyEvent.pm): HTTP/1.1 only; a connection idles for 5 s,
 * carries at most 100 requests and is closed after every status ≥ 400; chunked bodies are refused.
 *
 * Reads share kept-alive connections. Every write gets a connection of its own, so that a connection which the server
 * closed while it idled can never turn a write into one of unknown outcome.
 */
import { Agent, request } from 'undici';
import { connectorFor, innermost, isUntrusted, readUpTo, single } from '../https/index.ts';
import type { ServerTrust } from '../https/index.ts';
import type { RawAnswer, Transport, TransportFailure } from './transport.ts';

export interface PveHttpsOptions {
  /** `https://host:port`. */
  readonly url: string;
  readonly trust: ServerTrust;
  /** Wall time in milliseconds, for the dates of a pinned certificate. */
  readonly now: () => number;
  /** Told until when the certificate is valid that the server showed, milliseconds since the epoch. */
  readonly certificateSeen?: (endsAt: number) => void;
  readonly connectTimeoutMs?: number;
  /** Longest answer that is taken in. */
  readonly maxAnswerBytes?: number;
}

/** Throws on an address that is not https: the token must never travel in the clear. */
export function createPveHttps(options: PveHttpsOptions): Transport {
  const base = new URL(options.url);
  if (base.protocol !== 'https:')
    throw new Error(`cannot use Proxmox at ${base.origin}: only https may carry the token`);
  const limitBytes = options.maxAnswerBytes ?? 16 * 1024 * 1024;
  const connect = connectorFor(options.trust, options.connectTimeoutMs ?? 5_000, options.now, options.certificateSeen);
  // Idle connections are dropped a second before the server would do so. The caller's own limits govern time.
  const shared = { connect, headersTimeout: 0, bodyTimeout: 0 };
  const reading = new Agent({ ...shared, connections: 4, keepAliveTimeout: 4_000, keepAliveMaxTimeout: 4_000 });
  const writing = new Agent({ ...shared, connections: 8, pipelining: 0 });
  return {
    async send(call, signal) {
      try {
        const answer = await request(`${base.origin}/api2/json${call.path}`, {
          method: call.method,
          dispatcher: call.method === 'GET' ? reading : writing,
          headers: { ...call.headers, accept: 'application/json' },
          body: call.body ?? null,
          signal,
        });
        const body = await readUpTo(answer, limitBytes);
        if (body === undefined) return { is: 'failed', failure: { is: 'too-large', limitBytes } };
        return {
          is: 'answered',
          answer: {
            status: answer.statusCode,
            reason: answer.statusText,
            contentType: single(answer.headers['content-type']),
            body,
          },
        };
      } catch (error) {
        return { is: 'failed', failure: signal.aborted ? { is: 'aborted' } : failureOf(error) } satisfies RawAnswer;
      }
    },
    async close() {
      await Promise.all([reading.close(), writing.close()]);
    },
  };
}

const notSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EACCES',
  'UND_ERR_CONNECT_TIMEOUT',
  'EPROTO',
]);
/** What undici, TLS or the socket threw. Exported for its table of tests. */
export function failureOf(error: unknown): TransportFailure {
  const { code, message } = innermost(error);
  if (code === 'FELHOM_PIN_MISMATCH') return { is: 'untrusted', why: 'pin-mismatch', text: message };
  if (code === 'CERT_HAS_EXPIRED')
    return { is: 'untrusted', why: 'expired', text: 'the certificate of Proxmox has expired' };
  if (code === 'CERT_NOT_YET_VALID')
    return { is: 'untrusted', why: 'not-yet-valid', text: 'the certificate of Proxmox is not valid yet' };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return {
      is: 'untrusted',
      why: 'untrusted',
      text: 'the certificate of Proxmox is for another name; use a name that it holds as the address',
    };
  if (isUntrusted(code))
    return {
      is: 'untrusted',
      why: 'untrusted',
      text: `the certificate of Proxmox is not signed by the given CA (${code})`,
    };
  if (notSent.has(code) || code.startsWith('ERR_SSL_'))
    return { is: 'not-sent', code, text: `no connection to Proxmox (${code})` };
  return { is: 'lost', code, text: `the connection to Proxmox broke (${code === '' ? message : code})` };
}
