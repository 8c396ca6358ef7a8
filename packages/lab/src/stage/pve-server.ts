/** The fake node behind HTTPS on loopback, as pveproxy stands before a real one. */
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { FakePveNode } from '../world/enrolled-node.ts';
import type { ServerCertificate } from './certificates.ts';

export interface PveServer {
  readonly url: string;
  /** Requests answered so far. */
  readonly requests: () => number;
  close(): Promise<void>;
}

export async function servePve(node: FakePveNode, tls: ServerCertificate): Promise<PveServer> {
  let requests = 0;
  const server = createServer({ ...tls, keepAliveTimeout: 5_000 }, (request, response) => {
    requests += 1;
    void answer(node, request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function answer(node: FakePveNode, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : (value ?? ''),
    ]),
  );
  const body = await text(request);
  const found = await node.wire({ method: request.method ?? 'GET', target: request.url ?? '/', headers, body });
  if (found.dropped === true) {
    request.socket.destroy();
    return;
  }
  // Proxmox puts the first line of an error where HTTP has the reason phrase.
  const reason = (found.reason.split('\n')[0] ?? '').replace(/[^\t\u0020-\u007e\u0080-\u00ff]/g, '?');
  response.writeHead(found.status, reason, {
    'content-type': 'application/json;charset=UTF-8',
    ...found.headers,
    ...(found.status >= 400 ? { connection: 'close' } : {}),
  });
  response.end(typeof found.body === 'string' ? found.body : JSON.stringify(found.body));
}
