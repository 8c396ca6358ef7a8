/**
 * `/metrics` on loopback, for a collector on the same host. Off unless a port is configured. It shows what the report
 * shows, so nothing in it is secret; it is made anew once per second at most, whoever asks how often.
 */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Agent } from '../agent-parts.ts';
import type { AgentConfig } from '../config.ts';
import type { Clock } from '../kernel/index.ts';
import { renderMetrics } from '../overview/metrics.ts';
import type { Log } from '../ports/log.ts';

const againMs = 15_000;
const keepMs = 1_000;

/** Serves until `signal`; never rejects. A port that is taken is tried again: guests are looked after without it. */
export async function serveMetrics(
  config: Pick<AgentConfig, 'metrics'>,
  agent: Pick<Agent, 'report' | 'vitals'>,
  { clock, log, signal }: { readonly clock: Clock; readonly log: Log; readonly signal: AbortSignal },
  onListening: (port: number) => void = () => {},
): Promise<void> {
  if (config.metrics === undefined) return;
  const { port } = config.metrics;
  let text = '';
  let madeAt = Number.NEGATIVE_INFINITY;
  const now = (): string => {
    if (clock.monotonicMs() - madeAt >= keepMs) {
      text = renderMetrics(agent.report(), clock.now(), agent.vitals());
      madeAt = clock.monotonicMs();
    }
    return text;
  };
  let told = false;
  while (!signal.aborted) {
    try {
      const server = await listen(port, now);
      onListening((server.address() as AddressInfo).port);
      await ended(signal);
      await close(server);
    } catch (error) {
      if (!told) log.error(`cannot serve metrics on port ${port}: ${(error as Error).message}; it is tried again`);
      told = true;
      await clock.sleep(againMs, signal).catch(() => undefined);
    }
  }
}

function listen(port: number, text: () => string): Promise<Server> {
  const server = createServer(
    { maxHeaderSize: 8192, requestTimeout: 5_000, keepAliveTimeout: 1_000 },
    (request, response) => {
      const known = request.method === 'GET' && request.url?.split('?')[0] === '/metrics';
      if (!known) return void response.writeHead(404, { 'content-type': 'text/plain' }).end('only GET /metrics\n');
      try {
        const body = text();
        response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body);
      } catch {
        // A report that cannot be made has a finding of its own at the hub.
        response.writeHead(500).end();
      }
    },
  );
  server.maxConnections = 8;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
