/**
 * The local admin socket: how `felhom-agent status` and its siblings talk to the running agent.
 *
 * HTTP on a unix socket with mode 0600, so the file's owner and root are the only callers. It reads; what it can cause
 * is an earlier pass, and the going on or ending of a parked saga. What needs a signature needs it here as well.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { maxEnvelopeBytes } from '@felhom/protocol';

/** What the socket can show; each answer is plain JSON. */
export interface AdminRoutes {
  readonly 'GET /v1/status': () => unknown;
  readonly 'GET /v1/plan': (signal: AbortSignal) => Promise<unknown>;
  readonly 'GET /v1/doctor': (signal: AbortSignal) => Promise<unknown>;
  readonly 'GET /v1/journal': (limit: number) => unknown;
  readonly 'GET /v1/version': () => unknown;
  /** Report and signed statement, for an operator without a hub. */
  readonly 'GET /v1/statement': () => unknown;
  /** Entries of the audit log from number `from` on. */
  readonly 'GET /v1/audit': (from: number) => unknown;
  readonly 'GET /v1/consents': () => unknown;
  readonly 'POST /v1/wake': () => unknown;
  /** A parked saga goes on, or ends as it stands. Neither destroys anything. */
  readonly 'POST /v1/resume': (saga: string) => unknown;
  readonly 'POST /v1/abandon': (saga: string) => unknown;
  /** An envelope from a file. It goes the way of every envelope: what its signatures do not open stays shut. */
  readonly 'POST /v1/envelope': (text: string) => unknown;
  readonly 'POST /v1/reset-clock': () => unknown;
  /** Closing only narrows, so root needs nobody's signature for it. */
  readonly 'POST /v1/break-glass-close': (signal: AbortSignal) => Promise<unknown>;
  /** What a customer told the operator about break-glass, written down by root. */
  readonly 'POST /v1/consent': (guest: string, given: boolean) => unknown;
}

export interface AdminSocket {
  close(): Promise<void>;
}

/** Somebody listens on the socket. */
export class SocketTaken extends Error {}

/** Listens. Throws where the socket is alive already (another agent) or the folder cannot be written. */
export async function openAdminSocket(file: string, routes: AdminRoutes): Promise<AdminSocket> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
  const there = lstatSync(file, { throwIfNoEntry: false });
  // Whatever else lies there is somebody's: the path in the configuration is wrong.
  if (there !== undefined && !there.isSocket())
    throw new Error(`cannot listen on ${file}: it is there and is no socket; correct adminSocket in the configuration`);
  if (await answers(file)) throw new SocketTaken(`cannot listen on ${file}: another agent answers there`);
  rmSync(file, { force: true });
  const server = createServer({ maxHeaderSize: 8192, requestTimeout: 10_000 }, (request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    void bodyOf(request).then((body) =>
      answer(routes, `${request.method ?? ''} ${request.url ?? ''}`, body, response, gone.signal),
    );
  });
  server.maxConnections = 16;
  // The mask makes the socket private from its first moment; chmod afterwards would leave a gap.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(file, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(file, 0o600);
  return { close: () => close(server, file) };
}

/** `undefined`: larger than any envelope. What was not asked for is read and dropped. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size <= maxEnvelopeBytes) chunks.push(chunk);
    }
  } catch {
    // The caller is gone; there is nobody to answer.
    return undefined;
  }
  return size > maxEnvelopeBytes ? undefined : Buffer.concat(chunks).toString('utf8');
}

async function answer(
  routes: AdminRoutes,
  line: string,
  sent: string | undefined,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const target = line.slice(line.indexOf(' ') + 1);
  const url = URL.parse(target, 'http://agent');
  if (url === null) return send(response, 404, { error: 'cannot answer: the address does not read' });
  const route = `${line.slice(0, line.indexOf(' '))} ${url.pathname}`;
  try {
    const body = await dispatch(routes, route, url, sent, signal);
    if (body === undefined) send(response, 404, { error: `cannot answer ${route}: no such route` });
    else send(response, 200, body);
  } catch (error) {
    send(response, 500, { error: `cannot answer ${route}: ${(error as Error).message}` });
  }
}

async function dispatch(
  routes: AdminRoutes,
  route: string,
  url: URL,
  sent: string | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  if (!Object.hasOwn(routes, route)) return undefined;
  const known = route as keyof AdminRoutes;
  if (known === 'GET /v1/journal') {
    const limit = Number(url.searchParams.get('limit') ?? '50');
    return routes[known](Number.isInteger(limit) && limit > 0 ? Math.min(limit, 1000) : 50);
  }
  if (known === 'POST /v1/resume' || known === 'POST /v1/abandon')
    return routes[known](url.searchParams.get('saga') ?? '');
  if (known === 'GET /v1/audit') {
    const from = Number(url.searchParams.get('from') ?? '1');
    return routes[known](Number.isSafeInteger(from) && from > 0 ? from : 1);
  }
  if (known === 'POST /v1/envelope') {
    if (sent === undefined) throw new Error(`an envelope has at most ${maxEnvelopeBytes} bytes`);
    return routes[known](sent);
  }
  if (known === 'POST /v1/consent')
    return routes[known](url.searchParams.get('guest') ?? '', url.searchParams.get('given') === 'true');
  if (known === 'GET /v1/plan' || known === 'GET /v1/doctor' || known === 'POST /v1/break-glass-close')
    return routes[known](signal);
  return routes[known]();
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A socket file that nobody listens on is left over from a crash and may be replaced. */
function answers(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(file);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function close(server: Server, file: string): Promise<void> {
  return new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => {
      rmSync(file, { force: true });
      resolve();
    });
  });
}
