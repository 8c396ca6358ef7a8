/** ntfy, by its JSON interface: titles in headers would have to be ASCII. */
import type { Message } from '../message.ts';
import type { Route } from '../settings.ts';
import { postOnce } from './post.ts';
import { readSecret, senderLimits } from './sender.ts';
import type { Sender } from './sender.ts';

/** ntfy cuts a message into an attachment above 4096 bytes. */
const longestBytes = 3800;

const looks = {
  critical: { priority: 5, tags: ['rotating_light'] },
  warning: { priority: 3, tags: ['warning'] },
  info: { priority: 2, tags: ['information_source'] },
} as const satisfies Record<Message['severity'], { priority: number; tags: readonly string[] }>;
const over = { priority: 3, tags: ['white_check_mark'] } as const;

export function ntfySender(route: Extract<Route, { type: 'ntfy' }>, limits = senderLimits): Sender {
  return ({ id, message }, _at, signal) =>
    postOnce(
      async () => {
        const token = route.tokenFile === undefined ? undefined : await readSecret('tokenFile', route.tokenFile);
        const look = message.kind === 'recovered' ? over : looks[message.severity];
        return {
          url: route.url,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'felhom-delivery': id,
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
          body: JSON.stringify({
            topic: route.topic,
            title: message.subject,
            message: cutToBytes(message.text, longestBytes),
            ...look,
          }),
        };
      },
      limits,
      signal,
    );
}

/** At a boundary between characters. */
export function cutToBytes(text: string, most: number): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= most) return text;
  let end = most - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.toString('utf8', 0, end)}…`;
}
