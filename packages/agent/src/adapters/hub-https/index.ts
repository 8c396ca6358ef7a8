/** Talks to the hub. Never decides: every answer is sorted into the error catalogue and handed on. */
export { createHubHttps } from './hub-https.ts';
export type { HubHttps, HubHttpsOptions } from './hub-https.ts';
export { spkiOf } from '../https/index.ts';
export type { ServerTrust } from '../https/index.ts';
