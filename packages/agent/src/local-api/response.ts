/** What goes back to a guest: an answer, or a problem (RFC 9457) in words that say nothing about anybody else. Pure. */
import { explain } from '@felhom/protocol';
import type { LocalProblem, Reason } from '@felhom/protocol';

export interface LocalResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const always = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

export function answer(status: number, value: unknown): LocalResponse {
  return { status, headers: { ...always, 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

const statusOf: Readonly<Record<string, number>> = {
  'local.unauthorized': 401,
  'local.port-unclear': 503,
  'local.no-route': 404,
  'operation.unknown': 404,
  'operation.due-first': 409,
  'operation.not-due': 409,
  'local.wrong-method': 405,
  'local.unknown-version': 404,
  'local.unreadable': 400,
  'local.too-large': 413,
  'local.too-many-requests': 429,
  'local.too-many-at-once': 429,
  'local.key-reused': 422,
  'local.timeout': 503,
  'local.failed': 500,
};

/** Other texts may name storages, other guests or the host: of these a guest is told the title alone [R42]. */
const forGuests = /^local\./;

const retryAfter = { refused: 30, unknown: 5 } as const;

/**
 * `refused`: nothing happened. What works later by itself is 503, or 409 where something else must end first; what a
 * person has to change is 409; what can only fail again is 422. A quota is 409 while things are kept, 429 for a rate.
 * `unknown`: 503, and the same key finds out.
 */
export function problemOf(
  is: 'refused' | 'unknown',
  why: Reason,
  more: { readonly retryAfterSeconds?: number; readonly allow?: readonly string[] } = {},
): LocalResponse {
  const status = statusOf[why.code] ?? (is === 'unknown' ? 503 : byKind(why));
  const title = explain(why.code)?.title ?? 'The agent cannot do this';
  const retryAfterSeconds =
    more.retryAfterSeconds ??
    (status === 503 || status === 429 || (status === 409 && why.retry === 'later') ? retryAfter[is] : undefined);
  const body: LocalProblem = {
    type: `urn:felhom:problem:${why.code}`,
    title,
    status,
    detail: forGuests.test(why.code) ? why.text.slice(0, 1000) : title,
    code: why.code,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
  return {
    status,
    headers: {
      ...always,
      'content-type': 'application/problem+json',
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
      ...(more.allow === undefined ? {} : { allow: more.allow.join(', ') }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: JSON.stringify(body),
  };
}

function byKind({ code, retry }: Reason): number {
  if (/(?:quota|too-many-kept)$/.test(code)) return 409;
  if (/(?:too-often|too-many)$/.test(code)) return 429;
  if (/(?:busy|locked|taken|in-use|unsettled)$/.test(code)) return 409;
  return { later: 503, operator: 409, never: 422 }[retry];
}
