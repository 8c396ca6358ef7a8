/**
 * Is a host there? Judged by the time of receipt on the hub's own clock and by nothing that a host says, but for one word:
 * that it is metered, which gives it one longer window and no other. Whoever can say that for a host can poll for it. Pure.
 *
 * The hub must not blame a host for its own absence: time before `up.since`, when the hub itself came (back), does not
 * count, and a host that had to back off meanwhile gets that time on top.
 */
import { meteredPollSeconds } from '@felhom/protocol';
import type { HostId } from '@felhom/protocol';

export interface LivenessSettings {
  /** What the hub asks of agents. */
  readonly pollAfterSeconds: number;
  /** On top of three polls, for slow networks and the rounding of clocks. */
  readonly slackSeconds: number;
  /** Longest pause of an agent between two polls, whatever happens: the limit of the agent's own policy. */
  readonly longestPauseSeconds: number;
}

/** Three polls, each late by the ±10 % that agents spread their polls with. */
const polls = 3;
const jitter = 1.1;
/** An agent polls no faster than this, whatever the hub asks for: the least that its own policy has by default. */
const shortestPauseSeconds = 10;

/** Silence beyond this is an alert. An operator's own expectation only widens it. Milliseconds. */
export function expectedWindowMs(
  settings: Pick<LivenessSettings, 'pollAfterSeconds' | 'slackSeconds'>,
  expectSeconds: number | undefined,
  metered = false,
): number {
  const pause = Math.max(settings.pollAfterSeconds, metered ? meteredPollSeconds : shortestPauseSeconds);
  const fromPolls = pause * polls * jitter + settings.slackSeconds;
  return Math.round(Math.max(fromPolls, expectSeconds ?? 0) * 1000);
}

/** Since when the hub has been there without a gap. */
export interface HubUp {
  readonly since: number;
  /** How long it was away before that, as far as it knows. */
  readonly awayMs: number;
  /** The longest poll interval that was asked for before, in case it is shorter now. */
  readonly pollAfterSecondsBefore: number;
}

/**
 * Whether the hub was gone between two rounds of its own loop. A process that was stopped, a machine that slept and a
 * clock that was set look alike from inside, and none of them is the fault of a host.
 */
export function continueUp(up: HubUp, lastRoundAt: number, now: number, largestGapMs: number): HubUp {
  const gap = now - lastRoundAt;
  return gap >= 0 && gap <= largestGapMs ? up : { ...up, since: now, awayMs: Math.abs(gap) };
}

export type Liveness =
  | { readonly is: 'up' | 'late' | 'silent' | 'unknown'; readonly lastContactAt: number; readonly windowMs: number }
  | { readonly is: 'never-seen'; readonly windowMs: number };

export interface WatchedContact {
  readonly hostId: HostId;
  /** By receipt; `undefined`: never. */
  readonly contactAt: number | undefined;
  readonly expectSeconds: number | undefined;
  /** Of its last poll. */
  readonly metered?: boolean | undefined;
}

export function judge(host: WatchedContact, settings: LivenessSettings, up: HubUp, now: number): Liveness {
  const windowMs = expectedWindowMs(settings, host.expectSeconds, host.metered);
  if (host.contactAt === undefined) return { is: 'never-seen', windowMs };
  // A receipt from the future is of a clock that was set back since, and says nothing about how long ago it was.
  const contactAt = host.contactAt > now + windowMs ? Number.NEGATIVE_INFINITY : Math.min(host.contactAt, now);
  const told = { lastContactAt: host.contactAt, windowMs };
  if (now - contactAt <= windowMs / 2) return { is: 'up', ...told };
  if (contactAt >= up.since) return { is: now - contactAt > windowMs ? 'silent' : 'late', ...told };
  return { is: now - up.since > graceMs(host, settings, up) ? 'silent' : 'unknown', ...told };
}

/** How long a host may take to come back after the hub did. An agent pauses at most twice as long as it was failing. */
export function graceMs(
  host: Pick<WatchedContact, 'expectSeconds' | 'metered'>,
  settings: LivenessSettings,
  up: Pick<HubUp, 'awayMs' | 'pollAfterSecondsBefore'>,
): number {
  const pollAfterSeconds = Math.max(settings.pollAfterSeconds, up.pollAfterSecondsBefore);
  const window = expectedWindowMs({ ...settings, pollAfterSeconds }, host.expectSeconds, host.metered);
  return window + Math.min(settings.longestPauseSeconds * 1000 * jitter, 2 * up.awayMs);
}
