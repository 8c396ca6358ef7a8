/** What people read: subject and text of every message, the same on all routes. Pure. */
import { alertSeverity, hostId } from '@felhom/protocol';
import { z } from 'zod';
import type { Notice } from './alert.ts';
import { clipped, moment, span } from './plain-text.ts';

const time = z.number().int();

/** As kept in the outbox until it is delivered. */
export const message = z.strictObject({
  v: z.literal(1),
  kind: z.enum(['opened', 'raised', 'escalated', 'recovered', 'digest', 'test']),
  severity: z.enum(['info', ...alertSeverity.options]),
  at: time,
  subject: z.string(),
  text: z.string(),
  alert: z
    .strictObject({
      id: z.string(),
      cause: z.string(),
      host: hostId.optional(),
      since: time,
      closedAt: time.optional(),
      lastContactAt: time.optional(),
      next: z.string(),
    })
    .optional(),
});
export type Message = z.output<typeof message>;

const marks = {
  opened: 'alert',
  raised: 'now critical',
  escalated: 'not acknowledged',
  recovered: 'recovered',
} as const;

/** `now`: the hub's time. */
export function noticeMessage({ kind, alert, lately }: Notice, now: number): Message {
  const over = kind === 'recovered';
  const lines = [
    over ? `Over: ${alert.title}. It lasted ${span((alert.clearSince ?? now) - alert.since)}.` : alert.text,
    '',
    ...(alert.host === undefined ? [] : [`Host: ${alert.host}`]),
    `Since: ${moment(alert.since)}${over ? '' : ` (${span(now - alert.since)})`}`,
    ...(alert.lastContactAt === undefined
      ? []
      : [
          `Last contact before: ${moment(alert.lastContactAt)}${over ? '' : ` (${span(now - alert.lastContactAt)} ago)`}`,
        ]),
    ...(lately > 0 ? [`It also came and went ${lately} times within six hours.`] : []),
    ...(over ? [] : [`Next: ${alert.next}`, `Take it: felhom alerts ack ${alert.id}`]),
  ];
  return {
    v: 1,
    kind,
    severity: alert.severity,
    at: now,
    subject: clipped(`[felhom] ${marks[kind]}: ${alert.title}`, 180),
    text: lines.join('\n'),
    alert: {
      id: alert.id,
      cause: alert.cause,
      ...(alert.host === undefined ? {} : { host: alert.host }),
      since: alert.since,
      ...(alert.closedAt === undefined ? {} : { closedAt: alert.closedAt }),
      ...(alert.lastContactAt === undefined ? {} : { lastContactAt: alert.lastContactAt }),
      next: alert.next,
    },
  };
}

const shownLines = 50;

/** Several that were held back, as one. `lost`: messages that did not even fit into what was held. */
export function digestMessage(held: readonly Message[], why: 'quiet' | 'rate', lost: number, now: number): Message {
  const reason = why === 'quiet' ? 'during quiet hours' : 'because there were too many to send one by one';
  const lines = held.map(({ at, subject }) => `${moment(at)}  ${subject.replace(/^\[felhom\] /, '')}`);
  const unsaid = held.length - shownLines;
  return {
    v: 1,
    kind: 'digest',
    severity: held.some(({ severity }) => severity === 'critical') ? 'critical' : 'warning',
    at: now,
    subject: `[felhom] ${held.length} messages held back`,
    text: [
      `${held.length} messages were held back ${reason}. Oldest first:`,
      '',
      ...lines.slice(0, shownLines),
      ...(unsaid > 0 ? [`and ${unsaid} more`] : []),
      ...(lost > 0 ? ['', `${lost} messages of this route were lost so far.`] : []),
      '',
      'Next: felhom alerts shows what is still open',
    ].join('\n'),
  };
}

export function testMessage(route: string, asked: boolean, now: number): Message {
  return {
    v: 1,
    kind: 'test',
    severity: 'info',
    at: now,
    subject: `[felhom] test of route ${route}`,
    text: asked
      ? `Somebody asked for this test of the alert route ${route}. It works; nothing is the matter.`
      : `The alert route ${route} had nothing to carry for a while. It works; nothing is the matter. When messages ` +
        'like this stop coming, look at felhom alerts.',
  };
}
