/**
 * The client library of the local API: one method per route, its types taken from `localRoutes`. What the host answers
 * is returned, never thrown. Only reads are repeated by themselves; a write that got lost may have arrived, and whoever
 * asks again gives the same idempotency key.
 */
import { localProblem, localRoutes } from '@felhom/protocol';
import type { LocalAnswer, LocalProblem, LocalRouteName, localRoutes as Routes } from '@felhom/protocol';
import type { z } from 'zod';
import type { Clock, Transport } from '../ports.ts';

export type LocalResult<T> =
  | { readonly is: 'ok'; readonly value: T }
  | { readonly is: 'problem'; readonly problem: LocalProblem }
  /** No answer, or none that can be read: a write may have arrived. */
  | { readonly is: 'lost'; readonly text: string };

/** A body as it is written down; defaults may be left out. */
export type LocalInput<N extends LocalRouteName> = z.input<(typeof Routes)[N]['body']>;

export interface AskOptions {
  /** `{id}` in the path. */
  readonly id?: string;
  readonly query?: Readonly<Record<string, string | number>>;
  /** Long poll: the host may hold the answer back for so many seconds, at most 50. */
  readonly waitSeconds?: number;
  readonly idempotencyKey?: string;
}

export type LocalClient = {
  readonly [N in LocalRouteName]: (
    body: LocalInput<N>,
    signal: AbortSignal,
    options?: AskOptions,
  ) => Promise<LocalResult<LocalAnswer<N>>>;
};

export interface LocalClientNeeds {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Absent before the redemption. */
  readonly token?: string;
  /** Told when the host no longer takes the token. */
  readonly onUnauthorised?: () => void;
}

const answerMs = 15_000;
const triesOfRead = 3;
const firstPauseMs = 500;
const longestPauseMs = 30_000;

export function createLocalClient(needs: LocalClientNeeds): LocalClient {
  const methods = (Object.keys(localRoutes) as LocalRouteName[]).map((name) => [
    name,
    (body: unknown, signal: AbortSignal, options: AskOptions = {}) => ask(needs, name, body, signal, options),
  ]);
  return Object.fromEntries(methods) as LocalClient;
}

async function ask<N extends LocalRouteName>(
  needs: LocalClientNeeds,
  name: N,
  body: unknown,
  signal: AbortSignal,
  options: AskOptions,
): Promise<LocalResult<LocalAnswer<N>>> {
  const isRead = localRoutes[name].method === 'GET';
  for (let tries = 1; ; tries += 1) {
    const result = await askOnce(needs, name, body, signal, options);
    if (!isRead || tries >= triesOfRead || signal.aborted || !isPassing(result)) return result;
    const told = result.is === 'problem' ? result.problem.retryAfterSeconds : undefined;
    const pause = told === undefined ? firstPauseMs * 2 ** (tries - 1) : told * 1000;
    await needs.clock.sleep(Math.min(pause, longestPauseMs), signal);
  }
}

const isPassing = (result: LocalResult<unknown>): boolean =>
  result.is === 'lost' || (result.is === 'problem' && [429, 502, 503, 504].includes(result.problem.status));

async function askOnce<N extends LocalRouteName>(
  { transport, token, onUnauthorised }: LocalClientNeeds,
  name: N,
  body: unknown,
  signal: AbortSignal,
  options: AskOptions,
): Promise<LocalResult<LocalAnswer<N>>> {
  const { method, path, auth, answer: schema, ok } = localRoutes[name];
  const carriesBody = method === 'POST';
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  if (carriesBody) headers['content-type'] = 'application/json';
  if (auth === 'token' && token !== undefined) headers['authorization'] = `Bearer ${token}`;
  if (options.idempotencyKey !== undefined) headers['idempotency-key'] = options.idempotencyKey;
  const answer = await transport.send(
    {
      method,
      path: pathWith(path, options),
      headers,
      body: carriesBody ? JSON.stringify(body) : undefined,
      timeoutMs: answerMs + (options.waitSeconds ?? 0) * 1000,
    },
    signal,
  );
  if (answer.is === 'failed') return { is: 'lost', text: answer.text };
  const raw = jsonOf(answer.body);
  if (answer.status !== ok) {
    if (answer.status === 401 && auth === 'token') onUnauthorised?.();
    return { is: 'problem', problem: problemOf(answer.status, raw) };
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success) return { is: 'lost', text: `the host answered ${method} ${path} with something unreadable` };
  return { is: 'ok', value: parsed.data as LocalAnswer<N> };
}

function pathWith(path: string, { id, query = {}, waitSeconds }: AskOptions): string {
  const named = path.replace('{id}', encodeURIComponent(id ?? ''));
  const pairs = Object.entries({ ...query, ...(waitSeconds === undefined ? {} : { wait: waitSeconds }) });
  if (pairs.length === 0) return named;
  return `${named}?${pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&')}`;
}

function jsonOf(text: string): unknown {
  try {
    return text === '' ? {} : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** Whatever stands between may answer with something of its own: the status still says enough. */
function problemOf(status: number, raw: unknown): LocalProblem {
  const parsed = localProblem.safeParse(raw);
  if (parsed.success && parsed.data.status === status) return parsed.data;
  return {
    type: 'about:blank',
    title: 'unexpected answer',
    status: Math.min(599, Math.max(400, status)),
    detail: `the host answered with status ${status}`,
    code: 'local.unexpected-answer',
  };
}
