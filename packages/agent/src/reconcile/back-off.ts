/**
 * What failed is not tried again on every pass: a corrupt archive would be unpacked twice a minute for ever. Pure. A
 * changed wish is another effect and is tried at once.
 */
import { canonicalDigest, explain } from '@felhom/protocol';
import type { CanonicalValue, Finding, GuestName, Reason } from '@felhom/protocol';
import type { GuestEffect, ProtectionEffect } from '../authority/effects.ts';

/** What is asked for again and again by itself. */
export type Asked = GuestEffect | ProtectionEffect;

export interface Failure {
  readonly guest: GuestName;
  readonly times: number;
  readonly lastAt: number;
  readonly why: Reason;
}

export type Failures = ReadonlyMap<string, Failure>;

/** What is asked for, without what was observed: the same wish keeps its key while the world moves. */
export function keyOf(effect: Asked): string {
  const wish: Record<string, unknown> = { ...effect };
  delete wish['from'];
  return canonicalDigest(JSON.parse(JSON.stringify(wish)) as CanonicalValue);
}

const steps = {
  later: { firstMs: 20_000, mostMs: 30 * 60_000 },
  operator: { firstMs: 5 * 60_000, mostMs: 6 * 3_600_000 },
  never: { firstMs: 3_600_000, mostMs: 24 * 3_600_000 },
} as const satisfies Record<Reason['retry'], { firstMs: number; mostMs: number }>;

export function nextTryAt(failure: Failure): number {
  const { firstMs, mostMs } = steps[failure.why.retry];
  return failure.lastAt + Math.min(mostMs, firstMs * 2 ** Math.min(20, failure.times - 1));
}

export function noteFailure(failures: Failures, effect: Asked, why: Reason, now: number): Failures {
  const key = keyOf(effect);
  const times = (failures.get(key)?.times ?? 0) + 1;
  return new Map(failures).set(key, { guest: guestOf(effect), times, lastAt: now, why });
}

const guestOf = (effect: Asked): GuestName =>
  effect.kind === 'guest-provision' ? effect.desired.name : effect.guest.name;

export function forget(failures: Failures, effect: Asked): Failures {
  const rest = new Map(failures);
  rest.delete(keyOf(effect));
  return rest;
}

export interface Sifted<E extends Asked = Asked> {
  readonly ready: readonly E[];
  readonly waiting: readonly Finding[];
  /** When the first of the waiting ones may be tried again, wall time in milliseconds. */
  readonly nextAt: number | undefined;
}

/** A clock that went back tries at once rather than never. */
export function sift<E extends Asked>(effects: readonly E[], failures: Failures, now: number): Sifted<E> {
  const ready: E[] = [];
  const waiting: Finding[] = [];
  let nextAt: number | undefined;
  for (const effect of effects) {
    const failure = failures.get(keyOf(effect));
    if (failure === undefined || now >= nextTryAt(failure) || now < failure.lastAt) ready.push(effect);
    else {
      waiting.push(waitingFor(effect, failure));
      nextAt = Math.min(nextAt ?? Number.POSITIVE_INFINITY, nextTryAt(failure));
    }
  }
  return { ready, waiting, nextAt };
}

/**
 * Only failures of what is still asked for are kept, so the memory is bounded by desired state. A guest in the making
 * is not asked for while its saga runs, and has not succeeded by that.
 */
export function prune(failures: Failures, asked: readonly Asked[], inFlight: ReadonlySet<string>): Failures {
  const keys = new Set(asked.map(keyOf));
  return new Map([...failures].filter(([key, failure]) => keys.has(key) || inFlight.has(failure.guest)));
}

function waitingFor(effect: Asked, failure: Failure): Finding {
  return {
    key: `guest.failed.${effect.kind}`,
    severity: failure.why.retry === 'later' ? 'warning' : 'critical',
    subject: failure.guest,
    text: `${failure.why.text} (${failure.why.code}, ${failure.times} ${failure.times === 1 ? 'time' : 'times'})`.slice(
      0,
      1000,
    ),
    advice: {
      text: [
        explain(failure.why.code)?.advice ?? '',
        `It is tried again after ${new Date(nextTryAt(failure)).toISOString()}, or at once when desired state changes.`,
      ]
        .join(' ')
        .trim()
        .slice(0, 500),
    },
    since: failure.lastAt,
  };
}
