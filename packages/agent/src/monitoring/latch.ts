/**
 * A finding that does not flap: it comes when a number has been too high for a while without a break, and goes when it
 * has been well below for as long. Pure.
 */
export interface Latch {
  readonly on: boolean;
  /** Wall time at which it came; of one that is off, without meaning. */
  readonly onAt: number;
  /** Monotonic: since when the number is on the other side without a break. */
  readonly turningSince: number | undefined;
}

/** Wall time for people, monotonic time for durations; both in milliseconds. */
export interface Moment {
  readonly now: number;
  readonly monotonicMs: number;
}

export interface Threshold {
  /** From here on it is too high. */
  readonly on: number;
  /** Below this it is well. Not above `on`. */
  readonly off: number;
  readonly holdMs: number;
}

const rest: Latch = { on: false, onAt: 0, turningSince: undefined };

/** A number that is not known neither brings a finding nor takes one away, and breaks a stretch. */
export function latch(
  before: Latch = rest,
  value: number | undefined,
  { on, off, holdMs }: Threshold,
  at: Moment,
): Latch {
  const turns = value !== undefined && (before.on ? value < off : value >= on);
  if (!turns) return before.turningSince === undefined ? before : { ...before, turningSince: undefined };
  const since = before.turningSince ?? at.monotonicMs;
  if (at.monotonicMs - since < holdMs) return { ...before, turningSince: since };
  return before.on ? rest : { on: true, onAt: at.now - (at.monotonicMs - since), turningSince: undefined };
}
