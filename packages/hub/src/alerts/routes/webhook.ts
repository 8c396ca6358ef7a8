/**
 * JSON by POST, signed: `felhom-signature: t=<seconds>,v1=<hex>` is HMAC-SHA256 over "t.body" with the shared secret. A
 * receiver compares in constant time, refuses a `t` that is minutes off, and drops a `felhom-delivery` it has seen.
 */
import { createHmac } from 'node:crypto';
import type { Route } from '../settings.ts';
import { postOnce } from './post.ts';
import { readSecret, senderLimits } from './sender.ts';
import type { Outgoing, Sender } from './sender.ts';

export function webhookSender(name: string, route: Extract<Route, { type: 'webhook' }>, limits = senderLimits): Sender {
  return (outgoing, at, signal) =>
    postOnce(
      async () => {
        const secret = await readSecret('secretFile', route.secretFile);
        const body = webhookBody(name, outgoing);
        return {
          url: route.url,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'felhom-delivery': outgoing.id,
            'felhom-signature': signWebhook(secret, Math.floor(at / 1000), body),
          },
          body,
        };
      },
      limits,
      signal,
    );
}

/** The same bytes for every try of a delivery. */
export function webhookBody(route: string, { id, message: { v, ...rest } }: Outgoing): string {
  return JSON.stringify({ v, delivery: id, route, ...rest });
}

/** `seconds` since the epoch. */
export function signWebhook(secret: string, seconds: number, body: string): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`, 'utf8').digest('hex');
  return `t=${seconds},v1=${mac}`;
}
