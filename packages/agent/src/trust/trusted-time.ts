/**
 * Freshness is issued by the host [R11]. A challenge names a window of the host's own elapsed time; a job brings it back
 * and is as old as that window. Wall time, which others can move, only ever makes things stricter.
 *
 * Elapsed time goes on over restarts. What passed while the agent was down is taken as the longest of three: the boot
 * clock's step, the time since boot after a reboot, and the wall clock's step. The first two are never too long; the third
 * may be, which ages challenges too early and nothing else. Whatever has to wait before it destroys counts by
 * `waitedMs`, which leaves the wall clock out and time without power with it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import { z } from 'zod';
import type { Clock, Random } from '../kernel/clock.ts';
import type { Documents } from '../kernel/journal.ts';

export type TimeStanding =
  | { readonly is: 'steady' }
  /** Holds what destroys, and nothing else. */
  | { readonly is: 'jumped'; readonly why: Reason };

export interface TrustedTime {
  /** Milliseconds since the store was made, by this host's own counting. Never goes back. */
  elapsedMs(): number;
  /** The same, of what passed for certain: never more than the truth, whatever the wall clock was set to. */
  waitedMs(): number;
  /** The one of now, `<window>.<32 hex digits>`; the same for ten minutes. */
  challenge(): string;
  /**
   * Milliseconds since the beginning of the challenge's window: up to ten minutes more than its true age. `undefined`
   * for what this host did not issue, voided, or issued more than seven days ago.
   */
  ageOf(challenge: string): number | undefined;
  standing(): TimeStanding;
  /** Writes the store now. It is written by itself when a challenge is asked for and a minute has passed. */
  save(): void;
  /** Every challenge so far is worth nothing from now on. */
  voidAll(): void;
  /** Root's word that the clock is right as it is: `felhom-agent trust reset-clock`. Voids all challenges. */
  reset(): void;
}

export interface TrustedTimeParts {
  readonly store: Pick<Documents, 'get' | 'put'>;
  readonly clock: Pick<Clock, 'now' | 'bootMs'>;
  readonly random: Random;
}

const minute = 60_000;
const hour = 60 * minute;
export const challengeWindowMs = 10 * minute;
export const challengeLifeMs = 7 * 24 * hour;
/** Wall time may move by this much against the boot clock, and the high-water mark may run ahead of it per boot. */
const longestJumpMs = hour;
/** A clock that is set right moves back a little. */
const smallStepMs = 5 * minute;

const storeKey = 'trusted-time';
const ms = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const stored = z.strictObject({
  elapsedMs: ms,
  waitedMs: ms,
  wallMs: ms,
  bootMs: ms,
  highWaterMs: ms,
  /** Where the high-water mark stood when this boot's first opening began, and the boot clock then. */
  bootBegan: z.strictObject({ highWaterMs: ms, bootMs: ms }),
  secret: z.string().regex(/^[0-9a-f]{64}$/),
});
type Stored = z.output<typeof stored>;

/** Throws what the store throws. A stored document that does not read is replaced: that voids every challenge. */
export function createTrustedTime({ store, clock, random }: TrustedTimeParts): TrustedTime {
  const wallNow = (): number => Math.max(0, Math.round(clock.now()));
  const newSecret = (): string => Buffer.from(random.bytes(32)).toString('hex');
  const found = stored.safeParse(store.get(storeKey)?.body);
  const opened = found.success
    ? reopened(found.data, wallNow(), clock.bootMs(), newSecret)
    : fresh(wallNow(), clock.bootMs(), newSecret());
  let { highWaterMs, bootBegan, secret } = opened;
  const bootAtOpen = clock.bootMs();
  /** Wall time less boot time, from which wall time must not move far. */
  let offset = wallNow() - bootAtOpen;
  let savedAt = 0;

  const elapsedMs = (): number => opened.elapsedMs + Math.max(0, clock.bootMs() - bootAtOpen);
  const waitedMs = (): number => opened.waitedMs + Math.max(0, clock.bootMs() - bootAtOpen);
  const raiseMark = (): void => {
    const highest = bootBegan.highWaterMs + Math.max(0, clock.bootMs() - bootBegan.bootMs) + longestJumpMs;
    highWaterMs = Math.max(highWaterMs, Math.min(wallNow(), highest));
  };
  const save = (): void => {
    raiseMark();
    savedAt = elapsedMs();
    const body: Stored = {
      elapsedMs: savedAt,
      waitedMs: waitedMs(),
      wallMs: wallNow(),
      bootMs: clock.bootMs(),
      highWaterMs,
      bootBegan,
      secret,
    };
    store.put({ key: storeKey, v: 1, body });
  };
  const voidAll = (): void => {
    secret = newSecret();
    save();
  };
  // A new secret counts from the first moment, and restarts in a row must not find the same old store.
  save();

  return {
    elapsedMs,
    waitedMs,
    challenge: () => {
      if (elapsedMs() - savedAt >= minute) save();
      const window = Math.floor(elapsedMs() / challengeWindowMs);
      return `${window}.${macOf(secret, window)}`;
    },
    ageOf: (challenge) => {
      const [, digits, mac] = /^(0|[1-9]\d{0,12})\.([0-9a-f]{32})$/.exec(challenge) ?? [];
      if (digits === undefined || mac === undefined) return undefined;
      const window = Number(digits);
      if (!timingSafeEqual(Buffer.from(macOf(secret, window)), Buffer.from(mac))) return undefined;
      const age = elapsedMs() - window * challengeWindowMs;
      return age < 0 || age > challengeLifeMs ? undefined : age;
    },
    standing: () => {
      raiseMark();
      const moved = wallNow() - clock.bootMs() - offset;
      if (Math.abs(moved) > longestJumpMs)
        return jumped(`it moved by ${minutesOf(moved)} min against the time since boot while the agent ran`);
      const behind = highWaterMs - wallNow();
      if (behind > smallStepMs) return jumped(`it is ${minutesOf(behind)} min behind what it has shown before`);
      return { is: 'steady' };
    },
    save,
    voidAll,
    reset: () => {
      highWaterMs = wallNow();
      bootBegan = { highWaterMs, bootMs: clock.bootMs() };
      offset = wallNow() - clock.bootMs();
      voidAll();
    },
  };
}

type Opened = Pick<Stored, 'elapsedMs' | 'waitedMs' | 'highWaterMs' | 'bootBegan' | 'secret'>;

function fresh(wall: number, boot: number, secret: string): Opened {
  return { elapsedMs: 0, waitedMs: 0, highWaterMs: wall, bootBegan: { highWaterMs: wall, bootMs: boot }, secret };
}

function reopened(last: Stored, wall: number, boot: number, newSecret: () => string): Opened {
  // A boot clock that is not behind may still be of another boot; its step is then shorter than what really passed.
  const sameBoot = boot >= last.bootMs;
  const surely = sameBoot ? boot - last.bootMs : boot;
  const passed = Math.max(surely, wall - last.wallMs);
  const wentBack = wall < Math.max(last.highWaterMs, last.wallMs) - smallStepMs;
  return {
    elapsedMs: last.elapsedMs + passed,
    waitedMs: last.waitedMs + surely,
    highWaterMs: last.highWaterMs,
    // The mark's allowance is per boot: restarts in a row do not add up.
    bootBegan: sameBoot ? last.bootBegan : { highWaterMs: last.highWaterMs, bootMs: boot },
    secret: wentBack ? newSecret() : last.secret,
  };
}

function macOf(secret: string, window: number): string {
  return createHmac('sha256', Buffer.from(secret, 'hex')).update(`challenge ${window}`).digest('hex').slice(0, 32);
}

const minutesOf = (duration: number): number => Math.round(duration / minute);

const jumped = (why: string): TimeStanding => ({
  is: 'jumped',
  why: reason('job.clock', `cannot rely on the clock of this host: ${why}`),
});
