/**
 * One-time claims: how a guest that nobody enters gets its first token [R26]. 256 random bits reach it through its
 * config and are kept here as a hash. A claim is bound to one uid and incarnation, lives for minutes and is worth nothing
 * once it was redeemed; that it is taken out of the config afterwards is hygiene, not the control.
 *
 * Two ways of equal rank lead to a token while a claim is open: the secret, and the guest's own bridge port, for nodes
 * that have no `env` or whose `env` does not reach PID 1. Which one a node has is remembered from what guests did.
 */
import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { digest, digestOfText, guestUid, reason } from '@felhom/protocol';
import type { Digest, Finding, GuestUid, Reason } from '@felhom/protocol';
import type { GuestRef } from '../authority/effects.ts';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';

const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const incarnation = z.number().int().min(1);

const claimRecord = z.strictObject({
  uid: guestUid,
  incarnation,
  sha256: digest,
  issuedAt: time,
  expiresAt: time,
  /** The secret stands in the guest's config, until it was seen that it does not. */
  inEnv: z.boolean(),
  cleared: z.boolean(),
  redeemedAt: time.optional(),
  /** Claims of this guest that were redeemed: what a copy of its config may bring back, harmlessly. */
  spent: z.array(z.strictObject({ incarnation, sha256: digest })).max(8),
});
type ClaimRecord = z.output<typeof claimRecord>;

const deliveryRecord = z.strictObject({ is: z.enum(['env-works', 'env-does-not-arrive']), at: time });
/** Whether what stands in a guest's `env` reaches it on this node. */
export type ClaimDelivery = 'unknown' | z.output<typeof deliveryRecord>['is'];

export interface Redemption {
  /** Behind whose port the caller is, as on record. */
  readonly guest: GuestRef;
  readonly secret: string | undefined;
  /** No other guest was started since this claim was issued; asked only where `openWindow` says that it counts. */
  readonly alone: boolean;
}

export type RedemptionAnswer =
  | { readonly is: 'redeemed'; readonly by: 'secret' | 'port'; readonly learnt: ClaimDelivery | undefined }
  /** `severity`: how much it means that somebody tried. */
  | { readonly is: 'refused'; readonly why: Reason; readonly severity: Finding['severity'] };

export interface Claims {
  /** A new secret; an earlier claim of the guest is dead from then on. `inEnv`: it is about to be written there. */
  mint(guest: GuestRef, options: { readonly inEnv: boolean }): string;
  /** Single use; durable when it answers. The same work whatever is presented. */
  redeem(redemption: Redemption): RedemptionAnswer;
  /** The claim that may be redeemed now. `aloneNeeded`: by port only where no other guest was started since [R27]. */
  openWindow(
    guest: Pick<GuestRef, 'uid' | 'incarnation'>,
  ): { readonly since: number; readonly until: number; readonly aloneNeeded: boolean } | undefined;
  /** Guests in whose config a redeemed or expired secret may still stand; each once an hour. */
  leftInEnv(): readonly GuestUid[];
  /** Whether it was seen by `current=1` that it is gone. */
  lookedAtEnv(uid: GuestUid, gone: boolean): void;
  /** Of a guest that is gone, or whose bring-up was taken back. */
  forget(uid: GuestUid): void;
  delivery(): ClaimDelivery;
  /** What was tried within a day and did not become a token; and that this node's `env` does not arrive. */
  findings(): readonly Finding[];
}

export interface ClaimsNeeds {
  readonly documents: Pick<Documents, 'get' | 'put' | 'remove' | 'list'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: Random;
  readonly claimMinutes: () => number;
}

const prefix = 'claim/';
const deliveryKey = 'claim-delivery';
const mostSpent = 8;
const triedForMs = 86_400_000;
const lookEveryMs = 3_600_000;
const nothing = '0'.repeat(43);

export function createClaims({ documents, clock, random, claimMinutes }: ClaimsNeeds): Claims {
  const read = (body: unknown): ClaimRecord => claimRecord.parse(body);
  const find = (uid: GuestUid): ClaimRecord | undefined => {
    const stored = documents.get(prefix + uid);
    return stored === undefined ? undefined : read(stored.body);
  };
  const all = (): readonly ClaimRecord[] => documents.list(prefix).map(({ body }) => read(body));
  const keep = (record: ClaimRecord): void => documents.put({ key: prefix + record.uid, v: 1, body: record });
  const delivery = (): ClaimDelivery => {
    const stored = documents.get(deliveryKey);
    return stored === undefined ? 'unknown' : deliveryRecord.parse(stored.body).is;
  };
  /** `<uid> <code>` → what was tried last. Of a running agent; the audit log keeps each for good. */
  const tried = new Map<string, Finding>();
  const lookedAt = new Map<GuestUid, number>();

  const isOpen = (record: ClaimRecord, { incarnation: wanted }: Pick<GuestRef, 'incarnation'>): boolean => {
    const now = clock.now();
    // One from the future was issued under another clock.
    const inTime = record.issuedAt <= now && now < record.expiresAt;
    return record.incarnation === wanted && record.redeemedAt === undefined && inTime;
  };

  const refuse = (guest: GuestRef, severity: Finding['severity'], why: Reason): RedemptionAnswer => {
    const now = clock.now();
    const key = `${guest.uid} ${why.code} ${severity}`;
    tried.set(key, {
      key: severity === 'info' ? 'claim.repeated' : 'claim.misused',
      severity,
      subject: guest.name,
      text: why.text,
      advice: {
        text:
          severity === 'critical'
            ? 'Find out who in that guest, or in its place, tries to get a token; nothing was given out.'
            : 'Nothing; the guest gets a new claim by itself.',
      },
      since: tried.get(key)?.since ?? now,
    });
    return { is: 'refused', severity, why };
  };

  const learn = (record: ClaimRecord, by: 'secret' | 'port'): ClaimDelivery | undefined => {
    if (!record.inEnv) return undefined;
    const is = by === 'secret' ? 'env-works' : 'env-does-not-arrive';
    if (delivery() === is) return undefined;
    documents.put({ key: deliveryKey, v: 1, body: { is, at: Math.trunc(clock.now()) } });
    return is;
  };

  return {
    mint(guest, { inEnv }) {
      const before = find(guest.uid);
      const secret = Buffer.from(random.bytes(32)).toString('base64url');
      const issuedAt = Math.trunc(clock.now());
      keep({
        uid: guest.uid,
        incarnation: guest.incarnation,
        sha256: digestOfText(secret),
        issuedAt,
        expiresAt: issuedAt + claimMinutes() * 60_000,
        inEnv,
        cleared: false,
        spent: spentOf(before),
      });
      return secret;
    },

    redeem({ guest, secret, alone }) {
      const presented = digestOfText(secret ?? nothing);
      const own = find(guest.uid);
      // Every record is compared, so that the time taken tells nothing about which one it was.
      const matches = all().filter((record) =>
        [record, ...record.spent].map((one) => same(one, presented)).some(Boolean),
      );
      const what = `cannot redeem a claim for guest ${guest.name}`;
      if (secret === undefined) {
        if (own === undefined || !isOpen(own, guest)) {
          const again = own?.incarnation === guest.incarnation && own.redeemedAt !== undefined;
          const text = again ? 'its claim was redeemed already' : 'none is open';
          // A guest that never was to have one carries the same programs, and they ask.
          const expected = again || own === undefined;
          return refuse(guest, expected ? 'info' : 'warning', reason('claim.no-window', `${what}: ${text}`));
        }
        if (!own.inEnv && !alone)
          return refuse(
            guest,
            'warning',
            reason('claim.not-alone', `${what} by its port alone: another guest was started meanwhile`),
          );
        keep({ ...own, redeemedAt: Math.trunc(clock.now()) });
        return { is: 'redeemed', by: 'port', learnt: learn(own, 'port') };
      }
      const stranger = matches.find((record) => record.uid !== guest.uid);
      if (stranger !== undefined)
        return refuse(
          guest,
          'critical',
          reason('claim.worthless', `${what}: what it shows is the claim of another guest, ${stranger.uid}`),
        );
      const known = matches.find((record) => record.uid === guest.uid);
      if (known === undefined)
        return refuse(guest, 'critical', reason('claim.worthless', `${what}: this host never issued what it shows`));
      if (!same(known, presented) || known.redeemedAt !== undefined)
        return refuse(guest, 'info', reason('claim.worthless', `${what}: it was redeemed before`));
      if (!isOpen(known, guest)) {
        const old = known.incarnation !== guest.incarnation;
        const text = old
          ? `it is of incarnation ${known.incarnation}, and this is ${guest.incarnation}`
          : 'its time is over';
        return refuse(guest, old ? 'critical' : 'warning', reason('claim.worthless', `${what}: ${text}`));
      }
      keep({ ...known, redeemedAt: Math.trunc(clock.now()) });
      return { is: 'redeemed', by: 'secret', learnt: learn(known, 'secret') };
    },

    openWindow(guest) {
      const record = find(guest.uid);
      return record !== undefined && isOpen(record, guest)
        ? { since: record.issuedAt, until: record.expiresAt, aloneNeeded: !record.inEnv }
        : undefined;
    },

    leftInEnv: () =>
      all()
        .filter((record) => record.inEnv && !record.cleared && !isOpen(record, record))
        .filter(({ uid }) => clock.now() - (lookedAt.get(uid) ?? Number.NEGATIVE_INFINITY) >= lookEveryMs)
        .map(({ uid }) => uid),

    lookedAtEnv(uid, gone) {
      lookedAt.set(uid, clock.now());
      const record = find(uid);
      if (gone && record !== undefined && !record.cleared) keep({ ...record, cleared: true });
    },

    forget(uid) {
      documents.remove(prefix + uid);
      lookedAt.delete(uid);
      for (const key of tried.keys()) if (key.startsWith(`${uid} `)) tried.delete(key);
    },

    delivery,

    findings() {
      const now = clock.now();
      for (const [key, { since }] of tried) if (now - since > triedForMs) tried.delete(key);
      return [...tried.values(), ...(delivery() === 'env-does-not-arrive' ? [envDoesNotArrive(documents)] : [])];
    },
  };
}

/** What was redeemed before stays known, so that a config that comes back with it is no alarm. */
function spentOf(before: ClaimRecord | undefined): ClaimRecord['spent'] {
  if (before === undefined) return [];
  const last = before.redeemedAt === undefined ? [] : [{ incarnation: before.incarnation, sha256: before.sha256 }];
  return [...before.spent, ...last].slice(-mostSpent);
}

const same = (record: { readonly sha256: Digest }, presented: Digest): boolean =>
  timingSafeEqual(Buffer.from(record.sha256, 'hex'), Buffer.from(presented, 'hex'));

function envDoesNotArrive(documents: Pick<Documents, 'get'>): Finding {
  const { at } = deliveryRecord.parse(documents.get(deliveryKey)?.body);
  return {
    key: 'claim.env-does-not-arrive',
    severity: 'info',
    subject: 'host',
    text: 'a guest redeemed its claim by its bridge port although the claim stood in its env: env does not reach PID 1 here',
    advice: { text: 'Nothing has to be done: the bridge port does as well. A newer lxc-pve may mend it.' },
    since: at,
  };
}
