/**
 * The server of the local API: sockets, TLS and their limits. A peer that is not behind one of our guests' ports is gone
 * before the handshake; a guest that is slow, large or many costs itself its connection and nobody else anything.
 */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { Clock } from '../kernel/index.ts';
import type { BridgePorts, PeerPort } from '../ports/bridge-ports.ts';
import type { Log } from '../ports/log.ts';
import type { LocalApi } from './api.ts';
import type { LocalResponse } from './response.ts';

export interface LocalServerOptions {
  readonly listen: { readonly address: string; readonly port: number };
  readonly api: LocalApi;
  readonly ports: BridgePorts;
  /** The CA adapter: what to show now, and whether there is something new to show. */
  readonly authority: {
    readonly secureContext: () => SecureContextOptions;
    readonly renew: () => Promise<boolean>;
  };
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<LocalServerLimits>;
}

export interface LocalServerLimits {
  /** Of all guests. */
  readonly connections: number;
  /** Peers that are being looked up; more are sent away unseen. */
  readonly lookups: number;
  readonly handshakeMs: number;
  /** Until the whole head, and until the whole request, was received. */
  readonly headersMs: number;
  readonly requestMs: number;
  readonly keepAliveMs: number;
  /** Without a byte either way; longer than the longest poll. */
  readonly idleMs: number;
  readonly requestsPerSocket: number;
  /** How often time-outs are looked at. */
  readonly checkMs: number;
  readonly renewMs: number;
}

const usual: LocalServerLimits = {
  connections: 512,
  lookups: 256,
  handshakeMs: 5000,
  headersMs: 5000,
  requestMs: 20_000,
  keepAliveMs: 60_000,
  idleMs: 75_000,
  requestsPerSocket: 1000,
  checkMs: 1000,
  renewMs: 3_600_000,
};
const maxHeaderBytes = 8192;
const maxHeaders = 32;

export interface LocalServer {
  readonly address: string;
  readonly port: number;
  /** Calls in flight are aborted, then everything is closed. */
  readonly close: () => Promise<void>;
}

/** Rejects where the address cannot be listened on. */
export async function serveLocalApi(options: LocalServerOptions): Promise<LocalServer> {
  const { api, ports, authority, clock, log } = options;
  const limits = { ...usual, ...options.limits };
  const stop = new AbortController();
  const sockets = new Set<Socket>();
  let lookups = 0;

  const server = createServer(
    {
      ...authority.secureContext(),
      // Nothing is read from a peer until it is known: no hello of a stranger is ever parsed.
      pauseOnConnect: true,
      noDelay: true,
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
      requireHostHeader: false,
      sessionTimeout: 300,
    },
    (request, response) => void serve(request, response),
  );
  server.maxHeadersCount = maxHeaders;
  server.maxRequestsPerSocket = limits.requestsPerSocket;
  server.timeout = limits.idleMs;
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => socket.destroy());
  // Sent after the answer that said it was the last: Node would keep such a connection.
  server.on('dropRequest', (_request, socket) => socket.destroy());
  // A request that waits to be let in with its body is answered first: whoever may not ask sends none.
  server.on('checkContinue', (request, response) => void serve(request, response, () => response.writeContinue()));

  const portOf = async (socket: Socket): Promise<PeerPort> =>
    ports.portOf(socket.remoteAddress ?? '').catch(() => ({ is: 'unknown' }) as const);

  const serve = async (request: IncomingMessage, response: ServerResponse, goOn?: () => void): Promise<void> => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    response.on('error', () => gone.abort());
    request.on('error', () => gone.abort());
    const port = await portOf(request.socket);
    const answer = await api.handle(
      {
        method: request.method ?? '',
        target: request.url ?? '',
        headers: request.headers,
        readBody: async (limit) => readBody(request, limit, goOn),
        port,
      },
      AbortSignal.any([gone.signal, stop.signal]),
    );
    // Who asks too much has to come again, and new connections are few.
    const last = stop.signal.aborted || port.is !== 'guest' || answer.status === 429;
    send(request, response, answer, last);
  };

  /** Which guest it is, before a byte of it is read. */
  const receive = async (socket: Socket): Promise<void> => {
    socket.on('error', () => socket.destroy());
    if (sockets.size >= limits.connections || lookups >= limits.lookups || stop.signal.aborted) {
      socket.resetAndDestroy();
      return;
    }
    lookups += 1;
    const port = await portOf(socket);
    lookups -= 1;
    const admitted = socket.destroyed || stop.signal.aborted ? undefined : api.connect(port);
    if (admitted === undefined) {
      socket.resetAndDestroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      admitted.closed();
    });
    for (const handshake of handshakes) Reflect.apply(handshake, server, [socket]);
  };
  // In front of what a TLS server does with a connection.
  const handshakes = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => void receive(socket));

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.listen.address, port: options.listen.port, backlog: 128 }, () => {
      server.off('error', reject);
      server.on('error', (error) => log.warn('the local API cannot accept a connection', { error: error.message }));
      resolve();
    });
  });

  const renewing = (async (): Promise<void> => {
    while (!stop.signal.aborted)
      try {
        await clock.sleep(limits.renewMs, stop.signal);
        if (await authority.renew()) server.setSecureContext(authority.secureContext());
      } catch (error) {
        if (!stop.signal.aborted)
          log.warn('cannot renew the certificate of the local API', { error: (error as Error).message });
      }
  })();

  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    close: async () => {
      stop.abort(new Error('the agent stops'));
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await Promise.all([closed, renewing]);
    },
  };
}

/** Counts as it comes: what is said in its head is not relied on. */
async function readBody(
  request: IncomingMessage,
  limit: number,
  goOn: (() => void) | undefined,
): Promise<Uint8Array | 'too-large'> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return 'too-large';
  goOn?.();
  const parts: Buffer[] = [];
  let total = 0;
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    total += part.length;
    if (total > limit) return 'too-large';
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** A body that was not read to its end is not read any more: the answer is sent, and the connection ends. */
function send(request: IncomingMessage, response: ServerResponse, answer: LocalResponse, last: boolean): void {
  if (response.destroyed) return;
  const unread = !request.complete;
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    ...answer.headers,
    'content-length': body.length,
    ...(unread || last ? { connection: 'close' } : {}),
  });
  response.end(body, () => {
    if (unread) request.socket.destroy();
  });
}
