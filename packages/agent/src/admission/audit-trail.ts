/**
 * What was submitted and what became of it, kept in the journal. An answer that repeats the last one for the same
 * question is not written again: a blocked action is asked for in every pass, and the journal is bounded.
 */
import { z } from 'zod';
import { guestName } from '@felhom/protocol';
import type { Journal } from '../kernel/journal.ts';

const auditEntry = z.strictObject({
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
  evidence: z.string(),
  row: z.string(),
  /** What the blast radius counts it as; only of what was started. */
  group: z.enum(['create', 'power', 'capacity', 'volumes', 'connection', 'protection', 'display']).optional(),
  /** What it takes from the host's budget while it runs. */
  reserved: z
    .strictObject({
      guests: z.number(),
      cores: z.number(),
      memoryMiB: z.number(),
      swapMiB: z.number(),
      storagesGiB: z.record(z.string(), z.number()),
    })
    .optional(),
  answer: z.discriminatedUnion('is', [
    z.strictObject({ is: z.literal('started'), saga: z.string() }),
    z.strictObject({ is: z.literal('blocked'), digest: z.string(), code: z.string() }),
    z.strictObject({ is: z.literal('refused'), code: z.string(), text: z.string() }),
  ]),
});
export type AuditEntry = z.output<typeof auditEntry>;

export interface AuditTrail {
  /** Durable when it returns. */
  append(entry: AuditEntry): void;
  /** Since `at`, oldest first. Entries that this release cannot read are left out. */
  since(at: number): readonly AuditEntry[];
}

const topic = 'audit';
/** Far above what 24 hours of changing answers come to. */
const mostEntries = 20_000;

export function createAuditTrail(journal: Pick<Journal, 'append' | 'facts'>): AuditTrail {
  return {
    append: (entry) => journal.append([{ v: 1, kind: 'fact', at: entry.at, topic, body: entry }]),
    since: (at) =>
      journal
        .facts(topic, mostEntries)
        .filter((fact) => fact.at >= at)
        .flatMap((fact) => auditEntry.safeParse(fact.body).data ?? [])
        .toReversed(),
  };
}
