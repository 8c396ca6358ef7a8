/**
 * Tokens of guests: `felhom1_` and 256 random bits, kept as a hash, one per guest. A token belongs to one incarnation:
 * the one that a restored backup carries authenticates nothing until a new claim was redeemed.
 */
import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { digest, digestOfText, guestUid } from '@felhom/protocol';
import type { Digest, GuestUid } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { GuestRegistry } from '../authority/guest-record.ts';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const tokenRecord = z.strictObject({
  uid: guestUid,
  incarnation: z.number().int().min(1),
  sha256: digest,
  issuedAt: time,
  /** Somebody came with it: it arrived. */
  firstUsedAt: time.optional(),
});
type TokenRecord = z.output<typeof tokenRecord>;

export interface Tokens {
  /** In the place of an earlier one, which is worth nothing from then on. */
  issue(guest: GuestRef): string;
  /** Constant work whatever the token. */
  authenticate(token: string): GuestUid | undefined;
  /** How the guest as it is on record stands: `unused` since when, if nobody has come with it yet. */
  standing(
    guest: Pick<GuestRef, 'uid' | 'incarnation'>,
  ): { readonly is: 'none' } | { readonly is: 'unused'; readonly since: number } | { readonly is: 'used' };
  revoke(uid: GuestUid): void;
}

export interface TokensNeeds {
  readonly documents: Pick<Documents, 'put' | 'remove' | 'list'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
  readonly registry: Pick<GuestRegistry, 'byUid'>;
}

const prefix = 'token/';

export function createTokens({ documents, clock, random, registry }: TokensNeeds): Tokens {
  // This process alone writes them, and every request asks.
  const known = new Map<GuestUid, TokenRecord>(
    documents.list(prefix).map(({ body }) => {
      const record = tokenRecord.parse(body);
      return [record.uid, record];
    }),
  );
  const keep = (record: TokenRecord): void => {
    documents.put({ key: prefix + record.uid, v: 1, body: record });
    known.set(record.uid, record);
  };
  return {
    issue(guest) {
      const token = `felhom1_${Buffer.from(random.bytes(32)).toString('base64url')}`;
      keep({
        uid: guest.uid,
        incarnation: guest.incarnation,
        sha256: digestOfText(token),
        issuedAt: Math.trunc(clock.now()),
      });
      return token;
    },
    authenticate(token) {
      const presented = digestOfText(token);
      const [found] = [...known.values()].filter((record) => same(record.sha256, presented));
      if (found === undefined || registry.byUid(found.uid)?.incarnation !== found.incarnation) return undefined;
      if (found.firstUsedAt === undefined) keep({ ...found, firstUsedAt: Math.trunc(clock.now()) });
      return found.uid;
    },
    standing(guest) {
      const record = known.get(guest.uid);
      if (record === undefined || record.incarnation !== guest.incarnation) return { is: 'none' };
      return record.firstUsedAt === undefined ? { is: 'unused', since: record.issuedAt } : { is: 'used' };
    },
    revoke(uid) {
      documents.remove(prefix + uid);
      known.delete(uid);
    },
  };
}

const same = (kept: Digest, presented: Digest): boolean =>
  timingSafeEqual(Buffer.from(kept, 'hex'), Buffer.from(presented, 'hex'));
