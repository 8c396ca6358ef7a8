/**
 * Which tiers are in force for which guest. Desired state asks; the policy file of the host and the signed floors bind
 * it: what is out of range is clamped, and a finding says so [R15]. Desired state is unsigned, so no change of it may end
 * the copies of a guest, space them out or shorten what is kept.
 */
import { nextElapse, parseCalendar } from '@felhom/protocol';
import type {
  BackupPlan,
  BackupTier,
  Calendar,
  Finding,
  Floors,
  GuestName,
  GuestUid,
  StorageId,
} from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';

/** A tier as it is carried out. */
export interface EffectiveTier {
  readonly name: string;
  readonly target: string;
  readonly storage: StorageId;
  readonly class: 'fast' | 'slow';
  readonly offsite: boolean;
  readonly device?: string;
  readonly calendar: Calendar;
  /** IANA name: of the schedule, else of the host. */
  readonly zone: string;
  readonly minIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly jitterMs: number;
  /** Minutes of the local day; `to` may lie before `from`, across midnight. */
  readonly window?: { readonly from: number; readonly to: number };
  readonly keep: BackupTier['keep'];
  readonly restoreTestEveryDays: number;
}

export interface PlanGuest {
  readonly uid: GuestUid;
  readonly name: GuestName;
  /** `backup.tiers` of desired state; absent: all. */
  readonly tiers?: readonly string[];
}

export interface EffectivePlanInput {
  readonly desired: BackupPlan;
  readonly guests: readonly PlanGuest[];
  readonly policy: HostPolicy['backups'];
  /** Of the trust document; absent where there is none: then only the policy file binds. */
  readonly floors: Floors | undefined;
  /** `accepted` of the last time, as journaled. */
  readonly accepted: readonly BackupTier[];
  /** The host's time zone, for schedules that name none. */
  readonly defaultZone: string;
  readonly now: number;
}

export interface EffectivePlan {
  readonly tiers: ReadonlyMap<GuestUid, readonly EffectiveTier[]>;
  /** All that are in force on this host. */
  readonly all: readonly EffectiveTier[];
  readonly findings: readonly Finding[];
  /** To be journaled before anything follows from it, and given back next time. As asked for, not as clamped. */
  readonly accepted: readonly BackupTier[];
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** A window that is shorter is met by chance only. */
const shortestWindowMinutes = 120;
/** Tiers of one plan. */
const mostTiers = 8;
/** Elapses that are looked at for one out of range: more than any week of a schedule that is not too often. */
const elapsesLookedAt = 200;
const lookedAheadMs = 32 * 24 * hourMs;

/** Without a trust document nothing is signed, so nothing is promised beyond the policy file. */
const noFloors: Floors = { keepDays: 0, keepWeeks: 0, backupEveryHours: 8760, restoreTestEveryDays: 3650, tiers: 0 };

export function effectivePlan(input: EffectivePlanInput): EffectivePlan {
  const { desired, guests, policy, accepted, now } = input;
  const floors = input.floors ?? noFloors;
  const findings: Finding[] = [];
  const add = (
    key: string,
    severity: Finding['severity'],
    subject: string,
    text: string,
    advice: Finding['advice'],
  ): void => void findings.push({ key, severity, subject, text: text.slice(0, 1000), advice, since: now });

  const all: EffectiveTier[] = [];
  const standing: BackupTier[] = [];
  const putInForce = (tier: BackupTier): boolean => {
    const made = effectiveTier(tier, policy, floors, input.defaultZone, now);
    if (made.is === 'unusable') {
      add('backup.tier-unusable', 'critical', tier.name, `tier ${tier.name} is not in force: ${made.why}`, {
        text: 'Register the target in the policy file of this host, as root, or correct the tier in desired state.',
      });
      return false;
    }
    if (made.clamped.length > 0)
      add(
        'backup.tier-clamped',
        'warning',
        tier.name,
        `tier ${tier.name} is out of range: ${made.clamped.join('; ')}`,
        {
          text: 'The host goes by its own ranges and floors. Correct the tier, or change the floor with a signed job.',
        },
      );
    all.push(made.tier);
    standing.push(tier);
    return true;
  };
  for (const tier of desired.tiers) putInForce(tier);

  // Two tiers on one storage are one place that holds a copy.
  const places = (tiers: readonly EffectiveTier[]): number => new Set(tiers.map(({ storage }) => storage)).size;
  if (places(all) < floors.tiers) {
    const gone = accepted.filter(({ name }) => !all.some((tier) => tier.name === name));
    for (const tier of gone) {
      if (!putInForce(tier)) continue;
      const text =
        `tier ${tier.name} is gone from desired state or unusable there, and stays in force as it was last: ` +
        `without it fewer than the ${floors.tiers} tiers of the signed floor would hold a copy`;
      add('backup.tier-kept', 'critical', tier.name, text, {
        text: 'Put the tier back into desired state, or lower the floor with a signed job.',
      });
    }
    if (places(all) < floors.tiers)
      add(
        'backup.too-few-tiers',
        'critical',
        'host',
        `${places(all)} storages take backups, and the signed floor asks for ${floors.tiers}`,
        { text: 'Add tiers with targets on further storages to desired state; root registers the targets.' },
      );
  }

  const tiers = new Map<GuestUid, readonly EffectiveTier[]>();
  for (const guest of guests) {
    const asked = guest.tiers;
    const chosen = asked === undefined ? all : all.filter(({ name }) => asked.includes(name));
    const unknown = (asked ?? []).filter((name) => !all.some((tier) => tier.name === name));
    if (unknown.length > 0)
      add(
        'backup.unknown-tier',
        'warning',
        guest.name,
        `guest ${guest.name} asks for tiers that are not in force: ${unknown.join(', ')}`,
        {
          text: 'Correct the tiers of the guest in desired state.',
        },
      );
    const tooFew = chosen.length < all.length && places(chosen) < Math.max(floors.tiers, 1);
    if (tooFew)
      add(
        'backup.guest-on-too-few-tiers',
        'critical',
        guest.name,
        `guest ${guest.name} asks for too few tiers (${chosen.map(({ name }) => name).join(', ') || 'none'}), so it is on all of them`,
        {
          text: `The signed floor is ${floors.tiers} tiers, and one at least. Correct the tiers of the guest in desired state.`,
        },
      );
    tiers.set(guest.uid, tooFew ? all : chosen);
  }
  // Those that the floor holds up are the last of the list: a document that is full of others must not push them out.
  return { tiers, all, findings, accepted: standing.slice(-mostTiers) };
}

type Made =
  | { readonly is: 'tier'; readonly tier: EffectiveTier; readonly clamped: readonly string[] }
  | { readonly is: 'unusable'; readonly why: string };

function effectiveTier(
  tier: BackupTier,
  policy: HostPolicy['backups'],
  floors: Floors,
  defaultZone: string,
  now: number,
): Made {
  const target = Object.hasOwn(policy.targets, tier.target) ? policy.targets[tier.target] : undefined;
  if (target === undefined) return { is: 'unusable', why: `its target ${tier.target} is not registered on this host` };
  const parsed = parseCalendar(tier.schedule);
  if (parsed.is !== 'ok') return { is: 'unusable', why: parsed.text };
  const calendar = parsed.value;
  const zone = calendar.zone ?? defaultZone;
  const clamped: string[] = [];
  /** The value in force; says so when it is another one than asked for. */
  const bound = (what: string, asked: number, inForce: number): number => {
    if (asked !== inForce) clamped.push(`${what} ${asked} becomes ${inForce}`);
    return inForce;
  };

  const minIntervalMs = policy.minIntervalMinutes * minuteMs;
  const maxIntervalMs = Math.max(floors.backupEveryHours * hourMs, minIntervalMs);
  const gaps = gapsOf(calendar, zone, now);
  if (gaps.shortest < minIntervalMs)
    clamped.push(
      `its schedule is oftener than every ${policy.minIntervalMinutes} minutes, so it is taken that often only`,
    );
  if (gaps.longest > maxIntervalMs + clockChangeMs)
    clamped.push(`its schedule leaves more than ${floors.backupEveryHours} hours between two, so more are taken`);
  const halfIntervalMinutes = Math.floor(maxIntervalMs / minuteMs / 2);
  const jitter = bound('jitterMinutes', tier.jitterMinutes, Math.min(tier.jitterMinutes, halfIntervalMinutes));
  const keep = {
    days: bound('keep.days', tier.keep.days, Math.max(tier.keep.days, floors.keepDays)),
    weeks: bound('keep.weeks', tier.keep.weeks, Math.max(tier.keep.weeks, floors.keepWeeks)),
    months: tier.keep.months,
    onDemand: tier.keep.onDemand,
  };
  const restoreTestEveryDays = bound(
    'restoreTestEveryDays',
    tier.restoreTestEveryDays,
    Math.min(tier.restoreTestEveryDays, floors.restoreTestEveryDays),
  );
  const window = tier.window === undefined ? undefined : windowOf(tier.window, clamped);
  return {
    is: 'tier',
    clamped,
    tier: {
      name: tier.name,
      target: tier.target,
      storage: target.storage,
      class: target.class,
      offsite: target.offsite,
      ...(target.device === undefined ? {} : { device: target.device }),
      calendar,
      zone,
      minIntervalMs,
      maxIntervalMs,
      jitterMs: jitter * minuteMs,
      ...(window === undefined ? {} : { window }),
      keep,
      restoreTestEveryDays,
    },
  };
}

/** A night in which the clocks are set back is no breach of a floor of 24 hours. */
export const clockChangeMs = hourMs;

function gapsOf(calendar: Calendar, zone: string, now: number): { shortest: number; longest: number } {
  let [shortest, longest] = [Number.POSITIVE_INFINITY, 0];
  let last = nextElapse(calendar, now, zone);
  if (last === undefined) return { shortest, longest: Number.POSITIVE_INFINITY };
  for (let i = 0; i < elapsesLookedAt && last < now + lookedAheadMs; i++) {
    const next = nextElapse(calendar, last, zone);
    if (next === undefined) return { shortest, longest: Number.POSITIVE_INFINITY };
    shortest = Math.min(shortest, next - last);
    longest = Math.max(longest, next - last);
    last = next;
  }
  return { shortest, longest };
}

function windowOf(window: { from: string; to: string }, clamped: string[]): { from: number; to: number } | undefined {
  const [from, to] = [minutesOf(window.from), minutesOf(window.to)];
  // From a time to the same time is the whole day.
  if (from === to) return undefined;
  const length = (to - from + 1440) % 1440;
  if (length >= shortestWindowMinutes) return { from, to };
  clamped.push(
    `its window ${window.from}-${window.to} is shorter than ${shortestWindowMinutes} minutes, so it is longer`,
  );
  return { from, to: (from + shortestWindowMinutes) % 1440 };
}

function minutesOf(clock: string): number {
  const [hours = '0', minutes = '0'] = clock.split(':');
  return Number(hours) * 60 + Number(minutes);
}
