/** What the hub and the operator's tools say to each other: the shapes of `/v1/hosts` and below. */
import { z } from 'zod';
import { backupPlan, desiredGuest, generationNumber, lineageId } from './desired-state.ts';
import { signedStatement } from './host-statement.ts';
import { hostVitals } from './host-state.ts';
import { digest, hostEpoch, hostId } from './ids.ts';
import { heldReference } from './poll.ts';
import { maxEnvelopeBytes } from './envelope.ts';
import { report } from './report.ts';

const time = z.number().int().min(0);
const count = z.number().int().min(0);

export const hostStates = [
  'ok',
  'working',
  'needs-attention',
  'no-report',
  'late',
  'unknown',
  'forked',
  'stale-hub',
  'silent',
  'never-seen',
] as const;
/** late, silent and unknown are those of the watch (alerts-api), so that a list and an alert cannot disagree. */
export const hostState = z.enum(hostStates);
export type HostState = z.output<typeof hostState>;

export const desiredRef = z.strictObject({ lineage: lineageId, generation: generationNumber });
export type DesiredRef = z.output<typeof desiredRef>;

/** One line of the fleet. Times are the hub's own, at receipt; counts are of the last report. */
const summaryFields = {
  hostId,
  state: hostState,
  createdAt: time,
  lastContactAt: time.optional(),
  agentVersion: z.string().optional(),
  /** What the hub has for the host. */
  desired: desiredRef.optional(),
  /** What the host said it goes by. */
  held: heldReference.optional(),
  guests: z.strictObject({ total: count, running: count, drifted: count }),
  sagas: count,
  parked: count,
  findings: z.strictObject({ total: count, worst: z.enum(['none', 'info', 'warning', 'critical']) }),
  /** Guests on tiers, those of them that are fresh and proven, and bulk volumes of which nobody has a copy. */
  backups: z
    .strictObject({ lines: count, ok: count, unprotectedBulk: count })
    .default({ lines: 0, ok: 0, unprotectedBulk: 0 }),
  blocked: count,
  /** Jobs that wait for signatures of more people. */
  jobsToSign: count.default(0),
  converged: z.boolean(),
  hold: z.boolean(),
  /** Until then no alert about the host opens. */
  snoozedUntil: time.optional(),
};
export const hostSummary = z.strictObject(summaryFields);
export type HostSummary = z.output<typeof hostSummary>;

/** What came with the last poll beside the report, and is of that moment. */
export const shownHeartbeat = z.strictObject({
  /** The host's clock as it asked; absent: it did not say. */
  at: time.optional(),
  /** Of its last completed pass, on its own clock. */
  lastPassAt: time.optional(),
  /** It polls seldom and reports at once only what matters. */
  metered: z.boolean(),
  vitals: hostVitals.optional(),
});
export type ShownHeartbeat = z.output<typeof shownHeartbeat>;

export const hostDetail = z.strictObject({
  ...summaryFields,
  /** Its ages are as of now. */
  report: report.optional(),
  /** When this report came. Heartbeats since then said that it still stands. */
  reportAt: time.optional(),
  heartbeat: shownHeartbeat.optional(),
  stale: z
    .strictObject({ lineage: lineageId, generation: generationNumber, since: time, hasText: z.boolean() })
    .optional(),
  fork: z.strictObject({ since: time, text: z.string() }).optional(),
  /** The host, or whoever has its API key, told two tales of its audit log. DELETE /v1/hosts/:id/audit-fork clears it. */
  auditFork: z.strictObject({ since: time, text: z.string() }).optional(),
  /** The newest one; it names the report by its digest, and only it makes the report more than the hub's word. */
  statement: signedStatement.optional(),
  /** The host's own epoch as of its last poll. */
  hostEpoch: hostEpoch.optional(),
  /** Envelopes that wait for the host or that it has taken. */
  mailbox: z.strictObject({ waiting: count, taken: count }).default({ waiting: 0, taken: 0 }),
  /** Entries of this epoch's audit log that the hub holds. Full: it takes no more of this host. */
  auditCopy: z.strictObject({ count, full: z.boolean() }).default({ count: 0, full: false }),
});
export type HostDetail = z.output<typeof hostDetail>;

/** GET /v1/hosts. `now` is the hub's clock, so that ages do not depend on the reader's. */
export const hostList = z.strictObject({ v: z.literal(1), now: time, hosts: z.array(hostSummary) });
/** GET /v1/hosts/:id */
export const hostAnswer = z.strictObject({ v: z.literal(1), now: time, host: hostDetail });

/** POST /v1/hosts */
export const hostCreation = z.strictObject({ hostId });
/** The key is in this answer and nowhere else, ever. */
export const hostCreated = z.strictObject({ hostId, apiKey: z.string() });

/** GET /v1/hosts/:id/desired. `text` are the exact bytes that the digest is of. */
export const desiredAnswer = z.strictObject({
  lineage: lineageId,
  generation: generationNumber,
  digest,
  text: z.string(),
  replaces: lineageId.optional(),
  putAt: time,
  putBy: z.string(),
});
export type DesiredAnswer = z.output<typeof desiredAnswer>;

/** PUT /v1/hosts/:id/desired */
export const desiredPut = z.strictObject({
  v: z.literal(1),
  /** The document that the edit started from; null: there was none. The hub refuses when another is current by now. */
  base: desiredRef.nullable(),
  guests: z.array(desiredGuest).max(200),
  backups: backupPlan.prefault({}),
  /** Begins a new lineage on purpose. */
  startOver: z.boolean().default(false),
});
export const desiredPutAnswer = z.strictObject({ lineage: lineageId, generation: generationNumber, digest });

/** POST /v1/hosts/:id/resolve: whose guests become the next generation when the hub is behind the host. */
export const staleResolution = z.strictObject({ keep: z.enum(['agent', 'hub']), generation: generationNumber });

/** RFC 9457. `code` is for machines; `detail` reads "cannot …: reason". */
export const problem = z.object({
  type: z.string().default('about:blank'),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
  /** What to do next. */
  next: z.string().optional(),
});
export type Problem = z.output<typeof problem>;

/** POST /v1/hosts/:id/envelopes: bytes for the host. The hub looks at their size and at nothing else. */
export const envelopePut = z.strictObject({ v: z.literal(1), text: z.string().min(1).max(maxEnvelopeBytes) });
/** 201 for a new one, 200 where the same text was there already, waiting or taken. */
export const envelopePutAnswer = z.strictObject({ digest });
/** GET /v1/hosts/:id/envelopes; DELETE /v1/hosts/:id/envelopes/:digest withdraws one that still waits. */
export const mailedEnvelope = z.strictObject({
  /** SHA-256 of the text. */
  digest,
  text: z.string(),
  putAt: time,
  putBy: z.string(),
  /** When the host said that it need not be sent again. */
  takenAt: time.optional(),
});
export type MailedEnvelope = z.output<typeof mailedEnvelope>;
export const envelopeList = z.strictObject({ v: z.literal(1), now: time, envelopes: z.array(mailedEnvelope) });
export type EnvelopeList = z.output<typeof envelopeList>;

/**
 * GET /v1/hosts/:id/audit?from=N&epoch=E: entries of the host's audit log as the host wrote them, at most 1,000 per
 * answer, and the signed statements that the hub kept about the log's head from the entry before them to the last of
 * them (on the last page also those beyond), oldest first. Verified by whoever holds the host's key. Without an epoch:
 * that of the last poll.
 */
export const auditAnswer = z.strictObject({
  v: z.literal(1),
  epoch: hostEpoch,
  /** Entries that the hub holds. */
  count,
  from: z.number().int().min(1),
  entries: z.array(z.string()),
  heads: z.array(signedStatement),
  /** Other texts that came for numbers of this epoch which the hub held already, by number. */
  conflicts: z.array(z.strictObject({ seq: z.number().int().min(1), text: z.string(), at: time })).default([]),
  /** All epochs of which the hub holds entries, oldest first. */
  epochs: z.array(z.strictObject({ epoch: hostEpoch, count, since: time })).default([]),
});
export type AuditAnswer = z.output<typeof auditAnswer>;
