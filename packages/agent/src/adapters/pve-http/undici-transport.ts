/**
 * HTTPS to pveproxy. Facts that shaped it (PVE: APIServer/AnyEvent.pm): HTTP/1.1 only; a connection idles for 5 s,
 * carries at most 100 requests and is closed after every status ≥ 400; chunked bodies are refused.
 *
 * Reads share kept-alive connections. Every write gets a connection of its own, so that a connection which the server
 * closed while it idled can never turn a write into one of unknown outcome.
 */
import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { connectorFor } from '../hub-https/tls-pin.ts';
import type { ServerTrust } from '../hub-https/tls-pin.ts';
import type { RawAnswer, Transport, TransportFailure } from './transport.ts';

export interface PveHttpsOptions {
  /** `https://host:port`. */
  readonly url: string;
  readonly trust: ServerTrust;
  /** Wall time in milliseconds, for the dates of a pinned certificate. */
  readonly now: () => number;
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
  const connect = connectorFor(options.trust, options.connectTimeoutMs ?? 5_000, options.now);
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
const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'INVALID_CA',
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
  if (untrusted.has(code))
    return {
      is: 'untrusted',
      why: 'untrusted',
      text: `the certificate of Proxmox is not signed by the given CA (${code})`,
    };
  if (notSent.has(code) || code.startsWith('ERR_SSL_'))
    return { is: 'not-sent', code, text: `no connection to Proxmox (${code})` };
  return { is: 'lost', code, text: `the connection to Proxmox broke (${code === '' ? message : code})` };
}

function innermost(error: unknown): { code: string; message: string } {
  let found = { code: '', message: '' };
  let at: unknown = error;
  for (let depth = 0; depth < 5 && at instanceof Error; depth += 1) {
    const code = 'code' in at && typeof at.code === 'string' ? at.code : found.code;
    found = { code, message: at.message.slice(0, 200) };
    at = at.cause;
  }
  return found;
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
