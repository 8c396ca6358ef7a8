/**
 * One request of a guest, from its head to its answer, without a socket. Whose request it is, two things must agree on:
 * the token, and the bridge port that the connection comes from [R27]. What costs least is checked first, and no body is
 * read for whom may not ask.
 */
import { createHash } from 'node:crypto';
import { localRoutes, maxLocalBodyBytes, maxManifestBytes, reason } from '@felhom/protocol';
import type { Finding, GuestUid, LocalBody, LocalRouteName } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import { done } from '../kernel/index.ts';
import type { Clock, Outcome } from '../kernel/index.ts';
import type { PeerPort } from '../ports/bridge-ports.ts';
import type { Log } from '../ports/log.ts';
import type { LocalCall, LocalDesk } from './desk.ts';
import { createFindings } from './findings.ts';
import { openApiDocument } from './openapi.ts';
import { fullBucket, take } from './quotas.ts';
import type { Bucket, Rate } from './quotas.ts';
import { keyOf, readBody, readTarget, tokenOf } from './request.ts';
import type { Asked } from './request.ts';
import { answer, problemOf } from './response.ts';
import type { LocalResponse } from './response.ts';

export interface LocalRequest {
  readonly method: string;
  /** As sent: path and query. */
  readonly target: string;
  readonly headers: {
    readonly authorization?: string | undefined;
    readonly 'idempotency-key'?: string | undefined;
    readonly 'content-type'?: string | undefined;
  };
  /** At most once, and only for whom may ask. Never more than `limit` bytes: then it is `too-large`. */
  readonly readBody: (limit: number) => Promise<Uint8Array | 'too-large'>;
  /** Of now, not of when the connection was made. */
  readonly port: PeerPort;
}

/** A connection that may go on to its handshake. */
export interface Admitted {
  readonly guest: GuestUid;
  /** Call it once, when the connection is closed. */
  readonly closed: () => void;
}

export interface LocalApi {
  /** Before TLS. `undefined`: not one of our guests, or it has too many already. */
  readonly connect: (port: PeerPort) => Admitted | undefined;
  /** Never rejects. `signal`: the guest hung up, or the agent stops. */
  readonly handle: (request: LocalRequest, signal: AbortSignal) => Promise<LocalResponse>;
  readonly findings: () => readonly Finding[];
}

export interface LocalApiOptions {
  readonly desk: LocalDesk;
  readonly policy: HostPolicy['localApi'];
  readonly clock: Clock;
  readonly log: Log;
  /** Of the agent, for the OpenAPI document. */
  readonly version: string;
}

interface GuestState {
  requests: Bucket;
  connects: Bucket;
  connections: number;
  running: number;
  at: number;
  readonly answered: Map<string, Answered>;
}
interface Answered {
  readonly fingerprint: string;
  readonly at: number;
  readonly response: Promise<LocalResponse>;
}

/** What a route weighs: a redemption is tried a few times a minute at most, a manifest is a megabyte to check. */
const costs: Partial<Record<LocalRouteName, number>> = { redeem: 10, manifest: 10, openapi: 5 };
const keyLifeMs = 24 * 3_600_000;
const maxKeys = 100;
const maxStates = 512;
/** On top of what the guest said it would wait: nothing behind a route takes long, work answers 202. */
const answerMs = 15_000;

export function createLocalApi({ desk, policy, clock, log, version }: LocalApiOptions): LocalApi {
  const findings = createFindings();
  const states = new Map<GuestUid, GuestState>();
  const requestRate: Rate = { perMinute: policy.requestsPerMinute, size: policy.requestsPerMinute };
  const connectRate: Rate = { perMinute: policy.requestsPerMinute, size: 2 * policy.connections };
  let document: LocalResponse | undefined;

  const stateOf = (guest: GuestUid): GuestState => {
    const at = clock.monotonicMs();
    const known = states.get(guest);
    if (known !== undefined) {
      known.at = at;
      return known;
    }
    if (states.size >= maxStates)
      for (const [other, state] of states)
        if (state.connections === 0 && state.running === 0 && at - state.at >= keyLifeMs) states.delete(other);
    const state: GuestState = {
      requests: fullBucket(requestRate, at),
      connects: fullBucket(connectRate, at),
      connections: 0,
      running: 0,
      at,
      answered: new Map(),
    };
    states.set(guest, state);
    return state;
  };

  const guestAt = (port: PeerPort): GuestUid | undefined => {
    if (port.is === 'ambiguous') findings.note('ambiguous-mac', port.mac, clock.now());
    return port.is === 'guest' ? desk.guestAtPort(port.vmid) : undefined;
  };

  const connect: LocalApi['connect'] = (port) => {
    const guest = guestAt(port);
    if (guest === undefined) return undefined;
    const state = stateOf(guest);
    const taken = take(state.connects, connectRate, 1, clock.monotonicMs());
    if (taken.is === 'empty' || state.connections >= policy.connections) {
      findings.note('flood', guest, clock.now());
      return undefined;
    }
    state.connects = taken.bucket;
    state.connections += 1;
    return { guest, closed: () => void (state.connections -= 1) };
  };

  /** What needs no body: the port, the quotas, the route, the token. */
  const admit = (request: LocalRequest): Admission => {
    const { port, headers } = request;
    const guest = guestAt(port);
    if (guest === undefined) return refuse(port.is === 'ambiguous' ? unclear : unauthorized);
    const state = stateOf(guest);
    if (state.running >= policy.concurrent) {
      findings.note('flood', guest, clock.now());
      return refuse(tooManyAtOnce, { retryAfterSeconds: 1 });
    }
    const asked = readTarget(request.method, request.target);
    const cost = asked.is === 'read' ? (costs[asked.value.name] ?? 1) : 1;
    const taken = take(state.requests, requestRate, cost, clock.monotonicMs());
    if (taken.is === 'empty') {
      findings.note('flood', guest, clock.now());
      return refuse(tooMany, { retryAfterSeconds: taken.retryAfterSeconds });
    }
    state.requests = taken.bucket;
    if (asked.is === 'problem') return refuse(asked.why, asked.allow === undefined ? {} : { allow: asked.allow });
    if (asked.value.route.auth === 'token') {
      const owner = desk.authenticate(tokenOf(headers.authorization));
      if (owner !== guest) {
        if (owner !== undefined) findings.note('foreign-token', guest, clock.now());
        return refuse(unauthorized);
      }
    }
    return { is: 'admitted', guest, state, asked: asked.value };
  };

  const withBody = async (
    request: LocalRequest,
    { guest, state, asked }: Entry,
    signal: AbortSignal,
  ): Promise<LocalResponse> => {
    const key = keyOf(request.headers['idempotency-key']);
    if (key.is === 'problem') return problemOf('refused', key.why);
    const limit = limitOf(asked);
    const bytes = await request.readBody(limit);
    if (bytes === 'too-large')
      return problemOf(
        'refused',
        reason('local.too-large', `cannot read the body: it has more than the ${limit} bytes that the route takes`),
      );
    const type = request.headers['content-type'] ?? '';
    if (bytes.length > 0 && !/^application\/json(?:\s*;|$)/i.test(type))
      return problemOf('refused', reason('local.unreadable', 'cannot read the body: it must be application/json'));
    const body = readBody(localRoutes[asked.name].body, bytes);
    if (body.is === 'problem') return problemOf('refused', body.why);
    const run = async (): Promise<LocalResponse> => ask(guest, asked, body.value, key.value, signal);
    if (key.value === undefined || asked.route.method === 'GET') return run();
    return once(state, key.value, fingerprintOf(asked, bytes), run);
  };

  /** The same key is the same answer, for a day, once there was one. */
  const once = async (
    { answered }: GuestState,
    key: string,
    fingerprint: string,
    run: () => Promise<LocalResponse>,
  ): Promise<LocalResponse> => {
    const at = clock.monotonicMs();
    for (const [old, entry] of answered) if (at - entry.at >= keyLifeMs) answered.delete(old);
    const known = answered.get(key);
    if (known !== undefined)
      return known.fingerprint === fingerprint ? known.response : problemOf('refused', keyReused);
    // The oldest goes: a guest that makes up a hundred keys a day forgets for itself alone.
    for (const [old] of answered) if (answered.size >= maxKeys) answered.delete(old);
    const entry: Answered = { fingerprint, at, response: run() };
    answered.set(key, entry);
    const response = await entry.response;
    if (response.status >= 300 && answered.get(key) === entry) answered.delete(key);
    return response;
  };

  const ask = async (
    guest: GuestUid,
    asked: Asked,
    body: unknown,
    key: string | undefined,
    signal: AbortSignal,
  ): Promise<LocalResponse> => {
    if (asked.name === 'openapi') return (document ??= answer(200, openApiDocument(version)));
    const over = new AbortController();
    const answered = new AbortController();
    const call: LocalCall = {
      query: asked.query,
      signal: AbortSignal.any([signal, over.signal]),
      ...(asked.id === undefined ? {} : { id: asked.id }),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    };
    const late = clock
      .sleep((asked.query.wait ?? 0) * 1000 + answerMs, AbortSignal.any([signal, answered.signal]))
      .then(
        () => 'late' as const,
        () => 'late' as const,
      );
    const work = atDesk(guest, asked, body, call);
    const first = await Promise.race([work, late]);
    answered.abort();
    if (first !== 'late') return first;
    over.abort();
    // The place of a request that its desk forgot stays taken: nobody can pile them up.
    const state = stateOf(guest);
    state.running += 1;
    void work.finally(() => (state.running -= 1));
    return problemOf('unknown', timeout);
  };

  const atDesk = async (guest: GuestUid, asked: Asked, body: unknown, call: LocalCall): Promise<LocalResponse> => {
    try {
      const outcome = await askDesk(desk, guest, asked, body, call);
      if (outcome.is !== 'done') return problemOf(outcome.is, outcome.why);
      // What leaves is what the schema says, whatever the desk handed over.
      const value = asked.route.answer.safeParse(outcome.value);
      if (value.success) return answer(asked.route.ok, value.data);
      const places = value.error.issues.slice(0, 5).map(({ code, path }) => `${path.map(String).join('.')}: ${code}`);
      log.error('an answer of the local API is not as its schema says', {
        route: asked.name,
        places: places.join('; '),
      });
    } catch (error) {
      if (call.signal.aborted) return problemOf('unknown', timeout);
      log.error('a request of the local API failed', {
        route: asked.name,
        guest,
        error: withoutSecrets(String(error)),
      });
    }
    return problemOf('unknown', failed);
  };

  return {
    connect,
    handle: async (request, signal) => {
      const admission = admit(request);
      if (admission.is === 'refused') return admission.response;
      const { state } = admission;
      state.running += 1;
      try {
        return await withBody(request, admission, signal);
      } catch (error) {
        // The body broke off, mostly because the guest hung up.
        if (!signal.aborted) log.error('a request of the local API broke', { error: withoutSecrets(String(error)) });
        return problemOf('unknown', failed);
      } finally {
        state.running -= 1;
      }
    },
    findings: () => findings.list(clock.now()),
  };
}

type Admission = Entry | { readonly is: 'refused'; readonly response: LocalResponse };
interface Entry {
  readonly is: 'admitted';
  readonly guest: GuestUid;
  readonly state: GuestState;
  readonly asked: Asked;
}

const refuse = (
  ...problem: Parameters<typeof problemOf> extends [unknown, ...infer Rest] ? Rest : never
): Admission => ({
  is: 'refused',
  response: problemOf('refused', ...problem),
});

async function askDesk(
  desk: LocalDesk,
  guest: GuestUid,
  { name }: Asked,
  body: unknown,
  call: LocalCall,
): Promise<Outcome<unknown>> {
  // The body was read by the schema of this very route; the type of one route cannot say so for all of them.
  if (name === 'redeem') return desk.redeem(guest, body as LocalBody<'redeem'>);
  if (name === 'openapi') return done({});
  return desk[name](guest, body as never, call);
}

function limitOf({ name, route }: Asked): number {
  if (route.method === 'GET') return 0;
  return name === 'manifest' ? maxManifestBytes : maxLocalBodyBytes;
}

const fingerprintOf = ({ name, id = '' }: Asked, bytes: Uint8Array): string =>
  createHash('sha256').update(`${name}\n${id}\n`).update(bytes).digest('base64');

/** For the log: claims and tokens are the only secrets here, and have this look. */
const withoutSecrets = (text: string): string => text.replaceAll(/(?:felhom1_)?[A-Za-z0-9_-]{43,}/g, '…').slice(0, 500);

const unauthorized = reason('local.unauthorized', 'cannot answer: the token is not of the guest that shows it');
const unclear = reason('local.port-unclear', 'cannot answer: this MAC was seen at two network ports within a minute');
const tooMany = reason('local.too-many-requests', 'cannot answer: the guest has used up its requests');
const tooManyAtOnce = reason('local.too-many-at-once', 'cannot answer: too many requests of this guest are under way');
const keyReused = reason('local.key-reused', 'cannot answer: the idempotency key belongs to another request');
const timeout = reason('local.timeout', 'cannot tell what became of it: the agent did not answer in time');
const failed = reason('local.failed', 'cannot tell what became of it: the agent made a mistake');
