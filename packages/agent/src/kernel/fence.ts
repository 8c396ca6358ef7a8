/**
 * The fence answers, directly before every call that changes something: are we still the one agent of this host, and
 * is this still the moment we think it is? [R49] The journal refuses an old writer's records; only asking first keeps
 * that writer from calling Proxmox.
 */
import type { Reason } from '@felhom/protocol';
import type { Clock } from './clock.ts';
import type { Journal } from './journal.ts';

export type FenceVerdict = { readonly is: 'held' } | { readonly is: 'lost'; readonly why: Reason };

export interface Fence {
  /** Once lost it stays lost: open the journal again, which replays, and so asks the world anew. */
  check(): FenceVerdict;
}

/** A machine that slept longer than this woke up in a world that moved on. */
const longestSleepMs = 30_000;

export function createFence(
  journal: Pick<Journal, 'epoch' | 'storedEpoch'>,
  clock: Pick<Clock, 'monotonicMs' | 'bootMs'>,
): Fence {
  const asleepMs = (): number => clock.bootMs() - clock.monotonicMs();
  const asleepAtOpen = asleepMs();
  let lost: Reason | undefined;
  const look = (): Reason | undefined => {
    const stored = readEpoch(journal);
    if (stored !== journal.epoch)
      return fenceLost(`the journal was opened as epoch ${journal.epoch} and now says ${stored}`);
    const slept = asleepMs() - asleepAtOpen;
    if (Math.abs(slept) > longestSleepMs)
      return fenceLost(`boot time and monotonic time are ${Math.round(slept / 1000)} s apart; the host was suspended`);
    return undefined;
  };
  return {
    check: () => {
      lost ??= look();
      return lost === undefined ? { is: 'held' } : { is: 'lost', why: lost };
    },
  };
}

function readEpoch(journal: Pick<Journal, 'storedEpoch'>): number | string {
  try {
    return journal.storedEpoch();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const fenceLost = (what: string): Reason => ({
  code: 'fence-lost',
  text: `cannot change anything any more: ${what}; the agent restarts and looks at the world again`,
  retry: 'later',
});
