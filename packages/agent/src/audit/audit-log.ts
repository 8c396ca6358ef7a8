/**
 * The audit log of this host, kept in the journal: entry and heads of the chains are durable together, and together with
 * whatever the event is about, or not at all.
 */
import { auditEntry, auditText, chainEntry, digest, emptyChain } from '@felhom/protocol';
import type { AuditEntry, AuditEvent, ChainHead, GuestUid } from '@felhom/protocol';
import { z } from 'zod';
import type { DocumentWrite, Journal } from '../kernel/journal.ts';
import type { JournalRecord } from '../kernel/records.ts';

export interface AuditLog {
  /**
   * Links the event to the chain of the host and of the guest it is about. Durable when it returns, together with
   * `also`. Texts that are too long are cut. Throws `JournalError`.
   */
  append(event: AuditEvent, also?: Also): AuditEntry;
  /** Several at once, all of them or none. */
  appendAll(events: readonly AuditEvent[], also?: Also): readonly AuditEntry[];
  head(): ChainHead;
  /** The newest ones, newest last. */
  newest(limit: number): readonly AuditEntry[];
  /** Texts of entries from number `from` on, oldest first; empty where the oldest ones asked for are no longer kept. */
  from(from: number, limit: number): readonly string[];
  /** The newest entries about one guest, newest last. */
  ofGuest(guest: GuestUid, limit: number): readonly AuditEntry[];
}

export interface Also {
  readonly records?: readonly JournalRecord[];
  readonly documents?: readonly DocumentWrite[];
}

const topic = 'audit-chain';
const headsKey = 'audit/head';
const guestKey = (uid: GuestUid): string => `audit/guest/${uid}`;
const mostEntries = 20_000;

const storedHead = z.strictObject({ count: z.number().int().min(0), head: digest });

/** Throws where a stored head does not read: a chain that begins anew would hide what was before. */
export function createAuditLog(journal: Pick<Journal, 'append' | 'facts' | 'get'>): AuditLog {
  const headAt = (key: string): ChainHead => {
    const stored = journal.get(key);
    return stored === undefined ? emptyChain : storedHead.parse(stored.body);
  };
  let host = headAt(headsKey);
  // Reports and polls look at the end of the log many times a minute.
  let tail = read(journal, tailLength);
  const appendAll: AuditLog['appendAll'] = (events, also = {}) => {
    let next = host;
    const guests = new Map<GuestUid, ChainHead>();
    const entries = events.map((event) => {
      const guest = event.guest === undefined ? emptyChain : (guests.get(event.guest) ?? headAt(guestKey(event.guest)));
      const linked = chainEntry({ host: next, guest }, fitted(event));
      next = { count: next.count + 1, head: linked.digest };
      if (event.guest !== undefined) guests.set(event.guest, { count: guest.count + 1, head: linked.digest });
      return linked.entry;
    });
    journal.append(
      [
        ...(also.records ?? []),
        ...entries.map((entry) => ({ v: 1, kind: 'fact', at: entry.at, topic, body: entry }) as const),
      ],
      [
        ...(also.documents ?? []),
        { put: { key: headsKey, v: 1, body: next } },
        ...[...guests].map(([uid, head]) => ({ put: { key: guestKey(uid), v: 1, body: head } })),
      ],
    );
    host = next;
    tail = [...tail, ...entries].slice(-tailLength);
    return entries;
  };
  return {
    append: (event, also) => {
      const [entry] = appendAll([event], also);
      if (entry === undefined) throw new TypeError('cannot append to the audit log: no entry was made of the event');
      return entry;
    },
    appendAll,
    head: () => host,
    newest: (limit) => tail.slice(-Math.min(limit, tailLength)),
    from: (from, limit) => {
      const missing = host.count - from + 1;
      if (missing <= 0) return [];
      const first = tail[0]?.seq ?? 1;
      const entries = from >= first ? tail : read(journal, Math.min(missing, mostEntries));
      const wanted = entries.filter(({ seq }) => seq >= from).slice(0, limit);
      return wanted[0]?.seq === from ? wanted.map(auditText) : [];
    },
    ofGuest: (guest, limit) =>
      read(journal, mostEntries)
        .filter((entry) => entry.guest?.uid === guest)
        .slice(-limit),
  };
}

const tailLength = 500;

function read(journal: Pick<Journal, 'facts'>, limit: number): readonly AuditEntry[] {
  return journal
    .facts(topic, limit)
    .flatMap((fact) => auditEntry.safeParse(fact.body).data ?? [])
    .toReversed();
}

/** An event is never lost for being wordy. */
function fitted(event: AuditEvent): AuditEvent {
  return {
    ...event,
    at: Math.max(0, Math.trunc(event.at)),
    text: cut(event.text, 1000),
    detail: Object.fromEntries(
      Object.entries(event.detail).map(([key, value]) => [
        key,
        typeof value === 'string'
          ? cut(value, 1024)
          : Array.isArray(value)
            ? value.slice(0, 64).map((item) => cut(item, 1024))
            : value,
      ]),
    ),
  };
}

function cut(text: string, most: number): string {
  const formed = text.toWellFormed();
  return formed.length <= most ? formed : `${formed.slice(0, most - 1).toWellFormed()}…`;
}
