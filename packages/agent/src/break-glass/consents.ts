/**
 * Standing consent of customers. Break-glass opens the whole host, so one customer's word is not enough: every guest on
 * record needs its own [R42]. Kept per uid, durable, until it is withdrawn or its time is over.
 */
import { z } from 'zod';
import { guestUid } from '@felhom/protocol';
import type { GuestName, GuestUid } from '@felhom/protocol';
import type { Random } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const consent = z.strictObject({
  v: z.literal(1),
  /** What a signed job names; another consent of the same guest has another one. */
  id: z.string().regex(/^[a-z2-7]{26}$/),
  guest: guestUid,
  /** Who said so; root writes down what a customer told the operator. */
  by: z.enum(['customer', 'root at the host']),
  /** Milliseconds since the epoch. */
  at: time,
  /** From then on it no longer stands; absent: until it is withdrawn. */
  until: time.optional(),
});
export type Consent = z.output<typeof consent>;

const prefix = 'consent/break-glass/';
const keyOf = (guest: GuestUid): string => `${prefix}${guest}`;

/** Puts a consent in the place of an earlier one of the same guest; the earlier id is worth nothing from then on. */
export function grantConsent(
  documents: Documents,
  given: Pick<Consent, 'guest' | 'by' | 'until'>,
  now: number,
  random: Random,
): Consent {
  const granted = consent.parse({ v: 1, ...given, id: mintConsentId(random), at: now });
  documents.put({ key: keyOf(granted.guest), v: 1, body: granted });
  return granted;
}

/** Whether there was one to withdraw. */
export function withdrawConsent(documents: Documents, guest: GuestUid): boolean {
  const there = documents.get(keyOf(guest)) !== undefined;
  documents.remove(keyOf(guest));
  return there;
}

/** All that are on record, expired ones too. One that does not read is left out: nobody consented by it. */
export function listConsents(documents: Documents): readonly Consent[] {
  return documents.list(prefix).flatMap(({ body }) => {
    const read = consent.safeParse(body);
    return read.success ? [read.data] : [];
  });
}

/** A guest as far as consent goes. */
export interface ConsentingGuest {
  readonly uid: GuestUid;
  readonly name: GuestName;
}

export type ConsentStanding =
  /** The ids of the consents, sorted: what a signed job has to name. */
  | { readonly is: 'all'; readonly ids: readonly string[] }
  /** Guests without one, sorted. */
  | { readonly is: 'missing'; readonly names: readonly GuestName[] };

/** Whether every guest on record stands behind opening the host at this moment. */
export function consentStanding(
  guests: readonly ConsentingGuest[],
  consents: readonly Consent[],
  now: number,
): ConsentStanding {
  const standing = new Map(consents.filter((given) => stands(given, now)).map((given) => [given.guest, given.id]));
  const missing = guests.filter(({ uid }) => !standing.has(uid));
  if (missing.length > 0) return { is: 'missing', names: missing.map(({ name }) => name).toSorted() };
  return { is: 'all', ids: guests.map(({ uid }) => standing.get(uid) ?? '').toSorted() };
}

/** A consent from the future is one under another clock: it does not count before its time. */
const stands = ({ at, until }: Consent, now: number): boolean => at <= now && (until === undefined || now < until);

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** 26 characters of 5 random bits each. */
function mintConsentId(random: Random): string {
  return Array.from(random.bytes(26), (byte) => alphabet[byte & 31]).join('');
}
