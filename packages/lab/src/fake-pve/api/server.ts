/**
 * The HTTPS server in front of a fake node, as pveproxy is one: HTTP/1.x, keep-alive for 5 s and 100 requests, the
 * connection closed after every error, a redirect for whoever speaks plain HTTP.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import type { ApiResponse } from '../core.ts';
import type { WireRequest } from './dispatch.ts';
import { bodyLimit } from './form.ts';

export interface ServeOptions {
  /** 0 takes a free one. */
  readonly port: number;
  readonly cert: string;
  readonly key: string;
}

export interface RunningServer {
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

/** The answer to the last one says that the connection ends. PVE: APIServer/AnyEvent.pm, keep_alive. */
const requestsPerConnection = 100;

/** Serves on 127.0.0.1. */
export async function serve(
  node: { wire(request: WireRequest): Promise<ApiResponse> },
  options: ServeOptions,
): Promise<RunningServer> {
  const sockets = new Set<Socket>();
  const asked = new WeakMap<Socket, number>();
  const https = createHttpsServer({ cert: options.cert, key: options.key }, (request, response) => {
    const nth = (asked.get(request.socket) ?? 0) + 1;
    asked.set(request.socket, nth);
    void answer(node, request, response, nth >= requestsPerConnection);
  });
  const plain = createHttpServer((request, response) => {
    const location = `https://${request.headers.host ?? 'localhost'}${request.url ?? '/'}`;
    response.writeHead(301, { ...commonHeaders(), location }).end('Moved Permanently');
  });
  https.keepAliveTimeout = 5000;

  // One port for both: a TLS handshake begins with the byte 0x16.
  const tcp = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.once('data', (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      (first[0] === 0x16 ? https : plain).emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  });
  await new Promise<void>((resolve, reject) => {
    tcp.once('error', reject);
    tcp.listen(options.port, '127.0.0.1', resolve);
  });
  const { port } = tcp.address() as AddressInfo;
  return {
    port,
    url: `https://localhost:${port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => tcp.close(() => resolve()));
    },
  };
}

async function answer(
  node: { wire(request: WireRequest): Promise<ApiResponse> },
  request: IncomingMessage,
  response: ServerResponse,
  isLast: boolean,
): Promise<void> {
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
  const declared = Number(headers['content-length'] ?? 0);
  const body = declared > bodyLimit ? '' : await readAll(request);
  const result = await node.wire({ method: request.method ?? 'GET', target: request.url ?? '/', headers, body });
  if (result.dropped === true) {
    request.socket.destroy();
    return;
  }
  const text = result.body === null ? '' : typeof result.body === 'string' ? result.body : JSON.stringify(result.body);
  const closing = isLast || result.status >= 400 || request.httpVersion === '1.0';
  response.writeHead(result.status, headerText(result.reason), {
    ...commonHeaders(),
    ...result.headers,
    ...(text === '' ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
    connection: closing ? 'close' : 'Keep-Alive',
  });
  response.end(text);
}

function commonHeaders(): Record<string, string> {
  const date = new Date().toUTCString();
  return { 'cache-control': 'max-age=0', pragma: 'no-cache', server: 'pve-api-daemon/3.0', expires: date };
}

/** A reason phrase is one line of Latin-1. */
function headerText(reason: string): string {
  return reason.replaceAll(/[^\x20-\x7e\xa0-\xff]/g, '?');
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}
