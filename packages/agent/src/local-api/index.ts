/**
 * The local API: what a guest may ask of its host, about itself.
 *
 * Owns: who asks (token and bridge port together), how much one guest may ask, what a request and an answer look like,
 * the sockets. Never does: know what a route means; that is the desk's. Read in this order: desk.ts, request.ts,
 * response.ts, quotas.ts, findings.ts, api.ts, openapi.ts, server.ts.
 */
export type { LocalCall, LocalDesk } from './desk.ts';
export { createLocalApi } from './api.ts';
export type { Admitted, LocalApi, LocalApiOptions, LocalRequest } from './api.ts';
export { openApiDocument } from './openapi.ts';
export type { LocalResponse } from './response.ts';
export { serveLocalApi } from './server.ts';
export type { LocalServer, LocalServerLimits, LocalServerOptions } from './server.ts';
