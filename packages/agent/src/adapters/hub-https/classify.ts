/** Everything a hub, or whatever stands in its place, can answer, sorted once into the error catalogue. Pure. */
import { maxPollAnswerBytes, parseVersionedJson, pollAnswerKind, reason } from '@felhom/protocol';
import type { ErrorCode } from '@felhom/protocol';
import { z } from 'zod';
import type { HubAnswer } from '../../ports/hub.ts';
import { innermost, isUntrusted } from '../https/index.ts';

export interface RawAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

const problem = z.object({ title: z.string().max(300).optional(), detail: z.string().max(1000).optional() });

/** `url` is the hub's address for the texts; it holds no secret. */
export function classifyAnswer(url: string, raw: RawAnswer): HubAnswer {
  const type = (raw.contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const said = type === 'application/problem+json' ? problemText(raw.body) : undefined;
  const because = said === undefined ? '' : `: ${said}`;
  if (raw.status === 401)
    return fail(
      'hub.unauthorized',
      `cannot poll hub ${url}: it does not accept this host's API key (401)${because}. Make a new one with felhom hosts rekey`,
    );
  if (raw.status === 403)
    return fail('hub.forbidden', `cannot poll hub ${url}: the API key belongs to another host (403)${because}`);
  if (raw.status === 429)
    return fail('hub.throttled', `cannot poll hub ${url}: it asks to slow down (429)${because}`, raw.retryAfter);
  if (raw.status >= 500)
    return fail('hub.unavailable', `cannot poll hub ${url}: it failed (${raw.status})${because}`, raw.retryAfter);
  if (raw.status >= 400 && said !== undefined)
    return fail('hub.refused', `cannot poll hub ${url}: it refused the request (${raw.status}): ${said}`);
  if (raw.status !== 200 || type !== 'application/json')
    return fail(
      'hub.not-a-hub',
      `cannot poll hub ${url}: something else answers there (status ${raw.status}, content type ${type === '' ? 'none' : type.slice(0, 80)}); check the address and whatever proxy stands before it`,
    );
  const parsed = parseVersionedJson(pollAnswerKind, raw.body);
  if (parsed.is === 'ok') return { is: 'answered', answer: parsed.value };
  return fail('hub.unreadable-answer', `cannot poll hub ${url}: ${parsed.text}`);
}

function problemText(body: string): string | undefined {
  try {
    const parsed = problem.safeParse(JSON.parse(body));
    return parsed.success ? (parsed.data.detail ?? parsed.data.title) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function fail(code: ErrorCode, text: string, retryAfter?: string): HubAnswer {
  const seconds = retryAfter === undefined ? Number.NaN : Number(retryAfter);
  const why = reason(code, text);
  return Number.isFinite(seconds) && seconds > 0
    ? { is: 'failed', why, retryAfterSeconds: seconds }
    : { is: 'failed', why };
}

export function tooLarge(url: string): HubAnswer {
  return fail(
    'hub.answer-too-large',
    `cannot poll hub ${url}: its answer is larger than ${maxPollAnswerBytes} bytes; it was cut off there and nothing of it was used`,
  );
}

/** OpenSSL's verify codes as Node names them, plus our own pin. */
const tlsCodes: Readonly<Record<string, { code: ErrorCode; text: string }>> = {
  CERT_HAS_EXPIRED: { code: 'hub.certificate-expired', text: 'its certificate has expired; renew it on the hub' },
  CERT_NOT_YET_VALID: {
    code: 'hub.certificate-not-yet-valid',
    text: "its certificate is not valid yet; check this host's clock",
  },
  FELHOM_PIN_MISMATCH: {
    code: 'hub.pin-mismatch',
    text: 'its public key is not the pinned one; either the hub has a new key or somebody stands between',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: 'hub.certificate-untrusted',
    text: 'its certificate is for another name; use the name in the certificate as the address',
  },
};
const timeouts = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);

/** What undici or TLS threw before there was a whole answer. */
export function classifyThrown(url: string, error: unknown): HubAnswer {
  const { code } = innermost(error);
  const tls = tlsCodes[code];
  if (tls !== undefined) return fail(tls.code, `cannot poll hub ${url}: ${tls.text}`);
  // zlib's: what came says that it is gzip and is not.
  if (code.startsWith('Z_'))
    return fail('hub.unreadable-answer', `cannot poll hub ${url}: its answer is not whole gzip (${code})`);
  if (isUntrusted(code))
    return fail(
      'hub.certificate-untrusted',
      `cannot poll hub ${url}: its certificate is not signed by the configured CA (${code}); check trust in the configuration`,
    );
  if (timeouts.has(code) || (error instanceof Error && error.name === 'TimeoutError'))
    return fail('hub.timeout', `cannot poll hub ${url}: no whole answer in time`);
  return fail('hub.unreachable', `cannot poll hub ${url}: ${code === '' ? 'the connection failed' : code}`);
}
