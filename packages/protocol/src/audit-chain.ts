/**
 * The audit log as a chain: every entry names the digest of the one before, in the host's chain and, where it is about a
 * guest, in that guest's own chain, so that a customer can check the entries of one guest without seeing the others
 * [R42]. Pure; where entries lie is the matter of whoever keeps them.
 */
import { z } from 'zod';
import { canonicalDigest, canonicalJson } from './canonical.ts';
import type { CanonicalValue } from './canonical.ts';
import { digest, guestUid } from './ids.ts';
import type { Digest, GuestUid } from './ids.ts';

const seq = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export const auditEntry = z.strictObject({
  v: z.literal(1),
  /** From 1 on, without a gap. */
  seq,
  /** Milliseconds since the epoch on the host's clock. */
  at: z.number().int().min(0),
  /** `<area>.<what>`, e.g. `job.refused`. */
  kind: z
    .string()
    .regex(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/)
    .max(80),
  /** For people. */
  text: z.string().max(1000),
  detail: z.record(
    z.string().regex(/^[a-zA-Z][a-zA-Z0-9]{0,39}$/),
    z.union([z.string().max(1024), z.number().int(), z.boolean(), z.null(), z.array(z.string().max(1024)).max(64)]),
  ),
  prev: digest,
  guest: z.strictObject({ uid: guestUid, seq, prev: digest }).optional(),
});
export type AuditEntry = z.output<typeof auditEntry>;

/** What goes before the first entry. */
export const chainStart = '0'.repeat(64) as Digest;

export interface ChainHead {
  readonly count: number;
  readonly head: Digest;
}
export const emptyChain: ChainHead = { count: 0, head: chainStart };

export type AuditEvent = Pick<AuditEntry, 'at' | 'kind' | 'text' | 'detail'> & {
  readonly guest?: GuestUid | undefined;
};

export interface ChainHeads {
  readonly host: ChainHead;
  /** Of the guest that the event is about. */
  readonly guest: ChainHead;
}

/** Links an event to the chains. Throws where it is outside the schema: a bug of the caller. */
export function chainEntry(heads: ChainHeads, event: AuditEvent): { entry: AuditEntry; digest: Digest } {
  const { guest, ...rest } = event;
  const entry = auditEntry.parse({
    v: 1,
    ...rest,
    seq: heads.host.count + 1,
    prev: heads.host.head,
    ...(guest === undefined ? {} : { guest: { uid: guest, seq: heads.guest.count + 1, prev: heads.guest.head } }),
  });
  return { entry, digest: digestOfEntry(entry) };
}

export function digestOfEntry(entry: AuditEntry): Digest {
  return canonicalDigest(entry as unknown as CanonicalValue);
}

/** The one text of an entry. */
export function auditText(entry: AuditEntry): string {
  return canonicalJson(JSON.parse(JSON.stringify(entry)) as CanonicalValue);
}

export type ChainCheck =
  | { readonly is: 'whole'; readonly head: ChainHead }
  | {
      readonly is: 'broken';
      /** Number of the first entry that does not fit. */
      readonly at: number;
      readonly why: 'cut' | 'edited' | 'unreadable' | 'forked';
      readonly text: string;
    };

/** Whether texts of entries follow each other and what goes before them. `chain`: the host's, or that of one guest. */
export function verifyChain(
  texts: readonly string[],
  before: ChainHead = emptyChain,
  chain: 'host' | GuestUid = 'host',
): ChainCheck {
  let head = before;
  for (const text of texts) {
    const expected = head.count + 1;
    const entry = readEntry(text);
    if (entry === undefined || auditText(entry) !== text)
      return broken(expected, 'unreadable', 'it does not read as an entry');
    const link = chain === 'host' ? entry : entry.guest;
    if (link === undefined || (chain !== 'host' && entry.guest?.uid !== chain))
      return broken(expected, 'cut', 'it is not about this guest');
    if (link.seq !== expected)
      return broken(
        expected,
        link.seq > expected ? 'cut' : 'forked',
        `number ${link.seq} stands where ${expected} belongs`,
      );
    if (link.prev !== head.head) return broken(expected, 'edited', 'the entry before it is not the one it names');
    head = { count: expected, head: digestOfEntry(entry) };
  }
  return { is: 'whole', head };
}

/** Where two logs of one host first differ: both cannot be true. */
export function findFork(a: readonly string[], b: readonly string[]): number | undefined {
  const at = a.findIndex((text, index) => b[index] !== undefined && b[index] !== text);
  return at === -1 ? undefined : at + 1;
}

function readEntry(text: string): AuditEntry | undefined {
  try {
    return auditEntry.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function broken(at: number, why: Extract<ChainCheck, { is: 'broken' }>['why'], because: string): ChainCheck {
  return { is: 'broken', at, why, text: `the audit log is broken at entry ${at} (${why}): ${because}` };
}
