/**
 * What was submitted and what became of it, kept in the journal and in the audit log, and beside it the little that
 * admission must not forget: what was touched and grown within the day, and what is under way. That is a document of its own, because the trail is
 * cut at a number of entries, and a hub that asks for enough nonsense must not thereby reset the blast radius.
 */
import { z } from 'zod';
import { guestName, guestUid } from '@felhom/protocol';
import type { AuditEvent } from '@felhom/protocol';
import type { AuditLog } from '../audit/index.ts';
import type { DocumentWrite, Journal } from '../kernel/journal.ts';

const group = z.enum(['create', 'power', 'capacity', 'volumes', 'connection', 'protection', 'display']);

const trailEntry = z.strictObject({
  v: z.literal(1),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** The same question has the same key: the effect with its target values. */
  key: z.string(),
  kind: z.string(),
  /** The effect as it was asked for. */
  effect: z.unknown(),
  /** Empty: about the host. */
  guest: z.union([z.literal(''), guestName]),
  /** The uid of that guest, once it has one. */
  uid: guestUid.optional(),
  evidence: z.string(),
  /** The signed job it rests on. */
  job: z.string().optional(),
  row: z.string(),
  /** What the blast radius counts it as; only of what was started. */
  group: group.optional(),
  answer: z.discriminatedUnion('is', [
    z.strictObject({ is: z.literal('started'), saga: z.string() }),
    /** Allowed, and carried out by whoever asked, without a saga. */
    z.strictObject({ is: z.literal('permitted') }),
    z.strictObject({ is: z.literal('blocked'), digest: z.string(), code: z.string() }),
    z.strictObject({ is: z.literal('refused'), code: z.string(), text: z.string() }),
  ]),
});
export type TrailEntry = z.output<typeof trailEntry>;

const admissionState = z.strictObject({
  touches: z.array(z.strictObject({ at: z.number(), group, guest: guestName })),
  /** Growth of guests' volumes that was begun within the day. */
  growths: z
    .array(
      z.strictObject({
        at: z.number(),
        guest: guestUid,
        grownGiB: z.number(),
        /** Which volume, and how large it was to become: one that is still smaller has not grown. */
        volid: z.string().optional(),
        toGiB: z.number().optional(),
      }),
    )
    .default([]),
  underWay: z.array(
    z.strictObject({
      key: z.string(),
      saga: z.string(),
      /** What it will have taken from the host's budget. */
      reserved: z
        .strictObject({
          guests: z.number(),
          cores: z.number(),
          memoryMiB: z.number(),
          swapMiB: z.number(),
          storagesGiB: z.record(z.string(), z.number()),
        })
        .optional(),
    }),
  ),
});
export type AdmissionState = z.output<typeof admissionState>;

export interface AuditTrail {
  /** Durable when it returns, on the trail and on the audit log, with the state and `documents`, or none of it. */
  append(entry: TrailEntry, state?: AdmissionState, documents?: readonly DocumentWrite[]): void;
  /** Since `at`, oldest first. Entries that this release cannot read are left out. */
  since(at: number): readonly TrailEntry[];
  state(): AdmissionState;
}

const topic = 'audit';
const key = 'admission';
const mostEntries = 20_000;

export function createAuditTrail(journal: Pick<Journal, 'facts' | 'get'>, log: Pick<AuditLog, 'append'>): AuditTrail {
  return {
    append: (entry, state, documents = []) =>
      void log.append(eventOf(entry), {
        records: [{ v: 1, kind: 'fact', at: entry.at, topic, body: entry }],
        documents: [...documents, ...(state === undefined ? [] : [{ put: { key, v: 1, body: state } }])],
      }),
    since: (at) =>
      journal
        .facts(topic, mostEntries)
        .filter((fact) => fact.at >= at)
        .flatMap((fact) => trailEntry.safeParse(fact.body).data ?? [])
        .toReversed(),
    state: () => {
      const stored = journal.get(key);
      if (stored === undefined) return { touches: [], growths: [], underWay: [] };
      if (stored.v !== 1)
        throw new TypeError(`cannot read what admission remembers: version ${stored.v}, this release knows 1`);
      return admissionState.parse(stored.body);
    },
  };
}

function eventOf(entry: TrailEntry): AuditEvent {
  const { answer } = entry;
  const what = `${entry.kind}${entry.guest === '' ? '' : ` of guest ${entry.guest}`}`;
  const detail = {
    effect: entry.kind,
    evidence: entry.evidence,
    row: entry.row,
    ...(entry.job === undefined ? {} : { job: entry.job }),
  };
  const event = (text: string, more: AuditEvent['detail']): AuditEvent => ({
    at: entry.at,
    kind: `gate.${answer.is}`,
    text,
    detail: { ...detail, ...more },
    guest: entry.uid,
  });
  switch (answer.is) {
    case 'started':
      return event(`${what} begins as saga ${answer.saga}`, { saga: answer.saga });
    case 'permitted':
      return event(`${what} is permitted`, {});
    case 'blocked':
      return event(`${what} waits for a signature over ${answer.digest}`, { digest: answer.digest, code: answer.code });
    case 'refused':
      return event(answer.text, { code: answer.code });
  }
}
