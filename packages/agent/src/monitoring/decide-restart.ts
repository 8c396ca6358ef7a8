/**
 * Whether the tunnel is to be restarted, and when it no longer is. Systemd starts it again when it ends; this is for one
 * that lives on and does nothing, and for one that systemd gave up. Pure; times are of a clock that only goes forward.
 */
import type { TunnelLook } from './judge-tunnel.ts';

const minute = 60_000;
/** Since the tunnel could first be helped, or since the try before; longer each time, and then never again. */
const pauses = [3, 10, 20, 60, 120, 240].map((minutes) => minutes * minute);
export const mostTries = pauses.length;
const perHour = 3;
/** So long it has to be up before what went before is forgotten: one that comes and goes is not well. */
const steadyMs = 30 * minute;

/**
 * Whether a restart can help now. Not where somebody stopped it or turned it off, where nothing was declared, where the
 * internet is away, and not while systemd starts it by itself. `connections` that are not told by a unit that is active: it
 * does not answer on its own port.
 */
export function restartHelps({ unit, declared, connections, hubReached, namesResolve }: TunnelLook): boolean {
  if (unit?.load !== 'loaded' || !unit.file.startsWith('enabled') || unit.job || declared !== true) return false;
  if (hubReached !== true && namesResolve !== true) return false;
  return unit.active === 'failed' || (unit.active === 'active' && (connections ?? 0) === 0);
}

export interface RestartLook {
  /** A restart could help since then, without a break; `undefined`: it cannot now. */
  readonly helpsSince: number | undefined;
  /** Connected since then; `undefined`: it is not. */
  readonly upSince: number | undefined;
  /** When it was restarted, oldest first. */
  readonly tries: readonly number[];
}

export function decideRestart({ helpsSince, upSince, tries }: RestartLook, now: number): 'restart' | 'forget' | 'wait' {
  if (upSince !== undefined) return tries.length > 0 && now - upSince >= steadyMs ? 'forget' : 'wait';
  const pause = pauses[tries.length];
  if (helpsSince === undefined || pause === undefined) return 'wait';
  if (now - helpsSince < (pauses[0] ?? 0) || now - (tries.at(-1) ?? helpsSince) < pause) return 'wait';
  return tries.filter((at) => now - at < 60 * minute).length < perHour ? 'restart' : 'wait';
}

/** For a finding; empty while it was not restarted. */
export function wordsOfTries(count: number): string {
  if (count === 0) return '';
  const times = count === 1 ? 'once' : `${count} times`;
  const next = count < mostTries ? 'it is tried again after a while' : 'it is not tried any more';
  return ` The agent restarted it ${times} since it was last well, which did not help for good; ${next}.`;
}
