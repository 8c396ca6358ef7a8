/** The hub as one object: routes on a store. Who may listen where is decided in `listen`. */
import { fastify, LogController } from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { HostId } from '@felhom/protocol';
import { alertSettings } from './alerts/settings.ts';
import type { AlertSettings, HeartbeatSettings } from './alerts/settings.ts';
import { createWatch } from './alerts/watch.ts';
import type { Watch } from './alerts/watch.ts';
import { addAlertRoutes } from './api/alert-routes.ts';
import { addOperatorRoutes } from './api/operator-routes.ts';
import { addPollRoute } from './api/poll-route.ts';
import { ProblemError, sendProblem, toProblem } from './api/problem.ts';
import { mintCredential } from './credentials.ts';
import type { RandomBytes } from './credentials.ts';
import { addDashboard } from './dashboard/dashboard.ts';
import { createHostViews } from './fleet/host-view.ts';
import { createRateLimiter } from './rate-limit.ts';
import type { RateLimit } from './rate-limit.ts';
import type { HubStore, Role } from './store/store.ts';

export interface HubOptions {
  readonly store: HubStore;
  /** Wall time of the hub in milliseconds. */
  readonly now: () => number;
  /** Cryptographic in production. */
  readonly random: RandomBytes;
  /** PEM. Required unless the hub listens on loopback. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** JSON lines without secrets; absent: silent. */
  readonly log?: { write(line: string): void };
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error';
  /** Hint to agents; each clamps it into its own policy. */
  readonly pollAfterSeconds?: number;
  readonly pollLimit?: RateLimit;
  readonly alerts?: AlertSettings;
  readonly heartbeat?: HeartbeatSettings | undefined;
}

export interface Hub {
  /** For `inject()` in tests. */
  readonly app: FastifyInstance;
  /** The dead-man's switch. Whoever runs the hub runs its loop, and ends it before `close`. */
  readonly watch: Watch;
  /** Listens and answers the base URL. Refuses an address beyond loopback without TLS. Port 0 picks a free one. */
  listen(at: { readonly host: string; readonly port: number }): Promise<string>;
  /** Creates a token and answers it; it is kept as a hash only. Names are lower-case letters, digits and dashes. */
  createOperator(name: string, role: Role): Promise<{ readonly token: string }>;
  createHost(hostId: HostId): Promise<{ readonly apiKey: string }>;
  /** Ends connections and closes the store. */
  close(): Promise<void>;
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost']);

export function createHub(options: HubOptions): Hub {
  const { store, now, random } = options;
  const app = createServer(options);
  app.setErrorHandler((error: Parameters<typeof toProblem>[0], request, reply) => {
    const problem = toProblem(error, request);
    if (problem.status >= 500) request.log.error({ err: error }, 'a request failed');
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new ProblemError(404, 'path.unknown', `cannot serve ${request.method}: there is no such path`)),
  );
  app.addHook('onResponse', async (request, reply) => {
    const line = {
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      address: request.ip,
    };
    // A fleet polls all day: only what is out of the ordinary is worth a line.
    if (reply.statusCode >= 400) request.log.warn(line, 'request refused');
    else if (request.method === 'GET' || line.route === '/v1/poll') request.log.debug(line, 'request');
    else request.log.info(line, 'request');
  });
  const failures = createRateLimiter({ perSecond: 0.5, burst: 20 }, now);
  const polls = createRateLimiter(options.pollLimit ?? { perSecond: 2, burst: 20 }, now);
  const views = createHostViews();
  const pollAfterSeconds = options.pollAfterSeconds ?? 30;
  const watch = createWatch(
    { store: store.alerts, now, random, log: app.log },
    { pollAfterSeconds, alerts: options.alerts ?? alertSettings.parse({}), heartbeat: options.heartbeat },
  );
  addPollRoute(app, { store, now, failures, polls, pollAfterSeconds });
  void app.register(async (scope) =>
    addOperatorRoutes(scope, { store, now, random, failures, views, liveness: watch.liveness }),
  );
  void app.register(async (scope) => addAlertRoutes(scope, { store, now, failures, watch }));
  addDashboard(app);
  app.get('/healthz', async () => ({ ok: true }));
  return {
    app,
    watch,
    async listen({ host, port }) {
      if (options.tls === undefined && !loopback.has(host))
        throw new Error(
          `cannot listen on ${host}: without a certificate the hub listens on loopback only, because keys and tokens ` +
            'would travel in the clear. Configure tls, or put a TLS proxy on the same machine in front',
        );
      return app.listen({ host, port });
    },
    async createOperator(name, role) {
      const token = mintCredential('operator', name, random);
      const added = await store.addOperator({ name, role, secret: token.stored, createdAt: now() });
      if (added === 'exists') throw new Error(`cannot add operator ${name}: there is one of that name`);
      return { token: token.text };
    },
    async createHost(hostId) {
      const key = mintCredential('host', hostId, random);
      const added = await store.addHost({ hostId, secret: key.stored, createdAt: now() });
      if (added === 'exists') throw new Error(`cannot add host ${hostId}: there is one of that name`);
      return { apiKey: key.text };
    },
    async close() {
      app.server.closeAllConnections();
      await app.close();
      await store.close();
    },
  };
}

function createServer(options: HubOptions): FastifyInstance {
  const base = {
    logger:
      options.log === undefined
        ? false
        : { level: options.logLevel ?? 'info', stream: options.log, base: { program: 'felhom-hub' } },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 16_384,
    requestTimeout: 60_000,
    forceCloseConnections: true,
  } as const;
  if (options.tls === undefined) return fastify(base);
  return fastify({ ...base, https: { ...options.tls, minVersion: 'TLSv1.2' } });
}
