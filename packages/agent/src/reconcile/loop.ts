/**
 * Runs passes for ever: at an interval, and sooner when woken. A wake-up carries no hint and only means "look again",
 * so lost, doubled and stale ones do no harm.
 */
import type { Clock } from '../kernel/clock.ts';
import type { PassReport } from './pass.ts';

export interface LoopNeeds {
  pass(signal: AbortSignal): Promise<PassReport>;
  /** Every report, in order. */
  report(report: PassReport): void;
  /** A pass that threw: a bug or broken IO. The loop goes on. */
  failed(error: unknown): void;
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Least pause between two passes, however often it is woken. */
  readonly pauseMs: number;
}

export interface ReconcileLoop {
  /** Asks for a pass soon; during one, for another after it. */
  wake(): void;
  /** Ends when aborted, after the pass in hand. */
  run(signal: AbortSignal): Promise<void>;
}

export function createReconcileLoop(needs: LoopNeeds): ReconcileLoop {
  let woken = true;
  let rouse: () => void = () => {};
  return {
    wake() {
      woken = true;
      rouse();
    },
    async run(signal) {
      while (!signal.aborted) {
        woken = false;
        let lookAgainAt: number | undefined;
        try {
          const report = await needs.pass(signal);
          lookAgainAt = report.lookAgainAt;
          needs.report(report);
        } catch (error) {
          if (signal.aborted) return;
          needs.failed(error);
        }
        if (!(await rest(needs.clock, needs.pauseMs, signal))) return;
        if (!woken && !(await restUntil(needs, lookAgainAt, signal, (wakeUp) => (rouse = wakeUp)))) return;
      }
    },
  };
}

/** False when aborted. */
async function rest(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  await clock.sleep(ms, signal).catch(() => undefined);
  return !signal.aborted;
}

async function restUntil(
  needs: LoopNeeds,
  lookAgainAt: number | undefined,
  signal: AbortSignal,
  onWake: (wakeUp: () => void) => void,
): Promise<boolean> {
  const nap = new AbortController();
  onWake(() => nap.abort());
  const soonest = lookAgainAt === undefined ? Number.POSITIVE_INFINITY : lookAgainAt - needs.clock.now();
  const restMs = Math.max(0, Math.min(needs.intervalMs - needs.pauseMs, soonest));
  await rest(needs.clock, restMs, AbortSignal.any([signal, nap.signal]));
  onWake(() => {});
  return !signal.aborted;
}
