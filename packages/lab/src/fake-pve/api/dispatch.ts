/**
 * One request from the wire to the answer, in Proxmox's order: verb, authentication, body, route, declared permission,
 * node, parameter schema, code. PVE: APIServer/AnyEvent.pm, PVE/HTTPServer.pm rest_handler.
 */
import type { AccessRoom } from '../access/room.ts';
import { checkDeclared } from '../access/declared.ts';
import type { ApiRequest, ApiResponse, FakePve, Identity } from '../core.ts';
import { PveError, textOf } from '../core.ts';
import { droppedConnection, type Fault, type Faults } from '../faults/faults.ts';
import type { MethodFacts } from '../schema/facts.ts';
import { bodyLimit, decodeForm, decodeJson, type BodyResult } from './form.ts';
import { renderError, renderPlain, renderResult, type Formatter } from './render.ts';
import type { RouteTable } from './route-table.ts';
import { checkParams, type SchemaRules } from './schema-check.ts';

/** A request as it comes off the socket; header names in lower case. */
export interface WireRequest {
  readonly method: string;
  /** Path and query, e.g. `/api2/json/nodes?x=1`. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Dispatcher {
  wire(request: WireRequest): Promise<ApiResponse>;
  /** A call by an identity that needs no proof, with parameters as values. */
  call(request: ApiRequest, who: Identity | undefined, formatter?: Formatter): Promise<ApiResponse>;
}

export interface DispatchParts {
  readonly pve: FakePve;
  readonly access: AccessRoom;
  readonly table: RouteTable;
  readonly rules: SchemaRules;
  readonly faults: Faults;
}

/** After this long without an answer pveproxy gives up on pvedaemon; the work goes on. */
const proxyTimeoutMs = 30_000;

const methods = ['GET', 'POST', 'PUT', 'DELETE'] as const;

export function createDispatcher(parts: DispatchParts): Dispatcher {
  const { pve, access, table, rules, faults } = parts;

  const unauthorized = async (reason: string): Promise<ApiResponse> => {
    await pve.clock.sleep(pve.pace.unauthorizedMs);
    return renderPlain(401, reason, false);
  };

  const call: Dispatcher['call'] = async (request, who, formatter = 'json') => {
    const struck = faults.strike(request.method, request.path);
    const before = await beforeEffect(struck);
    if (before !== undefined) return before;
    const answer = await withProxyTimeout(pve, perform(request, who, formatter));
    if (answer.status === 401) await pve.clock.sleep(pve.pace.unauthorizedMs);
    return afterEffect(struck, answer, pve);
  };

  const perform = async (
    request: ApiRequest,
    who: Identity | undefined,
    formatter: Formatter,
  ): Promise<ApiResponse> => {
    try {
      const found = table.find(request.method, request.path);
      const what = `${request.method} ${request.path}`;
      if (found.is === 'unknown') throw new PveError(501, `Method '${what}' not implemented`);
      if (found.is === 'not-faked') throw new PveError(501, `the fake node does not serve '${what}'`);
      const params = mergeParams(request.params, found.pathParams);
      checkAllowed(access, who, found.facts, params, request.path);
      if (found.facts.proxied) checkNode(pve.name, params['node']);
      const checked = checkParams(
        { ...params, ...(params['node'] === 'localhost' ? { node: pve.name } : {}) },
        found.facts.properties,
        rules,
        found.facts.open,
      );
      if (checked.is === 'refused') throw new PveError(400, 'Parameter verification failed.', checked.errors);
      const caller = who ?? { user: '', full: '' };
      return renderResult(await found.handler({ pve, who: caller, params: checked.params }), formatter);
    } catch (error) {
      if (error instanceof ProxyFailure) return renderPlain(error.status, error.message, false);
      return renderError(error, formatter);
    }
  };

  return {
    call,
    async wire(request) {
      const method = methods.find((known) => known === request.method);
      if (method === undefined) return renderPlain(501, `method '${request.method}' not available`, false);
      const [path, query] = splitOnce(request.target, '?');
      const api = /^\/api2\/([a-z0-9]+)(\/.*)?$/.exec(path);
      if (api === null) return renderPlain(500, 'file error - /usr/share/pve-manager/index.html.tpl: not found');
      const [, format = '', below = '/'] = api;

      const proof = access.authenticate({ method, headers: request.headers });
      const isOpen = method === 'POST' && below === '/access/ticket';
      if (proof.is === 'refused' && !isOpen) return unauthorized(proof.reason);
      if (proof.is === 'anonymous' && !isOpen) return unauthorized('No ticket');
      if (format !== 'json' && format !== 'extjs') return renderPlain(501, `no formatter for uri ${below}, ${format}`);

      if (below === '/' && method === 'GET')
        return renderResult(
          table.children('').map((subdir) => ({ subdir })),
          format,
        );
      const body = readBody(method, request);
      if (body.is === 'refused') return renderPlain(body.status, body.reason);
      const params = { ...decodeForm(query), ...body.params };
      const who = proof.is === 'known' ? proof.who : undefined;
      return call({ method, path: tidyPath(below), params, headers: request.headers }, who, format);
    },
  };
}

/** The proxy in front of the API could not reach the node; such answers have no body. */
class ProxyFailure extends Error {
  readonly status: number;
  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

function tidyPath(path: string): string {
  return path === '/' ? path : path.replace(/\/$/, '');
}

function splitOnce(text: string, at: string): [string, string] {
  const index = text.indexOf(at);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}

function readBody(method: string, request: WireRequest): BodyResult {
  const { headers, body } = request;
  const refused = (status: number, reason: string): BodyResult => ({ is: 'refused', status, reason });
  if (headers['transfer-encoding'] !== undefined) return refused(501, 'chunked transfer encoding not supported');
  const length = Number(headers['content-length'] ?? Buffer.byteLength(body));
  if (length > bodyLimit) return refused(501, 'for data too large');
  if (length === 0) return { is: 'params', params: {} };
  if (method === 'GET' || method === 'DELETE') return refused(501, `Unexpected content for method '${method}'`);
  const type = (headers['content-type'] ?? '').split(';', 1)[0]?.trim() ?? '';
  if (type === 'application/json') return decodeJson(body);
  if (type === '' || type === 'application/x-www-form-urlencoded') return { is: 'params', params: decodeForm(body) };
  return refused(506, `upload 'Content-Type '${type}' not implemented`);
}

function mergeParams(
  given: Readonly<Record<string, unknown>>,
  pathParams: Readonly<Record<string, string>>,
): Record<string, unknown> {
  for (const [name, value] of Object.entries(pathParams))
    if (given[name] !== undefined && given[name] !== null && textOf(given[name]) !== value)
      throw new PveError(400, `Parameter verification failed - duplicate parameter '${name}'`);
  return { ...given, ...pathParams };
}

function checkAllowed(
  access: AccessRoom,
  who: Identity | undefined,
  facts: MethodFacts,
  params: Readonly<Record<string, unknown>>,
  path: string,
): void {
  if (facts.user === 'world' || who === undefined) return;
  if (who.token !== undefined && !facts.allowToken)
    throw new PveError(
      403,
      `Permission check failed (URI '${path}' not available with API token, need proper ticket.\n)`,
    );
  if (access.isRoot(who) || facts.user === 'all') return;
  if (facts.check === undefined) throw new PveError(403, 'Permission check failed');
  checkDeclared(access, who, facts.check, params);
}

function checkNode(self: string, node: unknown): void {
  const name = textOf(node ?? self);
  if (name === self || name === 'localhost') return;
  if (name.toLowerCase() === self) throw new ProxyFailure(595, 'Connection refused');
  throw new PveError(
    500,
    `hostname lookup '${name}' failed - failed to get address info for: ${name}: Name or service not known`,
  );
}

async function beforeEffect(struck: readonly Fault[]): Promise<ApiResponse | undefined> {
  for (const fault of struck) {
    if (fault.is === 'meanwhile') await fault.act();
    if (fault.is === 'drop' && fault.when === 'before') return droppedConnection;
    if (fault.is === 'die') return renderError(new PveError(500, fault.message), 'json');
    if (fault.is === 'status' && fault.when === 'before') return renderPlain(fault.status, fault.reason, false);
  }
  return undefined;
}

async function afterEffect(struck: readonly Fault[], answer: ApiResponse, pve: FakePve): Promise<ApiResponse> {
  for (const fault of struck) {
    if (fault.is === 'delay') await pve.clock.sleep(fault.ms);
    if (fault.is === 'drop') return droppedConnection;
    if (fault.is === 'status') return renderPlain(fault.status, fault.reason, false);
  }
  return answer;
}

async function withProxyTimeout(pve: FakePve, answer: Promise<ApiResponse>): Promise<ApiResponse> {
  const giveUp = new AbortController();
  const timedOut = pve.clock.sleep(proxyTimeoutMs, giveUp.signal).then(
    () => renderPlain(596, 'Connection timed out', false),
    () => answer,
  );
  try {
    return await Promise.race([answer, timedOut]);
  } finally {
    giveUp.abort();
  }
}
