/** The hub's operator API, typed by the schemas of the protocol. Every failure is a `CliError`. */
import {
  auditAnswer,
  describeIssues,
  desiredAnswer,
  backupPlan,
  desiredGuest,
  desiredPutAnswer,
  envelopeList,
  generationNumber,
  hostAnswer,
  hostCreated,
  hostList,
  problem,
} from '@felhom/protocol';
import type {
  AuditAnswer,
  DesiredAnswer,
  DesiredState,
  DesiredRef,
  HostDetail,
  HostSummary,
  MailedEnvelope,
} from '@felhom/protocol';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { CliError, exitCodes } from './io.ts';
import type { Settings } from './settings.ts';

export interface HubClient {
  hosts(): Promise<{ readonly now: number; readonly hosts: readonly HostSummary[] }>;
  host(hostId: string): Promise<{ readonly now: number; readonly host: HostDetail }>;
  addHost(hostId: string): Promise<{ readonly hostId: string; readonly apiKey: string }>;
  rekeyHost(hostId: string): Promise<{ readonly hostId: string; readonly apiKey: string }>;
  clearFork(hostId: string): Promise<void>;
  clearAuditFork(hostId: string): Promise<void>;
  /** `undefined`: the hub has none for this host. */
  desired(hostId: string, ref?: DesiredRef): Promise<DesiredAnswer | undefined>;
  putDesired(
    hostId: string,
    put: Pick<DesiredState, 'guests' | 'backups'> & { readonly base: DesiredRef | null; readonly startOver: boolean },
  ): Promise<DesiredRef & { readonly digest: string }>;
  /** The content of what the host holds, while the hub is behind it. */
  held(hostId: string): Promise<Pick<DesiredState, 'guests' | 'backups'> & { readonly generation: number }>;
  resolve(hostId: string, keep: 'agent' | 'hub', generation: number): Promise<DesiredRef & { readonly digest: string }>;
  envelopes(hostId: string): Promise<readonly MailedEnvelope[]>;
  putEnvelope(hostId: string, text: string): Promise<void>;
  /** `digest` is that of the envelope's text. */
  withdrawEnvelope(hostId: string, digest: string): Promise<void>;
  /** A page of the host's audit log, entry `from` first. Without `epoch`: that of its last poll. */
  audit(hostId: string, from: number, epoch?: string): Promise<AuditAnswer>;
  /** For commands that bring the schema of their answer. */
  ask<T>(schema: z.ZodType<T>, method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<T>;
  close(): Promise<void>;
}

const largestAnswer = 64 * 1024 * 1024;
const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);
const heldAnswer = z.strictObject({
  guests: z.array(desiredGuest),
  backups: backupPlan,
  generation: generationNumber,
});

export function createHubClient(settings: Settings): HubClient {
  const base = parseUrl(settings.url);
  const dispatcher = new Agent({
    connections: 2,
    headersTimeout: 20_000,
    bodyTimeout: 20_000,
    maxResponseSize: largestAnswer,
    connect: { timeout: 10_000, ...(settings.ca === undefined ? {} : { ca: settings.ca }) },
  });
  async function call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object) {
    try {
      const answer = await request(new URL(path, base), {
        method,
        dispatcher,
        headers: {
          authorization: `Bearer ${settings.token}`,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.statusCode, text: await answer.body.text() };
    } catch (error) {
      throw unreachable(base.origin, error);
    }
  }
  async function ask<T>(schema: z.ZodType<T>, method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<T> {
    return read(schema, base.origin, await call(method, path, body));
  }
  async function remove(path: string): Promise<void> {
    const answer = await call('DELETE', path);
    if (answer.status < 200 || answer.status > 299) throw failure(base.origin, answer);
  }
  const at = (hostId: string, rest = '') => `/v1/hosts/${encodeURIComponent(hostId)}${rest}`;
  return {
    hosts: () => ask(hostList, 'GET', '/v1/hosts'),
    host: (hostId) => ask(hostAnswer, 'GET', at(hostId)),
    addHost: (hostId) => ask(hostCreated, 'POST', '/v1/hosts', { hostId }),
    rekeyHost: (hostId) => ask(hostCreated, 'POST', at(hostId, '/key'), {}),
    clearFork: (hostId) => remove(at(hostId, '/fork')),
    clearAuditFork: (hostId) => remove(at(hostId, '/audit-fork')),
    async desired(hostId, ref) {
      const query = ref === undefined ? '' : `?lineage=${ref.lineage}&generation=${ref.generation}`;
      const answer = await call('GET', at(hostId, `/desired${query}`));
      if (answer.status === 404 && problemOf(answer.text)?.code === 'desired.none') return undefined;
      return read(desiredAnswer, base.origin, answer);
    },
    putDesired: (hostId, put) => ask(desiredPutAnswer, 'PUT', at(hostId, '/desired'), { v: 1, ...put }),
    held: (hostId) => ask(heldAnswer, 'GET', at(hostId, '/held')),
    resolve: (hostId, keep, generation) => ask(desiredPutAnswer, 'POST', at(hostId, '/resolve'), { keep, generation }),
    envelopes: async (hostId) => (await ask(envelopeList, 'GET', at(hostId, '/envelopes'))).envelopes,
    async putEnvelope(hostId, text) {
      const answer = await call('POST', at(hostId, '/envelopes'), { v: 1, text });
      if (answer.status < 200 || answer.status > 299) throw failure(base.origin, answer);
    },
    withdrawEnvelope: (hostId, digest) => remove(at(hostId, `/envelopes/${encodeURIComponent(digest)}`)),
    audit(hostId, from, epoch) {
      const query = new URLSearchParams({ from: String(from), ...(epoch === undefined ? {} : { epoch }) });
      return ask(auditAnswer, 'GET', at(hostId, `/audit?${query.toString()}`));
    },
    ask,
    close: () => dispatcher.close(),
  };
}

/** https anywhere, http on loopback only: the token must not travel in the clear. */
export function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new CliError(exitCodes.usage, 'hub.bad-url', `cannot use ${JSON.stringify(text)} as hub: it is no URL`);
  }
  if (url.protocol === 'https:' || (url.protocol === 'http:' && loopback.has(url.hostname))) return url;
  throw new CliError(
    exitCodes.usage,
    'hub.bad-url',
    `cannot use ${url.origin} as hub: only https, or http on loopback, may carry the token`,
  );
}

interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

function read<T>(schema: z.ZodType<T>, origin: string, answer: RawAnswer): T {
  if (answer.status < 200 || answer.status > 299) throw failure(origin, answer);
  const parsed = schema.safeParse(parseJson(answer.text));
  if (parsed.success) return parsed.data;
  throw new CliError(
    exitCodes.hub,
    'hub.unreadable-answer',
    `cannot read the answer of hub ${origin}: ${describeIssues(parsed.error)}`,
    'check that felhom and the hub are of versions that go together, and that this is a hub',
  );
}

function failure(origin: string, answer: RawAnswer): CliError {
  const said = problemOf(answer.text);
  if (said === undefined)
    return new CliError(
      exitCodes.hub,
      'hub.not-a-hub',
      `cannot talk to hub ${origin}: something else answers there (status ${answer.status})`,
      'check the address and whatever proxy stands before it',
    );
  const exit =
    answer.status === 401 || answer.status === 403 || answer.status >= 500
      ? exitCodes.hub
      : answer.status === 409
        ? exitCodes.conflict
        : exitCodes.failed;
  return new CliError(exit, said.code, said.detail, said.next);
}

function problemOf(text: string): z.output<typeof problem> | undefined {
  const parsed = problem.safeParse(parseJson(text));
  return parsed.success ? parsed.data : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whoever asked sees `undefined` fail the schema, without the text being quoted.
    return undefined;
  }
}

function unreachable(origin: string, error: unknown): CliError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'the connection failed';
  const next = /CERT|SIGNATURE|ISSUER/.test(code)
    ? 'give the CA of the hub with felhom login --ca FILE'
    : 'check the address and that the hub runs';
  return new CliError(exitCodes.hub, 'hub.unreachable', `cannot reach hub ${origin}: ${code}`, next);
}
