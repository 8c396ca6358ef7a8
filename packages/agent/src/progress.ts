/**
 * Whether the agent moves. Each loop that must never stand still says when it moved last and when it will move next; the
 * watchdog of systemd is fed for as long as all of them keep that. So what is fed is progress and not the event loop: a
 * pass that waits for ever ends the process as surely as one that computes for ever. What may take its time (a saga, a
 * read of an archive) is no loop.
 */
import type { Clock } from './kernel/index.ts';

/** Monotonic milliseconds, which stand still while the machine sleeps. */
export interface LoopProgress {
  readonly loop: string;
  readonly movedAt: number;
  /** It rests until then. */
  readonly restsUntil: number | undefined;
}

export type Feeding = { readonly is: 'feed' } | { readonly is: 'hung'; readonly loop: string; readonly forMs: number };

/** `patienceMs`: how long a loop may be at one thing, and how late it may be after a rest. */
export function shouldFeed(now: number, patienceMs: number, loops: readonly LoopProgress[]): Feeding {
  for (const { loop, movedAt, restsUntil } of loops) {
    const forMs = now - Math.max(movedAt, restsUntil ?? movedAt);
    if (forMs > patienceMs) return { is: 'hung', loop, forMs };
  }
  return { is: 'feed' };
}

export interface Pulse {
  moved(): void;
  /** It moved, and next within so many milliseconds. */
  rests(ms: number): void;
}

export interface Progress {
  /** A loop begins to be watched. One name, one loop. */
  watch(loop: string): Pulse;
  loops(): readonly LoopProgress[];
}

export function createProgress(clock: Pick<Clock, 'monotonicMs'>): Progress {
  const loops = new Map<string, LoopProgress>();
  return {
    watch(loop) {
      const note = (restMs: number | undefined): void => {
        const movedAt = clock.monotonicMs();
        loops.set(loop, { loop, movedAt, restsUntil: restMs === undefined ? undefined : movedAt + restMs });
      };
      note(undefined);
      return { moved: () => note(undefined), rests: note };
    },
    loops: () => [...loops.values()],
  };
}
