/**
 * Which backups are due, which of them the guest's controller is asked for first, and which is taken next.
 *
 * Of slots that passed while the host was down only the newest counts, once. A due backup is announced to the controller;
 * when that does not come within the grace it is taken without its help, crash-consistent. One at a time is announced or
 * taken, and none while a vzdump runs on the node: who is asked then would hold still behind somebody else's job [R35].
 */
import { createHash } from 'node:crypto';
import { localTimeIn, nextElapse, previousElapse } from '@felhom/protocol';
import type { GuestName, GuestUid } from '@felhom/protocol';
import type { BackupRecord } from './backup-record.ts';
import { clockChangeMs } from './effective-policy.ts';
import type { EffectiveTier } from './effective-policy.ts';

export interface DueGuest {
  readonly uid: GuestUid;
  readonly name: GuestName;
  readonly tiers: readonly EffectiveTier[];
  /** Since when it is ours: earlier slots do not count. */
  readonly since: number;
  /** It wants its apps held still, and runs with a controller that can be asked. */
  readonly canHoldStill: boolean;
}

/** What became of the attempts since the last good backup. */
export interface BackupFailure {
  readonly guest: GuestUid;
  readonly tier: string;
  readonly attempts: number;
  /** Of the last one. */
  readonly at: number;
  readonly text: string;
  /** Its target went away: it is tried again as soon as that is back. */
  readonly targetAway?: boolean | undefined;
}

/** A due backup that its controller can see, or could until a vzdump began. */
export interface Announcement {
  readonly id: string;
  readonly guest: GuestUid;
  readonly tier: string;
  readonly slot: number;
  readonly at: number;
  /** The grace has run out: it is not granted again after a wait. */
  readonly over: boolean;
}

export interface DueInput {
  readonly now: number;
  readonly guests: readonly DueGuest[];
  readonly records: readonly BackupRecord[];
  readonly failures: readonly BackupFailure[];
  /** `announced` of the last time. Losing it grants the grace anew and does nothing else. */
  readonly announced: readonly Announcement[];
  readonly graceMs: number;
  /** Any vzdump on this node, whoever runs it; or that is not known. */
  readonly nodeBusy: boolean;
  /** Guest and tier of backups that are being taken or are queued. */
  readonly inHand: readonly { readonly guest: GuestUid; readonly tier: string }[];
  /** Storages that other heavy work is on, or is queued for: a restore-test, a recovery. */
  readonly heldStorages: ReadonlySet<string>;
  /** Not `undefined` where the target of a storage is not attached: what is due there waits, holds nobody up, and goes on when it is back. */
  readonly away: (storage: string) => unknown;
}

interface DueSlot {
  /** 26 letters that follow from guest, tier and slot: the same after a restart. */
  readonly id: string;
  readonly slot: number;
  /** Since when it could have started. */
  readonly since: number;
}

export type DueVerdict =
  | { readonly is: 'not-due'; readonly nextAt: number }
  /** Being taken, or queued for it. */
  | { readonly is: 'in-hand' }
  /** `not-yet`: its jitter, or too soon after the one before. */
  | ({ readonly is: 'wait'; readonly why: 'not-yet' | 'window' | 'back-off'; readonly until: number } & DueSlot)
  /** `node-busy`: a vzdump runs or is queued, or something else is on its storage; `queue`: others are before it. */
  | ({ readonly is: 'wait'; readonly why: 'node-busy' | 'queue' | 'target-away' } & DueSlot)
  | ({ readonly is: 'announce'; readonly graceUntil: number } & DueSlot)
  | ({ readonly is: 'take'; readonly consistency: 'crash'; readonly why: 'nobody-to-ask' | 'grace-over' } & DueSlot);

export interface DueDecision {
  readonly guest: GuestUid;
  readonly name: GuestName;
  readonly tier: EffectiveTier;
  readonly verdict: DueVerdict;
}

export interface Dues {
  /** Longest overdue first; what is not due comes last, the next one first. At most one is to be taken. */
  readonly decisions: readonly DueDecision[];
  readonly announced: readonly Announcement[];
}

const minuteMs = 60_000;
const dayMs = 1440 * minuteMs;
/** A controller that is well hears at once that something is due, and begins. */
const aloneMs = minuteMs;
const firstBackOffMs = 5 * minuteMs;
const longestBackOffMs = 6 * 60 * minuteMs;

export function dueBackups(input: DueInput): Dues {
  const { now, graceMs } = input;
  const early: DueDecision[] = [];
  const ready: { decision: Omit<DueDecision, 'verdict'>; due: DueSlot; guest: DueGuest }[] = [];
  for (const guest of input.guests)
    for (const tier of guest.tiers) {
      const decision = { guest: guest.uid, name: guest.name, tier };
      const is = { guest: guest.uid, tier: tier.name };
      const put = (verdict: DueVerdict): void => void early.push({ ...decision, verdict });
      if (input.inHand.some((hand) => same(hand, is))) {
        put({ is: 'in-hand' });
        continue;
      }
      const newest = newestScheduled(input.records, guest.uid, tier.name);
      const known = input.announced.find((announcement) => same(announcement, is));
      const slot = openSlot(tier, guest, newest, now, known?.slot);
      if (slot === undefined) {
        put({ is: 'not-due', ...nextOf(tier, newest, guest, now) });
        continue;
      }
      const notBefore = startOf(tier, guest.uid, newest, slot);
      const due: DueSlot = { id: dueId(guest.uid, tier.name, slot), slot, since: notBefore };
      const waits = waitOf(
        tier,
        newest,
        notBefore,
        input.failures.find((failure) => same(failure, is)),
        now,
      );
      if (input.away(tier.storage) !== undefined) put({ is: 'wait', why: 'target-away', ...due });
      else if (waits === undefined) ready.push({ decision, due, guest });
      else put({ is: 'wait', ...waits, ...due });
    }

  // Who was asked may hold still already.
  const asked = ({ due }: (typeof ready)[number]): number =>
    input.announced.some(({ id, over }) => id === due.id && !over) ? 0 : 1;
  const order = ready.toSorted(
    (a, b) => asked(a) - asked(b) || a.due.since - b.due.since || (a.due.id < b.due.id ? -1 : 1),
  );
  const late: DueDecision[] = [];
  const announced: Announcement[] = [];
  // What is queued runs before anything that begins now.
  const busy = input.nodeBusy || input.inHand.length > 0;
  // One at a time is asked: two that hold still at once would hold still one behind the other. One that does not begin
  // within a minute keeps no other controller waiting, and what nobody holds still for waits for the whole grace.
  let [mayAsk, mayTake] = [true, true];
  for (const { decision, due, guest } of order) {
    const known = input.announced.find(({ id }) => id === due.id);
    const over = known !== undefined && (known.over || now >= known.at + graceMs);
    const announcement = { id: due.id, guest: guest.uid, tier: decision.tier.name, slot: due.slot };
    const put = (verdict: DueVerdict): void => void late.push({ ...decision, verdict });
    if (over) announced.push({ ...announcement, at: known.at, over });
    const asks = guest.canHoldStill && !over;
    if (busy || (asks && input.heldStorages.has(decision.tier.storage))) put({ is: 'wait', why: 'node-busy', ...due });
    else if (asks && mayAsk) {
      const at = known?.at ?? now;
      announced.push({ ...announcement, at, over });
      put({ is: 'announce', graceUntil: at + graceMs, ...due });
      mayAsk = now >= at + aloneMs;
      mayTake = false;
    } else if (mayTake && !asks) {
      put({ is: 'take', consistency: 'crash', why: guest.canHoldStill ? 'grace-over' : 'nobody-to-ask', ...due });
      mayAsk = false;
      mayTake = false;
    } else put({ is: 'wait', why: 'queue', ...due });
  }
  return { decisions: [...late, ...early.toSorted((a, b) => whenOf(a.verdict) - whenOf(b.verdict))], announced };
}

const same = (a: { guest: GuestUid; tier: string }, b: { guest: GuestUid; tier: string }): boolean =>
  a.guest === b.guest && a.tier === b.tier;

function whenOf(verdict: DueVerdict): number {
  if (verdict.is === 'wait') return 'until' in verdict ? verdict.until : verdict.since;
  return verdict.is === 'not-due' ? verdict.nextAt : 0;
}

/** The scheduled backup whose state is the newest, over all VMIDs of the guest. */
export function newestScheduled(
  records: readonly BackupRecord[],
  guest: GuestUid,
  tier: string,
): BackupRecord | undefined {
  return records
    .filter((record) => record.guest === guest && record.tier === tier && record.class === 'scheduled')
    .reduce<BackupRecord | undefined>(
      (best, record) => (best === undefined || record.startedAt > best.startedAt ? record : best),
      undefined,
    );
}

/** A backup covers its slot and every one that had passed when it began. */
const coveredUntil = (newest: BackupRecord | undefined, since: number): number =>
  newest === undefined ? since : Math.max(newest.slot ?? newest.startedAt, newest.startedAt);

/** The slot that counts from the last backup on for the intervals. */
const lastSlot = (newest: BackupRecord | undefined, since: number): number =>
  newest === undefined ? since : (newest.slot ?? newest.startedAt);

/** The newest slot that has passed and that no backup covers; an announced one stays itself until it is covered. */
function openSlot(
  tier: EffectiveTier,
  guest: DueGuest,
  newest: BackupRecord | undefined,
  now: number,
  announced: number | undefined,
): number | undefined {
  const covered = coveredUntil(newest, guest.since);
  if (announced !== undefined && announced > covered && announced <= now) return announced;
  // One that may start now goes first: of a schedule that is oftener than its jitter, the very newest never may.
  for (const at of [now - jitterOf(tier, guest.uid), now]) {
    const elapsed = previousElapse(tier.calendar, at, tier.zone);
    if (elapsed !== undefined && elapsed > covered) return elapsed;
  }
  const first = firstOpenSlot(tier, newest, guest.since);
  return first <= now ? first : undefined;
}

/**
 * The first slot that the newest backup does not cover: from then on it is overdue. Where the schedule leaves a longer gap
 * than the signed floor, that is the end of the longest gap.
 */
export function firstOpenSlot(tier: EffectiveTier, newest: BackupRecord | undefined, since: number): number {
  const covered = coveredUntil(newest, since);
  const spaced = newest === undefined ? 0 : lastSlot(newest, since) + tier.minIntervalMs - 1;
  const next = nextElapse(tier.calendar, Math.max(covered, spaced), tier.zone) ?? Number.POSITIVE_INFINITY;
  const longest = lastSlot(newest, since) + tier.maxIntervalMs;
  const forced = longest > covered ? longest : covered + tier.maxIntervalMs;
  return next <= forced + clockChangeMs ? next : forced;
}

/** When the backup of a slot may start, window and trouble left aside. */
export function startOf(tier: EffectiveTier, guest: GuestUid, newest: BackupRecord | undefined, slot: number): number {
  const spaced = newest === undefined ? 0 : (newest.slot ?? newest.startedAt) + tier.minIntervalMs;
  return Math.max(slot + jitterOf(tier, guest), spaced);
}

/** The first moment from `at` on that lies in the tier's window. */
export function intoWindow({ window, zone }: EffectiveTier, at: number): number {
  if (window === undefined) return at;
  const minute = Math.floor((localTimeIn(zone, at) % dayMs) / minuteMs);
  const into = (minute - window.from + 1440) % 1440;
  if (into < (window.to - window.from + 1440) % 1440) return at;
  // To the minute; over a change of the clocks the next look corrects it.
  return Math.floor(at / minuteMs) * minuteMs + (1440 - into) * minuteMs;
}

function waitOf(
  tier: EffectiveTier,
  newest: BackupRecord | undefined,
  notBefore: number,
  failure: BackupFailure | undefined,
  now: number,
): { readonly why: 'not-yet' | 'window' | 'back-off'; readonly until: number } | undefined {
  if (now < notBefore) return { why: 'not-yet', until: notBefore };
  const retryAt = failure === undefined || failure.targetAway === true ? 0 : failure.at + backOffMs(failure.attempts);
  if (now < retryAt) return { why: 'back-off', until: retryAt };
  const opens = intoWindow(tier, now);
  // What desired state calls the right time of day does not outweigh the signed floor.
  const beyondFloor = newest !== undefined && now - newest.startedAt > tier.maxIntervalMs + clockChangeMs;
  return opens > now && !beyondFloor ? { why: 'window', until: opens } : undefined;
}

const backOffMs = (attempts: number): number =>
  Math.min(longestBackOffMs, firstBackOffMs * 2 ** Math.min(20, Math.max(0, attempts - 1)));

function nextOf(
  tier: EffectiveTier,
  newest: BackupRecord | undefined,
  guest: DueGuest,
  now: number,
): { readonly nextAt: number } {
  const slot = Math.max(firstOpenSlot(tier, newest, guest.since), now);
  return { nextAt: intoWindow(tier, startOf(tier, guest.uid, newest, slot)) };
}

const hashOf = (...parts: readonly (string | number)[]): Buffer =>
  createHash('sha256').update(parts.join('\n')).digest();

/** Differs from guest to guest, so that they do not start together, and stays the same for each. */
function jitterOf(tier: EffectiveTier, guest: GuestUid): number {
  return tier.jitterMs === 0 ? 0 : hashOf('jitter', guest, tier.name).readUInt32BE(0) % (tier.jitterMs + 1);
}

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

function dueId(guest: GuestUid, tier: string, slot: number): string {
  return [...hashOf('due', guest, tier, slot).subarray(0, 26)].map((byte) => base32[byte & 31]).join('');
}
