/** What a guest sent, read by what it looks like. Everything in it is the guest's choice. Pure. */
import { idempotencyKey, localApiVersion, localRoutes, reason } from '@felhom/protocol';
import type { LocalRoute, LocalRouteName, Reason } from '@felhom/protocol';
import { z } from 'zod';
import type { LocalCall } from './desk.ts';

export interface Asked {
  readonly name: LocalRouteName;
  readonly route: LocalRoute;
  readonly id?: string;
  readonly query: LocalCall['query'];
}

export type Read<T> = { readonly is: 'read'; readonly value: T } | ReadProblem;
export interface ReadProblem {
  readonly is: 'problem';
  readonly why: Reason;
  /** Of a path with another method. */
  readonly allow?: readonly string[];
}

const maxTargetLength = 512;
/** Deeper than any body of the schemas. */
const maxDepth = 16;

const routeNames = Object.keys(localRoutes) as LocalRouteName[];
const operationId = /^[a-z2-7]{26}$/;

export const longestWaitSeconds = 50;
const known = z.strictObject({
  wait: z.coerce.number().int().min(0).max(longestWaitSeconds).optional(),
  generation: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
});
const number = /^\d{1,16}$/;

export function readTarget(method: string, target: string): Read<Asked> {
  if (target.length > maxTargetLength)
    return problem('local.too-large', 'cannot read the request: its path is too long');
  const [path = '', queryText, ...rest] = target.split('?');
  // No percent-encoding either: nothing that is routed needs it, and two ways to write a path are one too many.
  if (!/^\/[A-Za-z0-9._/-]*$/.test(path) || rest.length > 0)
    return problem('local.no-route', 'cannot answer: there is no such route');
  const version = /^\/v(\d{1,4})(?:\/|$)/.exec(path)?.[1];
  if (version !== undefined && Number(version) !== localApiVersion)
    return problem(
      'local.unknown-version',
      `cannot answer: this agent speaks version ${localApiVersion} of the local API, not ${Number(version)}`,
    );
  const methods: string[] = [];
  for (const name of routeNames) {
    const route = localRoutes[name];
    const id = matches(route.path, path);
    if (id === undefined) continue;
    methods.push(route.method);
    if (route.method !== method) continue;
    const query = readQuery(queryText);
    if (query === undefined)
      return problem(
        'local.unreadable',
        `cannot read the request: its query may hold wait (0 to ${longestWaitSeconds}), generation and after, each once`,
      );
    return { is: 'read', value: { name, route, query, ...(id === '' ? {} : { id }) } };
  }
  if (methods.length === 0) return problem('local.no-route', 'cannot answer: there is no such route');
  return { ...problem('local.wrong-method', `cannot answer: the route takes ${methods.join(', ')}`), allow: methods };
}

/** The id in the path, `''` where the route has none; `undefined`: another route. */
function matches(pattern: string, path: string): string | undefined {
  const [before = '', after] = pattern.split('{id}');
  if (after === undefined) return path === pattern ? '' : undefined;
  const id =
    path.startsWith(before) && path.endsWith(after) ? path.slice(before.length, path.length - after.length) : '';
  return operationId.test(id) ? id : undefined;
}

function readQuery(text: string | undefined): LocalCall['query'] | undefined {
  if (text === undefined || text === '') return {};
  const found: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const part of text.split('&', 8)) {
    const [key = '', value = '', ...rest] = part.split('=');
    if (rest.length > 0 || key in found || !number.test(value)) return undefined;
    found[key] = value;
  }
  const parsed = known.safeParse({ ...found });
  return parsed.success ? (parsed.data as LocalCall['query']) : undefined;
}

/** `Bearer <token>`; an empty text where there is none, so that the work of looking it up is the same. */
export function tokenOf(header: string | undefined): string {
  return /^Bearer ([A-Za-z0-9_-]{1,200})$/.exec(header ?? '')?.[1] ?? '';
}

export function keyOf(header: string | undefined): Read<string | undefined> {
  if (header === undefined) return { is: 'read', value: undefined };
  if (idempotencyKey.safeParse(header).success) return { is: 'read', value: header };
  return problem('local.unreadable', 'cannot read the request: an Idempotency-Key is 8 to 64 of A-Z a-z 0-9 _ -');
}

/** JSON by the schema. What did not fit is named by its place, never by its value: a secret may be in the wrong one. */
export function readBody(schema: z.ZodType, bytes: Uint8Array): Read<unknown> {
  let value: unknown = {};
  if (bytes.length > 0) {
    if (tooDeep(bytes))
      return problem('local.unreadable', `cannot read the body: it is nested more than ${maxDepth} deep`);
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      return problem('local.unreadable', 'cannot read the body: it is no JSON in UTF-8');
    }
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { is: 'read', value: parsed.data };
  const places = parsed.error.issues.slice(0, 5).map(placeOf);
  return problem('local.unreadable', `cannot read the body: ${[...new Set(places)].join('; ')}`.slice(0, 800));
}

function placeOf(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.').slice(0, 100);
  // Names that the guest made up are not repeated to it, nor to any log.
  const what = issue.code === 'unrecognized_keys' ? 'has a field that is not known' : 'is not as the schema says';
  return `${/^[\w.-]*$/.test(path) && path !== '' ? path : 'it'} ${what}`;
}

/** Before it is parsed: brackets outside strings. */
function tooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1;
  }
  return false;
}

const problem = (code: Parameters<typeof reason>[0], text: string): ReadProblem => ({
  is: 'problem',
  why: reason(code, text),
});
