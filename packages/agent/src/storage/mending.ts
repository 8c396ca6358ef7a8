/** Asks root's helper for what puts a target right, again and again with growing pauses; one at a time. */
import type { Clock, Outcome, Random } from '../kernel/index.ts';
import type { Log } from '../ports/log.ts';
import type { StorageHelper } from '../ports/storage-helper.ts';
import type { Remedy } from './judge-target.ts';

export interface MendingNeeds {
  readonly helper: Pick<StorageHelper, 'mount' | 'unmount' | 'storageDefine'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly random: Random;
  readonly log: Log;
  /** Whether anything may be changed on this host now. */
  readonly mayMend: () => boolean;
  /** What would put each target right, as it was judged last. `of`: another trouble, or another plugging in, differs. */
  readonly remedies: () => readonly { readonly name: string; readonly remedy: Remedy; readonly of: string }[];
  /** Root was asked, whatever came of it. */
  readonly mended: (signal: AbortSignal) => Promise<void>;
}

export interface Mending {
  /** Mends what is due. Whoever is at it already does the same. */
  run(signal: AbortSignal): Promise<void>;
  /** Mends a target without waiting for its next time. */
  now(name: string, signal: AbortSignal): Promise<void>;
  /** Monotonic times at which something is due. */
  times(): readonly number[];
  /** What root said against it last. */
  refusal(name: string): string | undefined;
}

interface Attempts {
  readonly remedy: Remedy;
  /** A disk that was plugged in anew while root was at it does not wait for what failed before. */
  readonly of: string;
  readonly attempts: number;
  /** Monotonic. */
  readonly nextAt: number;
  readonly refusal?: string;
}

/** systemd mounts by itself within a moment. */
const afterMs = [2_000, 30_000, 2 * 60_000, 10 * 60_000, 30 * 60_000];
const waitMs = (attempts: number): number => afterMs[Math.min(attempts, afterMs.length - 1)] ?? 0;

export function createMending(needs: MendingNeeds): Mending {
  const { clock, helper, log } = needs;
  const tried = new Map<string, Attempts>();
  let atIt = false;

  const apply = (remedy: Remedy, name: string, signal: AbortSignal): Promise<Outcome<void>> => {
    // Each attempt is work of its own: what an earlier one did is undone when the disk is pulled.
    const operation = `storage.${name}.${remedy}.${Buffer.from(needs.random.bytes(10)).toString('hex')}`;
    if (remedy === 'mount') return helper.mount(operation, name, signal);
    if (remedy === 'unmount') return helper.unmount(operation, name, signal);
    return helper.storageDefine(operation, name, signal);
  };

  const mend = async (signal: AbortSignal): Promise<void> => {
    for (const { name, remedy, of } of needs.remedies()) {
      const known = tried.get(name);
      if (remedy === 'none') {
        tried.delete(name);
        continue;
      }
      const now = clock.monotonicMs();
      if (known === undefined || known.remedy !== remedy || known.of !== of) {
        tried.set(name, { remedy, of, attempts: 0, nextAt: now + waitMs(0) });
        continue;
      }
      if (now < known.nextAt || !needs.mayMend()) continue;
      const attempts = known.attempts + 1;
      const answer = await apply(remedy, name, signal);
      const refusal = answer.is === 'done' ? {} : { refusal: answer.why.text };
      tried.set(name, { remedy, of, attempts, nextAt: clock.monotonicMs() + waitMs(attempts), ...refusal });
      log.info('storage target mended', { target: name, remedy, is: answer.is });
      await needs.mended(signal);
      noteAnew(name, of);
    }
  };

  const noteAnew = (name: string, of: string): void => {
    const after = needs.remedies().find((one) => one.name === name);
    if (after === undefined || after.of === of || after.remedy === 'none') return;
    tried.set(name, { ...after, attempts: 0, nextAt: clock.monotonicMs() + waitMs(0) });
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    if (atIt) return;
    atIt = true;
    await mend(signal).finally(() => (atIt = false));
  };

  return {
    run,
    now: async (name, signal) => {
      const { remedy, of } = needs.remedies().find((one) => one.name === name) ?? { remedy: 'none', of: '' };
      if (remedy === 'none') return;
      tried.set(name, { remedy, of, attempts: 0, nextAt: clock.monotonicMs() });
      await run(signal);
    },
    times: () => [...tried.values()].map(({ nextAt }) => nextAt),
    refusal: (name) => tried.get(name)?.refusal,
  };
}
