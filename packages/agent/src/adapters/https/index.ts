/**
 * What every HTTPS client of the agent does the same way: know the server by CA or public key, take in an answer up to
 * a limit, and say what went wrong below HTTP. Knows neither Proxmox nor the hub.
 */
export { connectorFor, spkiOf } from './tls-pin.ts';
export type { ServerTrust } from './tls-pin.ts';
export { readUpTo, single } from './answer-body.ts';
export { innermost, isUntrusted } from './failure.ts';
