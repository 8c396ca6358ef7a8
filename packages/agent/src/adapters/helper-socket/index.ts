/**
 * The root helper behind a socket of systemd: the adapter of the helper's ports on a packaged host. Every connection is a
 * process of root of its own, `felhom-agent root-verb` with the connection as stdin and stdout (`Accept=yes`,
 * `StandardInput=socket`), so the agent needs no sudo and keeps `NoNewPrivileges`. The documents are those of
 * `adapters/helper-command`.
 *
 * Owns carrying one request over one connection. Never decides what an answer means; who may connect is the socket's mode.
 * Read in this order: helper-socket.
 */
export { createHelperSocket } from './helper-socket.ts';
export type { HelperSocketOptions } from './helper-socket.ts';
