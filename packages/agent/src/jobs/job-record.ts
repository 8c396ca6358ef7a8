/**
 * A signed job as this host remembers it: durable before anything is done about it, and kept at least as long as its
 * challenge could be valid, so that no job is ever new twice. Only what somebody trusted has signed comes this far.
 */
import { digest, guestName, guestUid, jobId, jobState } from '@felhom/protocol';
import type { ReportedJob } from '@felhom/protocol';
import { z } from 'zod';
import type { DocumentWrite, Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0);

export const jobRecord = z.strictObject({
  v: z.literal(1),
  jobId,
  kind: z.string().max(40),
  /** Of the payload: the same id with another one is another job. */
  digest,
  /** Base64 of the exact bytes that are signed; verified again before every use. */
  payload: z.string().max(60_000),
  /** Those that were valid when they came. */
  signatures: z.array(z.string().max(4096)).max(8),
  /** Digests of the envelopes that brought it, to know them again without verifying. */
  envelopes: z.array(digest).max(16),
  state: jobState,
  code: z.string().max(80).optional(),
  text: z.string().max(1000),
  people: z.array(z.string().max(40)).max(8),
  missing: z.number().int().min(0).max(8),
  guest: z.union([guestName, z.literal('')]),
  /** Whom the job is about, once it is known; what a customer finds in the log of the own guest. */
  uid: guestUid.optional(),
  /** What is carried out at the moment, and the saga that does it. */
  work: z.strictObject({ doing: z.enum(['act', 'quarantine', 'free', 'lift']), saga: z.string().max(120) }).optional(),
  /** Milliseconds that the host has waited for certain; `forgetAt`: of its elapsed time, by which challenges age. */
  nextAt: time.optional(),
  forgetAt: time,
  /** Wall time in milliseconds: first seen, last changed. */
  since: time,
  at: time,
});
export type JobRecord = z.output<typeof jobRecord>;

export const isOver = ({ state }: Pick<JobRecord, 'state'>): boolean =>
  state === 'done' || state === 'refused' || state === 'cancelled' || state === 'failed';

const prefix = 'job/';
const mostRecords = 1000;
const mostOfOne = 200;

export interface JobStore {
  find(id: string): JobRecord | undefined;
  /** By first sight, oldest first. */
  all(): readonly JobRecord[];
  /** The write that makes it durable; what is read afterwards is the record. */
  write(record: JobRecord): DocumentWrite;
  /** To be called once the write is durable. */
  wrote(record: JobRecord): void;
  /** Drops what is over and whose challenge is worth nothing any more, at `elapsedMs`. */
  prune(elapsedMs: number): void;
  /** No room for one more that only these people signed; nobody alone can take all of it. */
  isFullFor(people: readonly string[]): boolean;
}

/** Throws where a record does not read: a job that is forgotten could be run again. */
export function createJobStore(documents: Pick<Documents, 'list' | 'remove'>): JobStore {
  const known = new Map(
    documents.list(prefix).map((document) => {
      const record = jobRecord.parse(document.body);
      return [record.jobId, record] as const;
    }),
  );
  return {
    find: (id) => known.get(id),
    all: () => [...known.values()].sort((a, b) => a.since - b.since || (a.jobId < b.jobId ? -1 : 1)),
    write: (record) => ({ put: { key: `${prefix}${record.jobId}`, v: 1, body: record } }),
    wrote: (record) => void known.set(record.jobId, record),
    prune: (elapsedMs) => {
      for (const record of known.values())
        if (isOver(record) && record.forgetAt < elapsedMs) {
          documents.remove(`${prefix}${record.jobId}`);
          known.delete(record.jobId);
        }
    },
    isFullFor: (people) => {
      if (known.size >= mostRecords) return true;
      if (people.length > 1) return false;
      const alone = [...known.values()].filter((record) => record.people.length <= 1 && record.people[0] === people[0]);
      return alone.length >= mostOfOne;
    },
  };
}

/** As a report shows it. `wallOf` turns waited time into wall time. */
export function reportedOf(record: JobRecord, wallOf: (waitedMs: number) => number): ReportedJob {
  return {
    jobId: record.jobId,
    kind: record.kind,
    digest: record.digest,
    state: record.state,
    text: record.text,
    ...(record.code === undefined ? {} : { code: record.code }),
    guest: record.guest,
    by: record.people,
    missing: record.missing,
    since: record.since,
    at: record.at,
    ...(record.nextAt === undefined ? {} : { nextAt: Math.max(0, Math.trunc(wallOf(record.nextAt))) }),
  };
}
