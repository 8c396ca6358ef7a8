/**
 * Proxmox VE over its HTTP API: the one adapter of `ports/proxmox.ts`. It asks, classifies each answer once into the
 * error catalogue, and hands it on. It never decides, never repeats a write and never reads a clock but the given one.
 *
 * Read in this order: transport (the seam), texts and classify (what answers mean), caller (time limits, breaker, cap,
 * retries), then guests, tasks, stores and node-facts (one per port), pve-client (puts them together).
 */
export { createPveClient, tokenShape } from './pve-client.ts';
export type { PveClient, PveClientOptions } from './pve-client.ts';
export { createPveHttps } from './undici-transport.ts';
export type { PveHttpsOptions } from './undici-transport.ts';
export type { RawAnswer, RawRequest, Transport, TransportFailure, WholeAnswer } from './transport.ts';
