/** Every error leaves the hub as problem+json: what could not be done, why, and what to do next. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from '@felhom/protocol';

const titles = {
  400: 'The request cannot be read',
  401: 'The credential is not accepted',
  403: 'This credential may not do that',
  404: 'There is no such thing',
  409: 'The request does not fit what is stored now',
  413: 'The request is too large',
  415: 'The request is in another format',
  429: 'Too many requests',
  500: 'The hub failed',
} as const;
export type ProblemStatus = keyof typeof titles;

/** Thrown by routes and hooks; the error handler turns it into the answer. */
export class ProblemError extends Error {
  readonly status: ProblemStatus;
  readonly code: string;
  readonly next: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  constructor(status: ProblemStatus, code: string, detail: string, more: { next?: string; retryAfter?: number } = {}) {
    super(detail);
    this.name = 'ProblemError';
    this.status = status;
    this.code = code;
    this.next = more.next;
    this.retryAfterSeconds = more.retryAfter;
  }
}

export function sendProblem(reply: FastifyReply, error: ProblemError): FastifyReply {
  const body: Problem = {
    type: 'about:blank',
    title: titles[error.status],
    status: error.status,
    code: error.code,
    detail: error.message,
    ...(error.next === undefined ? {} : { next: error.next }),
  };
  if (error.status === 401) reply.header('www-authenticate', 'Bearer');
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds));
  return reply.code(error.status).header('content-type', 'application/problem+json').send(JSON.stringify(body));
}

/** Errors of fastify itself keep their status and lose their text where it could quote the request. */
export function toProblem(error: FastifyError | ProblemError, request: FastifyRequest): ProblemError {
  if (error instanceof ProblemError) return error;
  const what = `cannot serve ${request.method} ${request.routeOptions.url ?? 'this path'}`;
  if (error.statusCode === 413)
    return new ProblemError(413, 'request.too-large', `${what}: the body is larger than this route takes`);
  if (error.statusCode === 415) return new ProblemError(415, 'request.wrong-type', `${what}: send application/json`);
  if (error.statusCode === 400) return new ProblemError(400, 'request.unreadable', `${what}: the body is not JSON`);
  return new ProblemError(500, 'hub.failed', `${what}: the hub failed; its log says more`);
}
