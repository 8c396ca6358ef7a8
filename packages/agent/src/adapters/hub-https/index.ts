/** Talks to the hub. Never decides: every answer is sorted into the error catalogue and handed on. */
export { createHubHttps } from './hub-https.ts';
export type { HubHttps, HubHttpsOptions } from './hub-https.ts';
export { spkiOf } from './tls-pin.ts';
export type { ServerTrust } from './tls-pin.ts';
