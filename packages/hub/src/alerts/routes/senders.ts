/** The sender of each configured route. */
import type { AlertSettings, Route } from '../settings.ts';
import { ntfySender } from './ntfy.ts';
import { senderLimits } from './sender.ts';
import type { Sender, SenderLimits } from './sender.ts';
import { smtpSender } from './smtp.ts';
import { webhookSender } from './webhook.ts';

export function createSenders(
  { routes }: Pick<AlertSettings, 'routes'>,
  limits: SenderLimits = senderLimits,
): ReadonlyMap<string, Sender> {
  return new Map(Object.entries(routes).map(([name, route]) => [name, senderOf(name, route, limits)]));
}

function senderOf(name: string, route: Route, limits: SenderLimits): Sender {
  switch (route.type) {
    case 'webhook':
      return webhookSender(name, route, limits);
    case 'ntfy':
      return ntfySender(route, limits);
    case 'smtp':
      return smtpSender(route, limits);
  }
}
