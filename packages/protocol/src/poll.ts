/**
 * The poll: the agent's heartbeat up, desired state down. The hub never calls a box.
 *
 * The desired state travels as opaque text with its digest, so that a document the agent cannot read does not make the
 * rest of the answer unreadable, and so that both sides mean the same bytes by the same digest.
 */
import { z } from 'zod';
import { generationNumber, lineageId, maxDesiredStateBytes } from './desired-state.ts';
import { signedStatement } from './host-statement.ts';
import { hostVitals } from './host-state.ts';
import { digest, hostEpoch, hostId } from './ids.ts';
import { report } from './report.ts';
import type { Versioned } from './parse.ts';

export const pollVersions = [1] as const;
/** Bytes of a request body: a report of 2 MiB and a held document at its limit, escaped as a JSON string. */
export const maxPollRequestBytes = 6_291_456;
/** Bytes of an answer body: a document at its limit and 32 envelopes at theirs, escaped as JSON strings. */
export const maxPollAnswerBytes = 6_291_456;

export const maxAuditEntriesPerPoll = 100;

/** Bodies above this are compressed with gzip, in both directions. Bytes. */
export const compressedAboveBytes = 512;
/**
 * Whether a body became so many times its own size that it is refused; who sends sends as it is what would. What people
 * and programs write stays far below, and a bomb far above.
 */
export function inflatesTooMuch(compressedBytes: number, inflatedBytes: number): boolean {
  return inflatedBytes > 65_536 && inflatedBytes > compressedBytes * 100;
}

/** A metered host polls no oftener, unless something changed that matters. A statement is signed upon while younger than 15 min. */
export const meteredPollSeconds = 600;

/** Which document the agent holds. Never received, held and unreadable are three answers. */
export const heldReference = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('never-received') }),
  z.strictObject({ is: z.literal('held'), lineage: lineageId, generation: generationNumber, digest }),
  z.strictObject({ is: z.literal('unreadable') }),
]);
export type HeldReference = z.output<typeof heldReference>;

export const pollRequest = z.strictObject({
  v: z.literal(1),
  hostId,
  hostEpoch,
  agentVersion: z.string().min(1).max(60),
  /** Strictly increasing within one host epoch. One that repeats or falls means two agents or a rolled-back journal. */
  sequence: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  held: heldReference,
  /** Numbers of now; without them the hub shows none. */
  vitals: hostVitals.optional(),
  /** The host counts its bytes: it polls seldom, sends no vitals, and reports anew only what matters. */
  metered: z.boolean().optional(),
  /**
   * Digest of the report that stands; the hub asks for the report when it has another. That of a metered host stands
   * until something changes that matters.
   */
  reportDigest: digest,
  report: report.optional(),
  /** Text of the held document; sent only when the hub asked, so that an operator may adopt it [R38]. */
  heldText: z.string().max(maxDesiredStateBytes).optional(),
  /** Signed by the host: what the hub may show of it and cannot change. */
  statement: signedStatement.optional(),
  /** Digests (SHA-256 of the text) of envelopes that need not be sent again: taken in, or refused for good. */
  taken: z.array(digest).max(200).default([]),
  /** Entries of the audit log after those that the hub said it has, oldest first. */
  audit: z
    .strictObject({
      /** Number of the first one. */
      from: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
      entries: z.array(z.string().max(8192)).min(1).max(maxAuditEntriesPerPoll),
    })
    .optional(),
});
export type PollRequest = z.output<typeof pollRequest>;

export const desiredOffer = z.discriminatedUnion('is', [
  /** The hub has no document for this host. Not an empty one: nothing changes on the host. */
  z.strictObject({ is: z.literal('nothing') }),
  /** The agent holds what the hub has. */
  z.strictObject({ is: z.literal('unchanged') }),
  /** The hub is behind this host and serves nothing until an operator picks [R38]. */
  z.strictObject({ is: z.literal('withheld'), why: z.string().max(500) }),
  z.strictObject({
    is: z.literal('document'),
    digest,
    /** Set when an operator chose to leave this lineage for the document's own; else a change of lineage is refused. */
    replaces: lineageId.optional(),
    /** Longer than the limit is the agent's to refuse, with the rest of the answer intact. */
    text: z.string(),
  }),
]);
export type DesiredOffer = z.output<typeof desiredOffer>;

export const pollAnswer = z.strictObject({
  v: z.literal(1),
  desired: desiredOffer,
  /** The hub has another report than `reportDigest` names, or none: send it with the next poll, at once. */
  sendReport: z.boolean(),
  /** The hub wants the text of the held document. */
  sendHeld: z.boolean(),
  /** A hint; the agent clamps it into the range of its root-owned policy. */
  pollAfterSeconds: z.number().int().min(1).max(86_400).optional(),
  /** Envelopes for this host, as opaque text. Those beyond the limits are the agent's to refuse. */
  envelopes: z.array(z.string()).default([]),
  /** How many entries of this epoch's audit log the hub holds without a gap. */
  auditCount: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  /**
   * A statement by this very host whose sequence is not behind the one of this poll: its journal was rolled back, or
   * two agents use its key. The signature proves it, so a hub cannot make it up [R11].
   */
  newerStatement: signedStatement.optional(),
});
export type PollAnswer = z.output<typeof pollAnswer>;

export const pollRequestKind: Versioned<PollRequest> = {
  what: 'poll request',
  versions: pollVersions,
  schema: pollRequest,
};
export const pollAnswerKind: Versioned<PollAnswer> = {
  what: 'poll answer',
  versions: pollVersions,
  schema: pollAnswer,
};
