/** Answers as pveproxy words them: JSON with `data`, the first line of an error as the reason phrase. */
import type { ApiResponse } from '../core.ts';
import { Answer, PveError } from '../core.ts';

export type Formatter = 'json' | 'extjs';

export function renderResult(result: unknown, formatter: Formatter): ApiResponse {
  const answer = result instanceof Answer ? result : new Answer(result ?? null);
  if (answer.text !== undefined)
    return { status: 200, reason: 'OK', body: answer.text, headers: { ...answer.headers } };
  const body = { data: answer.data, ...answer.extra, ...(formatter === 'extjs' ? { success: 1 } : {}) };
  return { status: 200, reason: 'OK', body, headers: { ...jsonHeaders, ...answer.headers } };
}

/** An error of a method. Anything but a `PveError` is a bug of the fake and says so. */
export function renderError(error: unknown, formatter: Formatter): ApiResponse {
  const known =
    error instanceof PveError
      ? error
      : new PveError(
          500,
          `bug in the fake node: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
  const message = known.status === 501 || known.message.endsWith('\n') ? known.message : `${known.message}\n`;
  const errors = known.errors === undefined ? {} : { errors: known.errors };
  if (formatter === 'extjs')
    return {
      status: 200,
      reason: 'OK',
      body: { data: null, success: 0, status: known.status, message, ...errors },
      headers: jsonHeaders,
    };
  return {
    status: known.status,
    reason: firstLine(message),
    body: { data: null, message, ...errors },
    headers: jsonHeaders,
  };
}

/** An error of the HTTP layer: the text itself is the body, or there is none. */
export function renderPlain(status: number, text: string, withBody = true): ApiResponse {
  return { status, reason: firstLine(text), body: withBody ? text : null };
}

const jsonHeaders = { 'content-type': 'application/json;charset=UTF-8' };

export function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').trim();
}
